"""`pocketnas table calibrate`: whole networks on the table's device, so that sums of its rows become predictions."""

from collections.abc import Sequence
from pathlib import Path

from latency.correction import Calibration
from latency.table import LatencyTable
from pocketnas.calibrating import Budget, calibrated, check_calibratable
from pocketnas.console import print_json, print_table, progress_bar, say
from pocketnas.device_names import resolve_device
from pocketnas.measuring import open_device
from pocketnas_base.errors import InputError
from search.space import load_space


def calibrate_table(
    path: Path, space_name: str, device_name: str | None, budget: Budget, tolerated: Sequence[str], *, as_json: bool
) -> None:
    """Measure networks of the table's space and write the table anew, with its calibration; samples are kept beside it,
    so that a second call goes on. Raises what `calibrated` raises."""
    table = LatencyTable.load(path)
    space = load_space(space_name or _own_space(table))
    check_calibratable(table, space)
    device = open_device(resolve_device(device_name, {}), say=say)
    with progress_bar("networks") as progress:
        done = calibrated(
            table,
            space,
            device,
            path.with_suffix(".sqlite"),
            budget=budget,
            tolerated=tolerated,
            progress=progress,
        )
    done.save(path)
    calibration = done.info.calibration
    assert calibration is not None
    if as_json:
        print_json(calibration.model_dump(mode="json"))
        return
    print_networks(calibration)
    print(f"{path}: {calibration.found}")


def _own_space(table: LatencyTable) -> str:
    """The name of the built-in space that the table says it is of; a file that it names is not opened."""
    name = table.info.space
    if name is None or name.endswith(".toml"):
        raise InputError("the table is of no space that comes with the product; give its file with --space")
    return name


def print_networks(calibration: Calibration) -> None:
    """Every network: the plain sum, and the prediction by the others, beside its measurement."""
    rows = []
    for each in calibration.networks:
        row = [each.name, f"{each.measured_ms:.4f}"]
        for predicted_ms in (each.sum_ms, each.left_out_ms):
            if predicted_ms is None:
                row += ["in every fit", ""]
            else:
                row += [f"{predicted_ms:.4f}", f"{100 * (predicted_ms / each.measured_ms - 1):+.1f}"]
        rows.append(row)
    columns = ["network", "measured ms", "sum ms", "off %", "left out ms", "off %"]
    print_table(columns, rows, title=f"{len(rows)} networks")
