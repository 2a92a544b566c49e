"""What a benchmark writes with --json: its figures, and before them what was called, when, and on which machine."""

import json
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from android_bench.local import local_info


def write_figures(path: Path, figures: Mapping[str, object]) -> None:
    """`figures` as indented JSON, with the record of this call before them. A phone's own name is among the figures:
    `machine` is the host."""
    path.write_text(json.dumps({**record(), **figures}, indent=2) + "\n")


def record() -> dict[str, object]:
    """The command as it was given, the end of the run in UTC, the host's processor and the cores it may use."""
    host = local_info()
    return {
        "command": shlex.join(["python", *sys.argv]),
        "date_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": host.soc, "cores": len(host.cores)},
    }
