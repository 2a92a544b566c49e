"""`pocketnas search RUN --targets`: one network a target, one front a table, drawn and kept."""

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import program, refused
from small_runs import write_run

from latency.library import load_table
from latency.predict import predict
from search.architecture import Architecture


def targets_of(folder: Path) -> list[float]:
    """Three latencies that the tiny space can meet by its table."""
    from pocketnas.space_costs import costs_of
    from search.derive import latency_range
    from search.space import load_space

    low, high = latency_range(costs_of(load_table(folder / "table.parquet"), load_space(str(folder / "tiny.toml"))))
    return [round(low + share * (high - low), 3) for share in (0.3, 0.6, 0.9)]


@pytest.fixture(scope="module")
def derived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("derived")
    config = write_run(folder)
    targets = ",".join(map(str, targets_of(folder)))
    done = program("search", config, "--runs", folder / "runs", "--targets", targets, "--json")
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_every_target_gets_a_network_within_it(derived: tuple[Path, dict[str, Any]]) -> None:
    folder, document = derived
    (front,) = document["fronts"]
    assert [network["target_ms"] for network in front["networks"]] == targets_of(folder)
    table = load_table(folder / "table.parquet")
    for network in front["networks"]:
        architecture = Architecture.load(Path(network["architecture"]))
        assert predict(table, architecture.ops).latency_ms == pytest.approx(network["latency_ms"])
        assert network["latency_ms"] <= network["target_ms"]
        assert 0 <= network["top1"] <= 100
    best = max(network["top1"] for network in front["networks"])
    assert next(network["on_front"] for network in front["networks"] if network["top1"] == best)


def test_the_page_draws_every_network_and_loads_nothing(derived: tuple[Path, dict[str, Any]]) -> None:
    _, document = derived
    page = Path(document["page"]).read_text()
    for network in document["fronts"][0]["networks"]:
        assert f"{network['top1']:.2f}</text>" in page
        assert Path(network["architecture"]).stem in page
    assert page.count('class="target"') == 2 * 3, "three targets, on the wide and on the narrow drawing"
    assert "http" not in page.replace("http-equiv", "")


def test_called_again_it_answers_the_same(derived: tuple[Path, dict[str, Any]]) -> None:
    folder, document = derived
    targets = ",".join(map(str, targets_of(folder)))
    done = program("search", folder / "runs" / "small", "--targets", targets, "--json")
    assert json.loads(done.stdout) == document
    shown = program("search", folder / "runs" / "small", "--targets", targets)
    assert f"drawn: {document['page']}" in shown.stdout
    lines = [line.split() for line in shown.stdout.splitlines() if line.startswith("│")]
    rows = [words for words in lines if words[1] != "│"]  # without what is left of a folded path
    for row, network in zip(rows, document["fronts"][0]["networks"], strict=True):
        assert row[1:6:2] == [f"{network['target_ms']:g}", f"{network['latency_ms']:.3f}", f"{network['top1']:.2f}"]


def test_another_target_or_table_finds_the_supernet_trained(derived: tuple[Path, dict[str, Any]]) -> None:
    folder, document = derived
    run = folder / "runs" / "small"
    supernet = run / "targets" / "one_shot.safetensors"
    before = supernet.stat().st_mtime_ns
    first = targets_of(folder)
    more = sorted([*first, round((first[1] + first[2]) / 2, 3)])
    for asked, words in ((more[2:], ("--table", folder / "slow.parquet")), (more, ())):
        done = program("search", run, "--targets", ",".join(map(str, asked)), "--json", *words)
        assert done.returncode == 0, done.stderr
        (front,) = json.loads(done.stdout)["fronts"]
        assert [network["target_ms"] for network in front["networks"]] == asked
    assert supernet.stat().st_mtime_ns == before
    done = program("search", run, "--targets", ",".join(map(str, first)), "--json")
    assert json.loads(done.stdout) == document, "each call's own scores are kept"


def test_several_tables_are_several_fronts_of_one_supernet(tmp_path: Path) -> None:
    config = write_run(tmp_path)
    target = str(targets_of(tmp_path)[1])
    tables = [tmp_path / "table.parquet", tmp_path / "slow.parquet"]
    done = program("search", config, "--runs", tmp_path / "runs", "--targets", target, "--json",
                   "--table", tables[0], "--table", tables[1])  # fmt: skip
    assert done.returncode == 0, done.stderr
    fast, slow = json.loads(done.stdout)["fronts"]
    assert (fast["table"], slow["table"]) == tuple(map(str, tables))
    (one,), (other,) = fast["networks"], slow["networks"]
    assert other["macs"] < one["macs"], "the slower device gets less for the same time"
    for network, table in ((one, tables[0]), (other, tables[1])):
        architecture = Architecture.load(Path(network["architecture"]))
        assert predict(load_table(table), architecture.ops).latency_ms <= float(target)
    assert not (tmp_path / "runs" / "small" / "table.parquet").exists(), "no table was asked of the run itself"


def test_by_probabilities_the_runs_own_search_says(tmp_path: Path) -> None:
    config = write_run(tmp_path)
    target = targets_of(tmp_path)[1]
    words = ("search", config, "--runs", tmp_path / "runs", "--targets", str(target), "--by", "probabilities")
    done = program(*words, "--json")
    assert done.returncode == 0, done.stderr
    (network,) = json.loads(done.stdout)["fronts"][0]["networks"]
    assert 0.98 * target <= network["latency_ms"] <= target
    run = tmp_path / "runs" / "small"
    assert json.loads((run / "stages.json").read_text())["search"]["done"]
    (run / "search" / "checkpoint.safetensors").write_bytes(b"no")
    again = program(*words)
    assert again.returncode == 2
    assert "cannot be read" in again.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--targets", "20,fast"), "--targets takes latencies in ms such as 20,30,40, not 'fast'"),
        (("--targets", ""), "not ''"),
        (("--targets", "0"), "not '0'"),
        (("--targets", "-1"), "not '-1'"),
        (("--targets", "nan"), "not 'nan'"),
        (("--targets", ",".join(map(str, range(1, 66)))), "at most 64 latencies, not 65"),
        (("--targets", "1", "--by", "luck"), "--by takes evolution or probabilities, not 'luck'"),
        (("--targets", "1", "--max-ms", "2"), "--max-ms is for one target"),
        (("--targets", "1", "--table", "a.parquet", "--table", "a.parquet"), "at most 16 tables, each once"),
        (("--targets", "1", "--table", "a/p.parquet", "--table", "b/p.parquet"), "two of the tables have the same"),
        (("--table", "a.parquet", "--table", "b.parquet"), "several are for --targets"),
        (("--json",), "--json is for --targets"),
        (("--by", "evolution"), "--by says how --targets are met"),
    ],
)
def test_what_means_nothing_is_refused_before_anything_starts(
    tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    config = write_run(tmp_path)
    assert message in refused("search", config, "--runs", tmp_path / "runs", *words)
    assert not (tmp_path / "runs").exists()


def test_a_target_out_of_reach_is_one_clear_line(tmp_path: Path) -> None:
    config = write_run(tmp_path)
    done = program("search", config, "--runs", tmp_path / "runs", "--targets", "0.001")
    assert done.returncode == 2
    assert "no architecture of space tiny is predicted to take 0.0010 ms or less" in done.stderr.splitlines()[-1]
