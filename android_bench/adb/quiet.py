"""Quieting a phone for a session, and putting everything back, whatever happens.

Each setting is read before it is changed. What is to be put back is first written to the phone itself, so that a host
that loses power leaves a phone that the next one (or `pocketnas doctor --restore`) puts right.
"""

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from android_bench.adb.supervisor import DEVICE_FOLDER
from android_bench.change import Change
from android_bench.transport import Completed, Transport
from pocketnas_base.errors import DeviceError

JOURNAL = f"{DEVICE_FOLDER}/restore"
_TIMEOUT_S = 30.0
_VALUE = re.compile(r"[A-Za-z0-9._-]{1,64}")

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Setting:
    """read: prints the value; () where Android offers no way. write: sets a value. wanted: the quiet value. without:
    the value to restore where none could be read."""

    name: str
    read: Command
    write: Callable[[str], Command]
    wanted: str
    without: str | None = None


def _stored(namespace: str, key: str, wanted: str) -> _Setting:
    """An entry of Android's settings; `null` is how it says that there is none."""

    def write(value: str) -> Command:
        if value == "null":
            return ("settings", "delete", namespace, key)
        return ("settings", "put", namespace, key, value)

    return _Setting(key, ("settings", "get", namespace, key), write, wanted)


# In this order: the screen is kept on before it is dimmed.
_SETTINGS = (
    _stored("global", "stay_on_while_plugged_in", "7"),
    _stored("system", "screen_brightness_mode", "0"),
    _stored("system", "screen_brightness", "0"),
    _stored("global", "low_power", "0"),
    _Setting(
        "doze",
        ("dumpsys", "deviceidle", "enabled"),
        lambda value: ("dumpsys", "deviceidle", "disable" if value == "0" else "enable"),
        wanted="0",
    ),
    _Setting(
        "fixed_performance_mode",
        (),
        lambda value: ("cmd", "power", "set-fixed-performance-mode-enabled", value),
        wanted="true",
        without="false",
    ),
)
_BY_NAME = {setting.name: setting for setting in _SETTINGS}


class Quiet:
    """The settings of one phone during one session. changes: what was done, for the record."""

    def __init__(self, transport: Transport, name: str) -> None:
        self._transport, self._name = transport, name
        self.changes: list[Change] = []
        self._was_asleep = False

    def begin(self, *, asleep: bool) -> None:
        """Put right what an earlier session left, wake the phone, and quiet it. asleep: whether its screen is off."""
        self.put_right()
        self._was_asleep = asleep
        if asleep:
            self._try(("input", "keyevent", "KEYCODE_WAKEUP"))
        self._try(("wm", "dismiss-keyguard"))
        left = self.pending()  # what could not be put right stays what was there first
        plans = [(setting, *self._plan(setting)) for setting in _SETTINGS]
        backs = {s.name: back for s, before, back in plans if before != s.wanted and back is not None} | left
        self._write_journal(backs)
        for setting, before, _ in plans:
            change = self._apply(setting, before)
            self.changes.append(change)
            if change.outcome == "refused" and setting.name not in left:
                backs.pop(setting.name, None)
        self._write_journal(backs)

    def end(self) -> None:
        """Put every changed setting back, and remember on the phone what could not be."""
        self.put_right()
        if self._was_asleep:
            self._try(("input", "keyevent", "KEYCODE_SLEEP"))

    def put_right(self) -> list[Change]:
        """Restore what the phone's own journal holds: of this session, or of one that died. Returns what was done."""
        done: list[Change] = []
        left: dict[str, str] = {}
        for name, value in self.pending().items():
            setting = _BY_NAME[name]
            answer = self._try(setting.write(value))
            good = answer.exit_status == 0 and not _is_refusal(answer)
            if not good:
                left[name] = value
            outcome, detail = ("restored", "") if good else ("not restored", _words(answer))
            done.append(Change(name, None, value, outcome, detail))
        if done:
            self._write_journal(left)
        self.changes += done
        return done

    def pending(self) -> dict[str, str]:
        """The settings that the phone's journal says are to be put back. Lines that are not ours are left out."""
        answer = self._try(("cat", JOURNAL))
        found: dict[str, str] = {}
        for line in answer.stdout.decode(errors="replace").splitlines() if answer.exit_status == 0 else ():
            name, _, value = line.partition("=")
            if name in _BY_NAME and _VALUE.fullmatch(value):
                found[name] = value
        return found

    def _plan(self, setting: _Setting) -> tuple[str | None, str | None]:
        """A setting's value, and what to put back later; None where it cannot be told."""
        if not setting.read:
            return None, setting.without
        answer = self._try(setting.read)
        value = answer.stdout.decode(errors="replace").strip()
        if answer.exit_status != 0 or not _VALUE.fullmatch(value):
            return None, setting.without
        return value, value

    def _apply(self, setting: _Setting, before: str | None) -> Change:
        if before == setting.wanted:
            return Change(setting.name, before, setting.wanted, "kept")
        if before is None and setting.without is None:
            return Change(setting.name, None, setting.wanted, "refused", "it cannot be read, so it is not changed")
        answer = self._try(setting.write(setting.wanted))
        if answer.exit_status != 0 or _is_refusal(answer):
            return Change(setting.name, before, setting.wanted, "refused", _words(answer))
        return Change(setting.name, before, setting.wanted, "changed")

    def _write_journal(self, values: dict[str, str]) -> None:
        if values:
            text = "".join(f"{name}={value}\n" for name, value in values.items())
            part = shlex.quote(JOURNAL + ".part")
            script = f"printf %s {shlex.quote(text)} >{part} && mv -f {part} {shlex.quote(JOURNAL)}"
        else:
            script = f"rm -f {shlex.quote(JOURNAL)}"
        done = self._try(("sh", "-c", f"mkdir -p {DEVICE_FOLDER} && {script}"))
        if done.exit_status != 0:
            raise DeviceError(
                f"{self._name} cannot keep a note of its settings ({_words(done)}), so none of them is changed"
            )

    def _try(self, argv: Sequence[str]) -> Completed:
        return self._transport.run(argv, timeout_s=_TIMEOUT_S)


def _is_refusal(answer: Completed) -> bool:
    """Android's tools often say no with exit status 0."""
    said = (answer.stdout + answer.stderr).lower()
    return any(word in said for word in (b"exception", b"error", b"unknown command", b"not supported", b"can't find"))


def _words(answer: Completed) -> str:
    said = (answer.stderr or answer.stdout).decode(errors="replace").strip().partition("\n")[0]
    return "".join(letter for letter in said if letter.isprintable())[:200] or f"exit status {answer.exit_status}"
