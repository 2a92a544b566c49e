"""The profile of a Qualcomm AI Hub job, as `ProfileJob.download_profile` of the client `qai_hub` writes it.

All its times are whole microseconds: the service states them as integers. Neither the model nor the device is named.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, TypeAdapter

from android_bench.parsers.json_text import Fields, parse_fields
from android_bench.parsers.text import Output, name, unreadable

_SOURCE = "AI Hub profile"
# The estimate is one of the fastest runs. A factor of ten from all of them is another unit, not another estimate.
_FAR = 10
_MAX_US = 10**12

_Us = Annotated[int, Field(gt=0, le=_MAX_US)]


@dataclass(frozen=True, slots=True)
class AiHubProfile:
    """One profile. estimated_us: what AI Hub calls the inference time, close to the fastest run; None where it is not
    stated. runs_us: every run, in order, the first ones slow; empty in old files. compute_units: of how many layers
    each unit (CPU, GPU, NPU) ran; empty where the layers are not listed."""

    estimated_us: int | None
    runs_us: tuple[int, ...]
    compute_units: tuple[tuple[str, int], ...]


class _Summary(Fields):
    estimated_inference_time: _Us | None = None
    all_inference_times: Annotated[list[_Us], Field(max_length=1_000_000)] | None = None


class _Layer(Fields):
    compute_unit: Annotated[str, Field(max_length=100)] | None = None


class _Profile(Fields):
    execution_summary: _Summary
    execution_detail: Annotated[list[_Layer], Field(max_length=1_000_000)] | None = None


_ADAPTER = TypeAdapter(_Profile)


def parse_ai_hub(output: Output) -> AiHubProfile:
    """The profile in a file. Raises UnreadableOutputError when it is another one, is cut, states no time, or times that
    cannot be microseconds."""
    read = parse_fields(output, _SOURCE, _ADAPTER)
    summary = read.execution_summary
    estimated, runs = summary.estimated_inference_time, tuple(summary.all_inference_times or ())
    if estimated is None and not runs:
        raise unreadable(_SOURCE, "it states no inference time; the job may have failed")
    if estimated is not None and runs and not min(runs) / _FAR <= estimated <= max(runs) * _FAR:
        raise unreadable(
            _SOURCE,
            f"estimated_inference_time is {estimated}, but all_inference_times are {min(runs)} to {max(runs)}:"
            " they are not in one unit",
        )
    units = Counter(name(layer.compute_unit, 20) or "unknown" for layer in read.execution_detail or ())
    return AiHubProfile(estimated, runs, tuple(sorted(units.items())))
