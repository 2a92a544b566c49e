"""A run directory holds what the run was begun with."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_runs import write_run

from pocketnas.commands.run import find_run
from pocketnas.run_directory import RunDirectory
from pocketnas.stages.context import RunContext
from pocketnas.stages.report import rebench_rows
from pocketnas_base.errors import InputError
from search.space import load_space


@pytest.mark.parametrize("size", ["", "@x2", "@32", "@x2@32"])
def test_a_run_keeps_the_space_that_it_was_begun_with(tmp_path: Path, size: str) -> None:
    config, own = write_run(tmp_path), tmp_path / "tiny.toml"
    config.write_text(config.read_text().replace(str(own), f"{own}{size}").replace('use = "', '# use = "'))
    space = load_space(f"{own}{size}")
    begun = find_run(config, tmp_path / "runs")
    assert begun.space.read_bytes() == own.read_bytes()
    own.unlink()
    kept = RunContext(RunDirectory.open(begun.path.rename(tmp_path / "moved"))).space
    assert (kept.name, kept.fingerprint) == (space.name, space.fingerprint)


def test_a_space_that_was_changed_meanwhile_is_not_taken_for_the_runs(tmp_path: Path) -> None:
    config, own = write_run(tmp_path), tmp_path / "tiny.toml"
    begun = find_run(config, tmp_path / "runs")
    assert find_run(config, tmp_path / "runs") == begun
    own.write_text(own.read_text().replace("kernels = [3, 5]", "kernels = [3]"))
    with pytest.raises(InputError, match=r"tiny.toml differs from .*/space.toml; name .*/small to go on, or rename"):
        find_run(config, tmp_path / "runs")
    assert RunContext(find_run(begun.path, tmp_path / "runs")).space.edges[0].candidates[2].kernel == 5


def test_a_space_of_the_products_own_is_only_named(tmp_path: Path) -> None:
    config = write_run(tmp_path)
    text = config.read_text().replace(str(tmp_path / "tiny.toml"), "demo").replace('use = "', '# use = "')
    config.write_text(text.replace(str(tmp_path / "images"), "fashion-mnist"))
    begun = find_run(config, tmp_path / "runs")
    assert not begun.space.exists()
    assert RunContext(begun).space.name == "demo"


def test_measurements_that_are_damaged_are_one_line(tmp_path: Path) -> None:
    run = find_run(write_run(tmp_path), tmp_path / "runs")
    context = RunContext(run)
    with pytest.raises(InputError, match=r"rebench.parquet does not exist; measure first: pocketnas rebench "):
        rebench_rows(context)
    pq.write_table(pa.table({"runtime": ["tflite"]}), run.rebench)
    assert rebench_rows(context) == [{"runtime": "tflite"}]
    whole = run.rebench.read_bytes()
    for damaged in (whole[:-9], whole.replace(b"runtime", b"r\xffntime")):
        run.rebench.write_bytes(damaged)
        with pytest.raises(InputError, match=r"rebench.parquet cannot be read: ") as caught:
            rebench_rows(context)
        assert "\n" not in str(caught.value)
