"""Which operators of an exported file its runtime's delegate leaves to slower kernels, and what they cost here."""

import json
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

from android_bench.job import Job
from android_bench.protocol import networks_on
from android_bench.reasons import REASONS
from android_bench.session import measure
from android_bench.store import SampleStore
from deploy.manifest import OutsideDelegate
from pocketnas.console import say
from pocketnas.measuring import open_device
from pocketnas_base.artifact import Artifact
from pocketnas_base.errors import MeasurementError, PocketNASError


def outside_delegate(artifact: Artifact) -> tuple[OutsideDelegate, ...] | None:
    """Run the file once in our runner on this machine, with a clock on every operator; costliest kinds first.

    Shares are of the time of all operators, and what they are on a phone its own profile tells (`pocketnas bench
    --profile`). A busy machine makes them rough, not wrong, so no state of it is a reason to refuse them.
    None where the runner cannot be built or cannot run the file: a person is told why, and the file is none the worse.
    """
    try:
        return _profiled(artifact)
    except PocketNASError as error:
        say(f"warning: {artifact.path.name}: what its delegate leaves to slower kernels is not known: {error}")
        return None


def _profiled(artifact: Artifact) -> tuple[OutsideDelegate, ...]:
    """Raises MeasurementError when the runner cannot run the file or cannot tell its operators apart."""
    device = open_device("local")
    # One process, no longer than the profile needs.
    protocol = replace(networks_on(device), processes=1, min_processes=1, min_runs=1, min_ns=0, max_ns=1).on(device)
    job = Job(artifact.path.name, artifact)
    with (
        tempfile.TemporaryDirectory(prefix="pocketnas-profile-") as folder,
        SampleStore.open(Path(folder) / "samples.sqlite") as store,
    ):
        key = measure(device, [job], protocol, store, tolerated=tuple(REASONS), profile=True)
        profile = json.loads(store.profiles(key)[job.id, artifact.sha256])
    if profile["type"] == "error":
        raise MeasurementError(f"{artifact.path.name} cannot be profiled: {profile['message']}")
    times: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    total = 0
    for operator in profile["operators"]:
        total += operator["total_ns"]
        if operator["delegated"] is False:
            times[operator["kind"]] += operator["total_ns"]
            counts[operator["kind"]] += 1
    return tuple(
        OutsideDelegate(kind, counts[kind], round(100 * taken / total, 2) if total else None)
        for kind, taken in times.most_common()
    )
