"""One phone lookalike: a real adbd on 127.0.0.1, its storage, sensors, power button and what can go wrong with them.

    with lookalike(keys=[public_key], root_size_mb=64) as phone:
        phone.set("bat_level", "12")
        phone.fill()
        phone.reboot()

Several run side by side. Nothing of a phone is left after `stop`, nor after the death of the process that started it.
"""

import contextlib
import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from lookalike import testbed
from lookalike.cores import Core
from lookalike.furnish import BOOT_ID, Furnishing, furnish, own_file
from lookalike.hardware import Hardware
from lookalike.ports import free_port, is_listening
from lookalike.processes import Process, descendants, is_adbd
from lookalike.state import State

STORAGE = "/data/local/tmp"
DEADLINE_S = 15.0
POLL_S = 0.005


class Lookalike(State):
    """A phone that a test may do anything to. `start` and `stop` it, or use it as a context manager.

    Args:
        keys: public keys (files in adb's format) that it trusts.
        port: where adbd listens on 127.0.0.1; a free one by default.
        root_size_mb: the size of /data/local/tmp, MiB; 1024 by default.
        cores: what /sys/devices/system/cpu shows; the host's own by default.
        thermal_zones: what /sys/class/thermal shows, type -> millidegrees Celsius; the host's own by default.
        shown: files of /proc and /sys with a text to show in their place, such as {"/proc/cpuinfo": "..."}.
        properties: system properties, on top of `furnish.PROPERTIES`.
    """

    def __init__(
        self,
        *,
        keys: Sequence[Path] = (),
        port: int | None = None,
        root_size_mb: int | None = None,
        cores: Sequence[Core] = (),
        thermal_zones: Mapping[str, int] | None = None,
        shown: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self.host = "127.0.0.1"
        self.port = port or free_port()
        self._storage_kib = (root_size_mb or 1024) * 1024
        self._furnishing = Furnishing(keys, cores, thermal_zones, shown or {}, properties or {})
        self._running: tuple[Path, Hardware] | None = None

    @property
    def serial(self) -> str:
        """The name under which an adb server knows it."""
        return f"{self.host}:{self.port}"

    def start(self) -> Self:
        """Assemble the phone and boot it; returns when adbd listens.

        Raises:
            RuntimeError: it cannot run here, or cannot be assembled; with the reason.
            TimeoutError: adbd did not come up.
        """
        reason = testbed.available()
        if reason:
            raise RuntimeError(reason)
        home = Path(tempfile.mkdtemp(prefix="pocketnas-lookalike-"))
        try:
            furnish(home, self._furnishing)
            self._running = (home, Hardware(home, self.port, self._storage_kib))
            self.power_on()
        except BaseException:
            self.stop()
            shutil.rmtree(home, ignore_errors=True)
            raise
        return self

    def stop(self) -> None:
        """End every process of the phone and remove its files. A second call does nothing."""
        if self._running is not None:
            home, hardware = self._running
            self._running = None
            hardware.close()
            shutil.rmtree(home)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Power

    def power_on(self) -> None:
        """Boot; returns when adbd listens."""
        self._hardware.switch_on()
        self._await_adbd()

    def power_off(self) -> None:
        """End every process at once, as an empty battery does. Files stay."""
        self._hardware.switch_off()

    def reboot(self, down_s: float = 0.0) -> None:
        """Off, `down_s` seconds of nothing, on again, locked, with a new boot id. The state under run/ is forgotten."""
        self.power_off()
        time.sleep(down_s)
        self.forget()
        self.set("wakefulness", "Awake")
        self.set("keyguard", "true")
        self.boot_id = str(uuid.uuid4())
        self.power_on()

    @property
    def boot_id(self) -> str:
        """What /proc/sys/kernel/random/boot_id shows: the host's own until a reboot or a test changes it."""
        return own_file(self._home, BOOT_ID).read_text().strip()

    @boot_id.setter
    def boot_id(self, value: str) -> None:
        own_file(self._home, BOOT_ID).write_text(f"{value}\n")

    # The daemon

    def kill_adbd(self) -> None:
        """End adbd. Connections break, the port stays closed until `restart_adbd`; what its shells started lives on."""
        adbd = self._adbd()
        if adbd is not None:
            os.kill(adbd, signal.SIGKILL)
            self._until(lambda: self._adbd() is None and not is_listening(self.port), "adbd does not end")

    def restart_adbd(self) -> None:
        """End adbd where it runs and start it on the same port; returns when it listens."""
        self.kill_adbd()
        os.kill(self._hardware.first_process(), signal.SIGUSR1)
        self._await_adbd()

    def pause_adbd(self) -> None:
        """Stop adbd without a word: connections stay open and nothing comes through, as on a phone out of reach."""
        os.kill(self._running_adbd(), signal.SIGSTOP)

    def resume_adbd(self) -> None:
        """Let a paused adbd go on."""
        os.kill(self._running_adbd(), signal.SIGCONT)

    def trust(self, key: Path) -> None:
        """Trust one more public key, from the next connection on."""
        with (self._home / "adb_keys").open("a") as keys:
            keys.write(f"{key.read_text().strip()}\n")

    def distrust(self) -> None:
        """Trust no key any more, from the next connection on."""
        (self._home / "adb_keys").write_text("")

    # What runs and lies inside

    def processes(self) -> list[Process]:
        """What runs on the phone, except its first process, adbd and what has ended already."""
        if not self._hardware.is_on:
            return []
        everything = descendants(self._hardware.first_process())
        return [process for process in everything if process.argv and not is_adbd(process)]

    def path(self, device_path: str) -> Path:
        """The host's path of an absolute path on the phone, to read and write as root.

        It goes through symbolic links on the host's side: an absolute one inside the phone leads astray.
        """
        if not device_path.startswith("/"):
            raise ValueError(f"not an absolute path: {device_path}")
        return Path(f"{self._hardware.root}{device_path}")

    def fill(self, leave_bytes: int = 0) -> None:
        """Make /data/local/tmp full but for `leave_bytes` (whole pages): writes fail with "No space left on device"."""
        storage = os.statvfs(self.path(STORAGE))
        used = storage.f_blocks - storage.f_bfree
        self._hardware.resize_storage((used + -(-leave_bytes // storage.f_frsize)) * storage.f_frsize)

    def free(self) -> None:
        """Give /data/local/tmp its size back."""
        self._hardware.resize_storage()

    def log(self) -> str:
        """What adbd and the phone's assembly wrote on standard error."""
        return self._hardware.log()

    @property
    def _home(self) -> Path:
        return self._started()[0]

    @property
    def _hardware(self) -> Hardware:
        return self._started()[1]

    def _started(self) -> tuple[Path, Hardware]:
        if self._running is None:
            raise RuntimeError("the phone lookalike is not started")
        return self._running

    def _adbd(self) -> int | None:
        """The host's number of adbd, None where it does not run."""
        first = self._hardware.first_process()
        return next((child.pid for child in descendants(first) if child.parent == first and is_adbd(child)), None)

    def _running_adbd(self) -> int:
        adbd = self._adbd()
        if adbd is None:
            raise RuntimeError("adbd does not run on this phone lookalike")
        return adbd

    def _await_adbd(self) -> None:
        self._until(lambda: is_listening(self.port), f"adbd does not listen on port {self.port}")

    def _until(self, happened: Callable[[], bool], failure: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not happened():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{failure}: {self.log()}")
            time.sleep(POLL_S)


@contextlib.contextmanager
def lookalike(
    *,
    keys: Sequence[Path] = (),
    port: int | None = None,
    root_size_mb: int | None = None,
    cores: Sequence[Core] = (),
    thermal_zones: Mapping[str, int] | None = None,
    shown: Mapping[str, str] | None = None,
    properties: Mapping[str, str] | None = None,
) -> Iterator[Lookalike]:
    """A running `Lookalike` of these arguments, stopped at the end."""
    with Lookalike(
        keys=keys,
        port=port,
        root_size_mb=root_size_mb,
        cores=cores,
        thermal_zones=thermal_zones,
        shown=shown,
        properties=properties,
    ) as phone:
        yield phone


def available() -> str | None:
    """None where lookalikes can run, else the reason why not, fit for `pytest.skip`."""
    return testbed.available()
