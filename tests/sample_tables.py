"""Where the tables of tests say they come from."""

from latency.table import TableInfo
from search.space import SearchSpace


def table_info(space: SearchSpace) -> TableInfo:
    """The provenance of a made-up table of `space`: one core of a machine that tells nothing else."""
    return TableInfo(
        device="local",
        device_model=None,
        device_fingerprint="ab" * 32,
        soc=None,
        os_version=None,
        runtime="tflite",
        runtime_version="2.3.0",
        precision="fp32",
        threads=1,
        cores=(0,),
        governor=None,
        temperature_before_c=None,
        temperature_after_c=None,
        tool_version="0.1.0",
        date_utc="2026-03-01T12:00:00+00:00",
        space=space.name,
        space_fingerprint=space.fingerprint,
        seed=0,
    )
