"""What a phone lookalike comes with: keys, commands, properties, settings, and what it shows in place of the host's."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lookalike import testbed
from lookalike.cores import Core, write_cores, write_thermal_zones

BOOT_ID = "/proc/sys/kernel/random/boot_id"

PROPERTIES = {
    "ro.product.cpu.abi": "x86_64",
    "ro.product.cpu.abilist": "x86_64",
    "ro.product.manufacturer": "PocketNAS",
    "ro.product.brand": "pocketnas",
    "ro.product.model": "Lookalike",
    "ro.product.device": "lookalike",
    "ro.product.board": "lookalike",
    "ro.hardware": "lookalike",
    "ro.board.platform": "lookalike",
    "ro.soc.manufacturer": "PocketNAS",
    "ro.soc.model": "LK1",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
    "ro.build.type": "user",
    "ro.build.fingerprint": "pocketnas/lookalike/lookalike:14/LK1A.240101.001/1:user/release-keys",
    "ro.debuggable": "0",
    "sys.boot_completed": "1",
}
SETTINGS = {
    "global.airplane_mode_on": "0",
    "global.bluetooth_on": "1",
    "global.low_power": "0",
    "global.mobile_data": "1",
    "global.stay_on_while_plugged_in": "0",
    "global.wifi_on": "1",
    "system.screen_brightness": "102",
    "system.screen_brightness_mode": "1",
    "system.screen_off_timeout": "30000",
}


@dataclass(frozen=True)
class Furnishing:
    """What is particular to one phone.

    Attributes:
        keys: public keys (files in adb's format) that it trusts.
        cores: what /sys/devices/system/cpu shows; none: the host's own.
        thermal_zones: what /sys/class/thermal shows, type -> millidegrees Celsius; None: the host's own.
        shown: files of /proc and /sys with a text to show in their place, such as {"/proc/cpuinfo": "..."}.
        properties: system properties, on top of `PROPERTIES`.
    """

    keys: Sequence[Path] = ()
    cores: Sequence[Core] = ()
    thermal_zones: Mapping[str, int] | None = None
    shown: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


def furnish(home: Path, furnishing: Furnishing) -> None:
    """Write into a phone's folder what hardware.sh mounts from there."""
    (home / "adbd.log").touch()
    for folder in ("root", "storage"):
        (home / folder).mkdir()
    (home / "adb_keys").write_text("".join(f"{key.read_text().strip()}\n" for key in furnishing.keys))
    (home / "adb_keys").chmod(0o644)
    _copy_commands(home / "stubs")
    _write_state(home / "property" / "settings", SETTINGS)
    _write_state(home / "property" / "prop", {**PROPERTIES, **furnishing.properties})
    _write_state(home / "property" / "run" / "prop", {})
    _write_shown(home, furnishing)


def own_file(home: Path, device_path: str) -> Path:
    """Where the phone's folder keeps the entry of /proc or /sys that it shows in place of the host's."""
    if not device_path.startswith(("/proc/", "/sys/")):
        raise ValueError(f"only entries of /proc and /sys can be shown differently, not {device_path}")
    return home / device_path.removeprefix("/")


def _copy_commands(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    for file in (testbed.HERE / "stubs").iterdir():
        if file.is_file():
            shutil.copyfile(file, folder / file.name)
            (folder / file.name).chmod(0o755)


def _write_state(folder: Path, values: Mapping[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, value in values.items():
        (folder / name).write_text(f"{value}\n")


def _write_shown(home: Path, furnishing: Furnishing) -> None:
    for folder in ("proc", "sys"):
        (home / folder).mkdir()
    for device_path, text in {BOOT_ID: Path(BOOT_ID).read_text(), **furnishing.shown}.items():
        _mark(home, device_path).write_text(text)
    if furnishing.cores:
        write_cores(_mark(home, "/sys/devices/system/cpu"), furnishing.cores)
    if furnishing.thermal_zones is not None:
        write_thermal_zones(_mark(home, "/sys/class/thermal"), furnishing.thermal_zones)
    for folder in ("proc", "sys"):
        for entry in (home / folder).rglob("*"):
            if not entry.is_symlink():
                entry.chmod(0o755 if entry.is_dir() else 0o444)


def _mark(home: Path, device_path: str) -> Path:
    """Mark an entry to be shown; the path to write what is shown to."""
    entry = own_file(home, device_path)
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.with_name(f"{entry.name}.shown").touch()
    return entry
