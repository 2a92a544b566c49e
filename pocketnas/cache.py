"""Where what can be made again, or is not finished yet, is kept between runs."""

import json
from collections.abc import Sequence
from pathlib import Path

from android_bench.protocol import Protocol
from android_bench.runner.build import cache_dir
from pocketnas_base.files import sha256_bytes


def operator_cache() -> Path:
    """Exported operator files, addressed by content, shared by all runs of this user."""
    return cache_dir() / "operators"


def bench_samples(identity: Sequence[str], protocol: Protocol) -> Path:
    """The samples of a benchmark that is not finished, by what is measured on what and how."""
    told = json.dumps([*identity, protocol.to_dict()], sort_keys=True)
    return cache_dir() / "bench" / f"{sha256_bytes(told.encode())[:32]}.sqlite"
