"""Which file of a bundle to ship: the fastest of those that keep the accuracy."""

from collections.abc import Sequence

from deploy.manifest import DeviceLatency, ExportedFile, Recommendation
from pocketnas_base.errors import InputError

MOST_LOSS_POINTS = 1.0
"""What int8 may cost where nobody says: about what a careful quantisation of a mobile network loses."""

_ROUNDING = 1e-9


def recommend(files: Sequence[ExportedFile], measured_on: DeviceLatency, most_loss_points: float) -> Recommendation:
    """The fastest file on the device and with the threads of `measured_on`, among those that lose at most so many
    percent points of top-1 against the fp32 file (of the same runtime, else of another, else torch itself).

    Without labels the share of images that a file answers otherwise than torch stands for its loss, which it bounds.
    Raises InputError for a loss outside 0 to 100.
    """
    if not 0 <= most_loss_points <= 100:
        raise InputError(f"a loss of {most_loss_points} points makes no sense; give 0 to 100")
    passed_over: dict[str, str] = {}
    kept: list[tuple[ExportedFile, DeviceLatency]] = []
    for file in files:
        latency, loss = latency_on(file, measured_on), loss_points(file, files)
        if latency is None:
            passed_over[_name(file)] = "It was not measured there."
        elif loss is None:
            passed_over[_name(file)] = "Nobody knows its accuracy."
        elif loss > most_loss_points + _ROUNDING:
            passed_over[_name(file)] = f"It {_loses(file, loss)}, {most_loss_points:.2f} allowed."
        else:
            kept.append((file, latency))
    kept.sort(key=lambda one: (one[1].latency_ms, _name(one[0])))
    for file, latency in kept[1:]:
        passed_over[_name(file)] = _slower(latency, kept[0][1])
    return Recommendation(
        device=measured_on.device,
        device_fingerprint=measured_on.device_fingerprint,
        threads=measured_on.threads,
        most_loss_points=most_loss_points,
        file=_name(kept[0][0]) if kept else None,
        reason=_reason(kept, files, most_loss_points),
        passed_over=passed_over,
    )


def latency_on(file: ExportedFile, like: DeviceLatency) -> DeviceLatency | None:
    """What a file takes on the device and with the threads of `like`; None where that was not measured."""
    where = (like.device_fingerprint, like.threads)
    return next((one for one in file.latency if (one.device_fingerprint, one.threads) == where), None)


def loss_points(file: ExportedFile, files: Sequence[ExportedFile]) -> float | None:
    """How many percent points of top-1 a file loses against the fp32 one; negative where it is better. Without labels:
    the percent of images that it answers otherwise than torch. None where neither is known."""
    if file.top1 is None:
        return 100.0 - file.parity.top1_agreement_percent if file.parity.images > 0 else None
    exact = [other for other in files if other.artifact.precision == "fp32" and other.top1 is not None]
    exact.sort(key=lambda other: other.artifact.runtime != file.artifact.runtime)
    reference = exact[0].top1 if exact else file.torch_top1
    return None if reference is None else reference - file.top1


def _reason(
    kept: Sequence[tuple[ExportedFile, DeviceLatency]], files: Sequence[ExportedFile], most_loss_points: float
) -> str:
    if not kept:
        return f"No measured file keeps its accuracy within {most_loss_points:.2f} points."
    file, latency = kept[0]
    loss = loss_points(file, files)
    assert loss is not None
    said = f"It takes {latency.latency_ms:.3f} ms (at most {latency.high_ms:.3f}) and {_loses(file, loss)}"
    said += f" of {most_loss_points:.2f} allowed."
    exact = next((other for other in kept[1:] if other[0].artifact.precision == "fp32"), None)
    if exact is not None:
        said += f" {_name(exact[0])} takes {exact[1].latency_ms / latency.latency_ms:.2f} times as long."
    if len(kept) > 1 and kept[1][1].latency_ms <= latency.high_ms:
        said += f" The measurement does not tell it from {_name(kept[1][0])}."
    return said


def _loses(file: ExportedFile, loss: float) -> str:
    if file.top1 is None:
        return f"answers otherwise than torch on {loss:.2f} % of {file.parity.images} images (no labels were given)"
    return f"loses {max(0.0, loss):.2f} points of top-1" if loss >= 0 else f"gains {-loss:.2f} points of top-1"


def _slower(latency: DeviceLatency, best: DeviceLatency) -> str:
    if latency.latency_ms <= best.high_ms:
        return f"It takes {latency.latency_ms:.3f} ms: no slower, as far as the measurement tells."
    return f"It takes {latency.latency_ms:.3f} ms: slower."


def _name(file: ExportedFile) -> str:
    return file.artifact.path.name
