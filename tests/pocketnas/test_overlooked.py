"""Which rows of a table were measured with a reason overlooked."""

import numpy as np

from android_bench.reading import Reading
from pocketnas.measuring import overlooked_reasons


def reading(job_id: str, *voids: str) -> Reading:
    """A measurement of one job, of which nothing matters here but why it should not count."""
    none = np.array([], dtype=np.int64)
    return Reading(
        process=1, round=1, runtime="tflite", role="job", job_id=job_id, artifact_sha256="0" * 64, precision="fp32",
        sequence=0, started_ns=0, load_ns=None, first_ns=None, warmup_ns=none, samples_ns=none, output_error=None,
        cpus_allowed="1", voluntary_switches=None, involuntary_switches=None, peak_rss_kb=None, voids=voids,
    )  # fmt: skip


def test_each_row_has_the_tolerated_reasons_of_its_own_measurements() -> None:
    taken = [
        reading("first"),
        reading("first", "throttled"),
        reading("second", "drift", "throttled"),
        reading("second", "rebooted"),
        reading("third", "rebooted"),
        reading("fourth"),
        reading("fifth", "throttled", "rebooted"),  # does not count, whatever is tolerated
    ]
    assert overlooked_reasons(taken, ("throttled", "drift")) == {
        "first": {"throttled"},
        "second": {"drift", "throttled"},
    }
    assert overlooked_reasons(taken, ()) == {}
