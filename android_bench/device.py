"""A device: what it is, and how it is reached."""

import json
from dataclasses import asdict, dataclass, field

from android_bench.runner.build import Abi
from android_bench.transport import Transport
from pocketnas_base.errors import InputError
from pocketnas_base.files import sha256_bytes


@dataclass(frozen=True, slots=True)
class Core:
    """One core that a runner may use. max_freq_khz: the hardware's limit, None where it cannot be read."""

    number: int
    max_freq_khz: int | None


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What latency depends on and does not change between two runs. None: the device does not say."""

    model: str | None
    soc: str | None
    abi: Abi
    os_version: str | None
    kernel: str | None
    cpu_features: tuple[str, ...] | None
    cores: tuple[Core, ...]

    @property
    def fingerprint(self) -> str:
        """Sha256 of all fields: equal fingerprints may share a latency table."""
        return sha256_bytes(json.dumps(asdict(self), sort_keys=True).encode())


@dataclass(frozen=True, slots=True)
class Device:
    """A phone or this machine. id: `local`, an adb serial, or `tcp:HOST:PORT`."""

    id: str
    info: DeviceInfo
    transport: Transport = field(repr=False, compare=False)

    def default_cores(self, threads: int) -> tuple[int, ...]:
        """The cores that `threads` threads are pinned to unless the user says otherwise: the fastest, and of equals
        the last, because a kernel puts its own work on the first ones."""
        if threads > len(self.info.cores):
            raise InputError(f"device {self.id} has {len(self.info.cores)} cores for {threads} threads")
        ranked = sorted(self.info.cores, key=lambda core: (core.max_freq_khz or 0, core.number))
        return tuple(sorted(core.number for core in ranked[-threads:]))
