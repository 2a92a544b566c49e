"""The state that a phone lookalike's commands show and change, one file each under /data/property."""

import os
import shutil
from pathlib import Path

SHELL_USER = 2000


class State:
    """Reads and writes the state as a test does; `stubs/` does it from inside the phone.

    Most wanted: bat_level, bat_temp (tenths of a degree), bat_usb, bat_ac, thermal_status, thermal_skin, cooling,
    wakefulness (Awake, Asleep, Dozing), keyguard, keyguard_secure, foreground; settings/NAMESPACE.NAME; prop/NAME;
    missing.SERVICE for a service that this phone lacks. What commands change until the next boot lies under run/:
    fixed_performance, deviceidle_deep, deviceidle_light, thermal_override, battery/level, ...
    """

    def path(self, device_path: str) -> Path:
        """The host's path of an absolute path on the phone."""
        raise NotImplementedError

    def set(self, name: str, value: str) -> None:
        """Set one state, e.g. `set("bat_level", "12")`."""
        file = self._file(name)
        for folder in reversed([folder for folder in file.parents if not folder.exists()]):
            folder.mkdir()
            os.chown(folder, SHELL_USER, SHELL_USER)
        file.write_text(f"{value}\n")
        os.chown(file, SHELL_USER, SHELL_USER)

    def get(self, name: str) -> str | None:
        """One state, or None where neither a test nor a command has set it."""
        try:
            return self._file(name).read_text().removesuffix("\n")
        except FileNotFoundError:
            return None

    def unset(self, name: str) -> None:
        """Back to the state's default."""
        self._file(name).unlink(missing_ok=True)

    def forget(self) -> None:
        """Lose what lies under run/, as a reboot does."""
        shutil.rmtree(self._file("run"))
        for folder in (self._file("run"), self._file("run/prop")):
            folder.mkdir()
            os.chown(folder, SHELL_USER, SHELL_USER)

    def setting(self, name: str) -> str | None:
        """A setting by namespace and name, e.g. `setting("global.low_power")`, or None where it does not exist."""
        return self.get(f"settings/{name}")

    def refuse(self, what: str, *, silently: bool = False) -> None:
        """Let the phone refuse a change as its maker may: with an error, or silently by doing nothing.

        `what`: stayon, dismiss_keyguard, fixed_performance, airplane_mode, deviceidle, settings (any of them),
        settings.NAMESPACE.NAME, input, wifi, bluetooth, data or am.
        """
        self.set(f"{'ignore' if silently else 'refuse'}.{what}", "")

    def allow(self, what: str) -> None:
        """Take a refusal back."""
        self.unset(f"refuse.{what}")
        self.unset(f"ignore.{what}")

    def answer(
        self, command: str, stdout: str | bytes, *, stderr: str = "", status: int = 0, delay_s: float = 0.0
    ) -> None:
        """Let a command, e.g. "dumpsys thermalservice", answer with this text from now on, and this late."""
        name = f"answers/{command.replace('/', '_')}"
        self.set(f"{name}.delay", str(delay_s))
        self.set(f"{name}.status", str(status))
        self.set(f"{name}.stderr", "")
        self._file(f"{name}.stderr").write_text(stderr)
        self._file(name).write_bytes(stdout.encode() if isinstance(stdout, str) else stdout)

    def unanswer(self, command: str) -> None:
        """Let a command answer from the state again."""
        self.unset(f"answers/{command.replace('/', '_')}")

    def _file(self, name: str) -> Path:
        return self.path(f"/data/property/{name}")
