"""How long and how often something is measured."""

from dataclasses import asdict, dataclass, replace
from typing import Self

from android_bench.device import Device
from pocketnas_base.errors import InputError

MAX_PROCESSES = 1000
MAX_RUNS = 100_000
MAX_NS = 600_000_000_000


@dataclass(frozen=True, slots=True)
class Protocol:
    """The settings of one session. A process is the unit of replication: what ruins repeatability differs between
    processes, not between the invocations inside one.

    processes: fresh processes per runtime, at most; each measures every model once, in an order of its own. A model
    that is known well enough after min_processes or more is left out of those that follow: where the 95 % interval of
    its latency (`statistics.Summary.floor_ns`) is no wider than settled_within to either side, as a share of it, and
    where one of so many is undisturbed, as far as the session can tell (`stopping.enough_processes`).
    warmup_min_runs, warmup_min_ns: both are reached before timing starts; warm-up goes on after them until the model
    is no longer getting faster, for up to warmup_max_ns. min_runs, min_ns: both are reached before timing ends, unless
    max_runs or max_ns is reached first. sentinel_every: the sentinel model is measured again
    after so many models, at the start and at the end of each process. threads: of the runtime. cores: what the
    runner is pinned to; None leaves the choice to the device.
    """

    processes: int = 20
    min_processes: int = 8
    settled_within: float = 0.02
    warmup_min_runs: int = 2
    warmup_min_ns: int = 500_000
    warmup_max_ns: int = 30_000_000
    min_runs: int = 12
    min_ns: int = 50_000_000
    max_runs: int = 10_000
    max_ns: int = 2_000_000_000
    sentinel_every: int = 12
    seed: int = 0
    threads: int = 1
    cores: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        limits = {
            "processes": (1, MAX_PROCESSES),
            "min_processes": (1, MAX_PROCESSES),
            "warmup_min_runs": (0, MAX_RUNS),
            "warmup_max_ns": (0, MAX_NS),
            "warmup_min_ns": (0, self.warmup_max_ns),
            "max_runs": (1, MAX_RUNS),
            "min_runs": (1, self.max_runs),
            "max_ns": (1, MAX_NS),
            "min_ns": (0, self.max_ns),
            "sentinel_every": (1, MAX_RUNS),
            "seed": (0, 2**63 - 1),
            "threads": (1, 64),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise InputError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
        if not 0 <= self.settled_within < 1:
            raise InputError(f"settled_within must be a share from 0 to below 1, not {self.settled_within!r}")
        if self.cores is not None and len(set(self.cores)) < self.threads:
            raise InputError(f"{self.threads} threads need as many cores, not {list(self.cores)}")

    def on(self, device: Device) -> Self:
        """The same settings with the cores settled. Raises InputError when the device lacks them."""
        known = {core.number for core in device.info.cores}
        cores = self.cores if self.cores is not None else device.default_cores(self.threads)
        missing = sorted(set(cores) - known)
        if missing:
            raise InputError(f"device {device.id} cannot use the cores {missing}; it has {sorted(known)}")
        return replace(self, cores=tuple(sorted(set(cores))))

    def to_dict(self) -> dict[str, object]:
        """Plain fields, for JSON."""
        return asdict(self)


OPERATORS = Protocol()
"""For tables of many small operators. Many processes rather than long ones: how long each measures matters little to
how well the lowest median repeats (`benchmarks/stopping_rules.py`), how many there are does. Each measures just long
enough for nine tenths of a session to be timed inference; warm-up is short, since it goes on where it has to."""

NETWORKS = Protocol(
    processes=30,
    warmup_min_runs=3,
    warmup_min_ns=10_000_000,
    warmup_max_ns=200_000_000,
    min_runs=5,
    min_ns=25_000_000,
    max_ns=10_000_000_000,
    sentinel_every=3,
)
"""For a few whole networks."""

# A process costs more there, so its turns are longer, for nine tenths of the time to be timed inference; and a table
# has fewer of them, since the last hold few operators each. A phone's clock takes a good part of a tenth of a second
# to rise, which is for the warm-up.
PHONE_OPERATORS = replace(
    OPERATORS, processes=12, warmup_min_ns=2_000_000, warmup_max_ns=200_000_000, min_ns=150_000_000
)
PHONE_NETWORKS = replace(NETWORKS, warmup_min_ns=50_000_000, warmup_max_ns=1_000_000_000, min_ns=100_000_000)


def operators_on(device: Device) -> Protocol:
    """How tables are measured on a device."""
    return OPERATORS if device.is_local else PHONE_OPERATORS


def networks_on(device: Device) -> Protocol:
    """How whole networks are measured on a device."""
    return NETWORKS if device.is_local else PHONE_NETWORKS
