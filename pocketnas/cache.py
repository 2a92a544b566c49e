"""Where what can be made again is kept between runs: exported operators."""

from pathlib import Path

from android_bench.runner.build import cache_dir


def operator_cache() -> Path:
    """Exported operator files, addressed by content, shared by all runs of this user."""
    return cache_dir() / "operators"
