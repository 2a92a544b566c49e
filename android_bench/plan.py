"""A plan: what one runner process is to do, as JSON lines with checksums."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from android_bench.checksum import seal
from android_bench.protocol import Protocol

SCHEMA_VERSION = 4
PROFILE_RUNS = 20


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """One model in a plan. Paths are the device's. inputs: raw little-endian tensors in the model's own memory
    order, one per input, or none for pseudo-random ones. references: the outputs expected of these inputs, or
    none. max_output_error: allowed max |output - reference| / max |reference|. output_paths: where to write outputs.
    profile: after timing, run it up to PROFILE_RUNS times more, and say how long each of its operators took.
    """

    id: str
    path: str
    inputs: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    max_output_error: float = 1e-4
    output_paths: tuple[str, ...] = ()
    profile: bool = False


def render(protocol: Protocol, runtime_version: str, models: Sequence[PlannedModel]) -> bytes:
    """The plan as the runner reads it. `protocol.cores` None leaves the runner unpinned."""
    settings = {
        "type": "settings",
        "schema_version": SCHEMA_VERSION,
        "runtime_version": runtime_version,
        "threads": protocol.threads,
        "cores": list(protocol.cores or ()),
        "models": len(models),
    }
    durations = {
        name: getattr(protocol, name)
        for name in ("warmup_min_runs", "warmup_min_ns", "warmup_max_ns", "min_runs", "min_ns", "max_runs", "max_ns")
    }
    lines: list[dict[str, object]] = [settings]
    for model in models:
        lines.append(
            {
                "type": "model",
                "id": model.id,
                "path": model.path,
                **durations,
                "inputs": model.inputs,
                "references": model.references,
                "max_output_error": model.max_output_error,
                "output_paths": model.output_paths,
                "profile_runs": PROFILE_RUNS if model.profile else 0,
            }
        )
    return b"".join(seal(json.dumps(line, allow_nan=False).encode()) + b"\n" for line in lines)
