"""A real Ray cluster on this host: candidates of train-each, tables of a farm, and what is said where there is none."""

import json
from pathlib import Path

import pytest
from command_line import program, refused
from small_runs import CONFIG, MINI, write_run

from latency.table import LatencyTable
from pocketnas.farm import packed, unpacked
from pocketnas.ray_cluster import answer_of, check_room, connected
from pocketnas_base.errors import InputError
from search.space import load_space


def test_without_the_package_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketnas.ray_cluster.find_spec", lambda _name: None)
    config = write_run(tmp_path, with_family=False)
    line = refused("search", "compare", config, "--runs", tmp_path, "--ray", "local", status=1)
    assert line == "pocketnas: --ray needs the package ray: pip install 'pocketnas[ray]'"


def test_a_farm_measures_the_devices_that_are_named() -> None:
    line = refused("table", "build", "--space", "demo", "--out", "t.parquet", "--ray", "local")
    assert "--ray measures the devices that are named: give each with -d" in line


@pytest.mark.parametrize("size", ["", "@32", "@x2", "@x2@32", "@32@x2"])
def test_a_space_s_file_goes_to_the_machine_that_measures(tmp_path: Path, size: str) -> None:
    here, there = tmp_path / "mini.toml", tmp_path / "there"
    there.mkdir()
    here.write_text(MINI)
    space, text = load_space(f"{here}{size}"), packed(f"{here}{size}")
    here.unlink()
    assert load_space(unpacked(f"{here}{size}", text, there)) == space
    assert (packed("demo@32"), unpacked("demo@32", None, there)) == (None, "demo@32")


@pytest.fixture
def _ray() -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")


def entry_of(folder: Path) -> dict[str, object]:
    entry = json.loads((folder / "small" / "compare" / "train-each-0" / "entry.json").read_text())
    assert entry["ledger"].pop("seconds") > 0
    return dict(entry)


def curve_of(folder: Path) -> list[dict[str, float]]:
    curve = json.loads((folder / "small" / "compare" / "train-each-0" / "curve.json").read_text())
    return [{name: value for name, value in point.items() if name != "seconds"} for point in curve]


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
def test_candidates_trained_on_a_cluster_are_those_trained_here(tmp_path: Path) -> None:
    text = CONFIG.replace("candidates = 2", "candidates = 5").replace("per_update = 1", "per_update = 2")
    for place, more in (("here", ()), ("cluster", ("--ray", "local"))):
        (tmp_path / place).mkdir()
        config = write_run(tmp_path / place, with_family=False, config=text)
        words = ("search", "compare", config, "--runs", tmp_path / place, "--methods", "train-each", "--json", *more)
        done = program(*words)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["methods"]["train-each"]["candidates_trained"] == 5
    assert entry_of(tmp_path / "here") == entry_of(tmp_path / "cluster")
    assert curve_of(tmp_path / "here") == curve_of(tmp_path / "cluster")


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
def test_what_fails_there_is_said_here_in_one_line() -> None:
    def fail_as_ours() -> None:
        raise InputError("what a user did wrong")

    with connected("local"):
        import ray

        with pytest.raises(InputError) as caught:
            answer_of(ray.remote(fail_as_ours).remote())
        assert str(caught.value) == "what a user did wrong"
        with pytest.raises(InputError, match=r"no machine of the Ray cluster has the 4096 cores"):
            check_room(4096, 0)
        with pytest.raises(InputError, match=r"has the 1 cores and 64 GPU"):
            check_room(1, 64)


@pytest.mark.usefixtures("_ray")
@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_no_cluster_at_an_address_is_one_line(address: str) -> None:
    line = refused("table", "build", "--space", "demo", "--out", "t.parquet", "--ray", address, "-d", "local")
    assert f"--ray {address}: no cluster can be reached (Connection refused); start one with ray start --head" in line


@pytest.mark.usefixtures("_ray")
@pytest.mark.parametrize("address", ["", "host", "host:", "host:port", "host:70000"])
def test_what_is_no_address_is_one_line(address: str) -> None:
    line = refused("table", "build", "--space", "demo", "--out", "t.parquet", "--ray", address, "-d", "local")
    assert "--ray takes HOST:PORT, auto or local, not" in line


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
def test_a_farm_brings_its_tables_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mini.toml").write_text(MINI)
    monkeypatch.setenv("POCKETNAS_CACHE", str(tmp_path / "cache"))
    words = ("--space", tmp_path / "mini.toml@32", "--out", tmp_path / "farm.parquet", "--processes", "2")
    done = program("table", "build", *words, "-d", "local", "--ray", "local")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("farm.local.parquet: ")
    table = LatencyTable.load(tmp_path / "farm.local.parquet")
    assert (table.info.device, table.info.space) == ("local", "mini@32")
    assert (tmp_path / "farm.local.sqlite").exists(), "its samples"
    assert not list((tmp_path / "cache" / "farm").iterdir()), "nothing is left on the machine that measured"


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
def test_a_device_that_no_machine_has_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    from pocketnas.farm import build_on_farm

    ray.init("local", include_dashboard=False, resources={"R58M": 1.0}, log_to_driver=False)
    monkeypatch.setattr("pocketnas.farm.connected", lambda *_: _already())
    try:
        with pytest.raises(InputError, match=r"says that it has R59M: .* --resources '\{\"R59M\": 1\}'"):
            build_on_farm("demo", {name: ((), tmp_path / f"{name}.parquet") for name in ("R58M", "R59M")}, "auto")
    finally:
        ray.shutdown()


class _already:  # noqa: N801  (stands in for a function)
    def __enter__(self) -> None:
        """Connected already."""

    def __exit__(self, *_: object) -> None:
        """Whoever connected lets go."""
