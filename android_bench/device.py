"""A device: what it is, and how it is reached."""

import json
from dataclasses import asdict, dataclass, field

from android_bench.guard import Guard
from android_bench.runner.abi import Abi
from android_bench.transport import Transport
from android_bench.workspace import Workspace
from pocketnas_base.errors import InputError
from pocketnas_base.files import sha256_bytes

LOCAL = "local"
"""The id of this machine."""


@dataclass(frozen=True, slots=True)
class Core:
    """One core that a runner may use. max_freq_khz: the hardware's limit, None where it cannot be read. part: its kind,
    as `parsers.cpu.core_parts` has it; None where the kernel names none."""

    number: int
    max_freq_khz: int | None
    part: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What latency depends on and does not change between two runs. None: the device does not say. build: Android's
    own fingerprint of its system (ro.build.fingerprint)."""

    model: str | None
    soc: str | None
    abi: Abi
    os_version: str | None
    kernel: str | None
    cpu_features: tuple[str, ...] | None
    cores: tuple[Core, ...]
    build: str | None = None

    @property
    def fingerprint(self) -> str:
        """Sha256 of all fields: equal fingerprints may share a latency table. Cores without a known part have none, as
        in tables from before it was read."""
        fields = asdict(self)
        for core in fields["cores"]:
            if core["part"] is None:
                del core["part"]
        return sha256_bytes(json.dumps(fields, sort_keys=True).encode())


@dataclass(frozen=True, slots=True)
class Device:
    """A phone or this machine. id: `local`, an adb serial, or `tcp:HOST:PORT`."""

    id: str
    info: DeviceInfo
    transport: Transport = field(repr=False, compare=False)
    workspace: Workspace = field(repr=False, compare=False)
    guard: Guard = field(repr=False, compare=False)

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""
        return self.id == LOCAL

    def default_cores(self, threads: int) -> tuple[int, ...]:
        """The cores that `threads` threads are pinned to unless the user says otherwise: of one cluster, since threads
        on unequal cores wait for the slowest; of the fastest that has enough; and of equals the last, because a
        kernel puts its own work on the first ones. Cores of one clock may be of two kinds (Snapdragon 8 Gen 2 has
        Cortex-A710 and A715 at 2.8 GHz); the higher part number, mostly the newer one, then counts as the faster.
        Raises InputError when no cluster has enough cores."""
        clusters: dict[tuple[int, str], list[int]] = {}
        for core in self.info.cores:
            clusters.setdefault((core.max_freq_khz or 0, core.part or ""), []).append(core.number)
        for _, numbers in sorted(clusters.items(), reverse=True):
            if len(numbers) >= threads:
                return tuple(sorted(numbers)[-threads:])
        largest = max(map(len, clusters.values()), default=0)
        raise InputError(
            f"device {self.id} has no {threads} equal cores: its largest cluster has {largest}; name cores"
        )
