"""The instruction sets and calling conventions that runners are built for."""

import platform
from typing import Literal, get_args

from pocketnas_base.errors import InputError, MissingDependencyError

Abi = Literal["x86_64", "arm64-v8a"]
"""As Android names them."""

ABIS: tuple[Abi, ...] = get_args(Abi)
MACHINES: dict[Abi, str] = {"x86_64": "x86_64", "arm64-v8a": "aarch64"}
"""As Linux, compilers and wheels name them."""

_HOST_ABIS: dict[str, Abi] = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64-v8a", "arm64": "arm64-v8a"}


def host_abi() -> Abi:
    """The ABI of this machine. Raises MissingDependencyError where no runner can be built for it."""
    if platform.system() != "Linux" or platform.machine() not in _HOST_ABIS:
        machine = f"{platform.system()} on {platform.machine()}"
        raise MissingDependencyError(
            f"the runner is built on Linux on x86_64 or aarch64 only; this machine is {machine}"
        )
    return _HOST_ABIS[platform.machine()]


def parse_abi(name: str) -> Abi:
    """The ABI of that name. Raises InputError for any other."""
    for abi in ABIS:
        if name == abi:
            return abi
    raise InputError(f"unknown ABI {name!r}; known: {', '.join(ABIS)}")
