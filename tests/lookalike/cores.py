"""A made-up /sys/devices/system/cpu and /sys/class/thermal, for phones whose processor this machine does not have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Core:
    """One core as cpufreq shows it; frequencies in kHz. Equal neighbours share a policy, as in a cluster."""

    max_khz: int
    min_khz: int = 300_000
    governor: str = "schedutil"


def write_cores(folder: Path, cores: Sequence[Core]) -> None:
    """Write the tree of /sys/devices/system/cpu for these cores. Tests may change its files while the phone runs."""
    everyone = f"0-{len(cores) - 1}" if len(cores) > 1 else "0"
    for name in ("possible", "present", "online"):
        _write(folder / name, everyone)
    _write(folder / "offline", "")
    for first, last in _policies(cores):
        core = cores[first]
        policy = folder / "cpufreq" / f"policy{first}"
        related = " ".join(str(number) for number in range(first, last + 1))
        values = {
            "cpuinfo_max_freq": core.max_khz,
            "cpuinfo_min_freq": core.min_khz,
            "scaling_max_freq": core.max_khz,
            "scaling_min_freq": core.min_khz,
            "scaling_cur_freq": core.min_khz,
            "scaling_governor": core.governor,
            "scaling_available_governors": "performance schedutil powersave",
            "scaling_available_frequencies": f"{core.min_khz} {core.max_khz}",
            "related_cpus": related,
            "affected_cpus": related,
            "stats/time_in_state": f"{core.min_khz} 100000\n{core.max_khz} 500",
        }
        for name, value in values.items():
            _write(policy / name, str(value))
        for number in range(first, last + 1):
            cpu = folder / f"cpu{number}"
            _write(cpu / "online", "1")
            _write(cpu / "cpu_capacity", str(1024 * core.max_khz // max(other.max_khz for other in cores)))
            (cpu / "cpufreq").symlink_to(f"../cpufreq/policy{first}")


def write_thermal_zones(folder: Path, zones: Mapping[str, int]) -> None:
    """Write /sys/class/thermal: one zone per entry, type -> millidegrees Celsius."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (kind, millidegrees) in enumerate(zones.items()):
        _write(folder / f"thermal_zone{number}" / "type", kind)
        _write(folder / f"thermal_zone{number}" / "temp", str(millidegrees))


def _policies(cores: Sequence[Core]) -> list[tuple[int, int]]:
    """First and last core of every run of equal cores."""
    starts = [n for n in range(len(cores)) if n == 0 or cores[n] != cores[n - 1]]
    return [(start, following - 1) for start, following in zip(starts, [*starts[1:], len(cores)], strict=True)]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")
