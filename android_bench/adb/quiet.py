"""Quieting a phone for a session, and putting everything back, whatever happens.

Each setting is read before it is changed. What is to be put back is first written to the phone itself, so that a host
that loses power leaves a phone that the next one (or `pocketnas doctor --restore`) puts right.
"""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from android_bench.adb.supervisor import DEVICE_FOLDER
from android_bench.batch import run_batch
from android_bench.change import Change
from android_bench.transport import Completed, Transport
from pocketnas_base.errors import DeviceError

JOURNAL = f"{DEVICE_FOLDER}/restore"
_TIMEOUT_S = 30.0
_VALUE = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]{0,63}")

_REFUSALS = (b"exception", b"error", b"unknown command", b"not supported", b"can't find", b"denial")
_NO_EFFECT = "it took no effect"

FIXED_PERFORMANCE = "fixed_performance_mode"
_BRIGHTNESS = "screen_brightness"
_BRIGHTNESS_MODE = "screen_brightness_mode"
_AUTOMATIC = "1"

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


# In this order: the screen is kept on before it is dimmed. On its battery a phone minds the time-out alone, for which
# Android's own menu goes up to half an hour.
_SETTINGS = (
    _stored("global", "stay_on_while_plugged_in", "7"),
    _stored("system", "screen_off_timeout", "1800000"),
    _stored("system", _BRIGHTNESS_MODE, "0"),
    _stored("system", _BRIGHTNESS, "0"),
    _stored("global", "low_power", "0"),
    _Setting(
        "doze",
        ("dumpsys", "deviceidle", "enabled"),
        lambda value: ("dumpsys", "deviceidle", "disable" if value == "0" else "enable"),
        wanted="0",
    ),
    _Setting(
        FIXED_PERFORMANCE,
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
        """Wake the phone, and quiet it. asleep: whether its screen is off. What an earlier session left is to be put
        right before."""
        self._was_asleep = asleep
        self.wake()
        left = self.pending()  # what could not be put right stays what was there first
        before = self._read()
        plans = {name: setting for name, setting in _BY_NAME.items() if before[name] != setting.wanted}
        backs = {name: before[name] or setting.without for name, setting in plans.items()}
        journal = {name: back for name, back in backs.items() if back is not None} | left
        self._write_journal(journal)
        refusals = self._write({name: plans[name].wanted for name, back in backs.items() if back is not None})
        after = self._read()
        for name, setting in _BY_NAME.items():
            change = _change(setting, before[name], after[name], refusals.get(name))
            self.changes.append(change)
            if change.outcome == "refused" and name not in left:
                journal.pop(name, None)
        self._write_journal(journal)

    def again(self) -> None:
        """Quiet a phone once more that was away, and may have been started anew meanwhile."""
        self.wake()
        refusals = self._write({name: _BY_NAME[name].wanted for name in self.pending()})
        for name, refusal in refusals.items():
            outcome = "changed" if refusal is None else "refused"
            self.changes.append(Change(name, None, _BY_NAME[name].wanted, outcome, refusal or "once more"))

    def end(self) -> None:
        """Put every changed setting back, and remember on the phone what could not be."""
        self.put_right()
        if self._was_asleep:
            self._try(("input", "keyevent", "KEYCODE_SLEEP"))

    def put_right(self) -> list[Change]:
        """Restore what the phone's own journal holds: of this session, or of one that died. Returns what was done."""
        pending = self.pending()
        if not pending:
            return []
        # The last to be changed is the first: brightness that is written in automatic mode moves the user's slider.
        waiting = {name: pending[name] for name in reversed(_BY_NAME) if name in pending}
        refusals = self._write(waiting)
        after = self._read()
        if after[_BRIGHTNESS_MODE] == _AUTOMATIC:
            after[_BRIGHTNESS] = None  # the system's own by now
        done: list[Change] = []
        for name, value in waiting.items():
            words = refusals[name]
            if words is None and after[name] not in (None, value):
                words = f"{_NO_EFFECT}, it is {after[name]}"
            done.append(Change(name, None, value, "restored" if words is None else "not restored", words or ""))
        self._write_journal({change.setting: waiting[change.setting] for change in done if change.detail})
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

    def wake(self) -> None:
        """Screen on and, where no secret locks it, unlocked. Neither does anything on a phone that is awake."""
        self._try(("sh", "-c", "input keyevent KEYCODE_WAKEUP; wm dismiss-keyguard"))

    def _read(self) -> dict[str, str | None]:
        """The value of each setting; None where it cannot be told."""
        readable = [setting for setting in _SETTINGS if setting.read]
        commands = [f"{shlex.join(setting.read)} 2>/dev/null" for setting in readable]
        outputs = run_batch(self._transport, commands, timeout_s=_TIMEOUT_S)
        values = [output.decode(errors="replace").strip() for output in outputs]
        found = {s.name: value for s, value in zip(readable, values, strict=True) if _VALUE.fullmatch(value)}
        return {name: found.get(name) for name in _BY_NAME}

    def _write(self, values: Mapping[str, str]) -> dict[str, str | None]:
        """Set settings. Returns the phone's own words for each that it refused, None for the others."""
        if not values:
            return {}
        commands = [f"{shlex.join(_BY_NAME[name].write(v))} 2>&1; s=$?; echo; echo $s" for name, v in values.items()]
        outputs = run_batch(self._transport, commands, timeout_s=_TIMEOUT_S)
        return {name: _refusal(output) for name, output in zip(values, outputs, strict=True)}

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
                f"{self._name} cannot keep a note of its settings ({_words(done.stderr)}), so none of them is changed"
            )

    def _try(self, argv: Sequence[str]) -> Completed:
        return self._transport.run(argv, timeout_s=_TIMEOUT_S)


def _change(setting: _Setting, before: str | None, after: str | None, refusal: str | None) -> Change:
    """What became of one setting."""
    if before == setting.wanted:
        return Change(setting.name, before, setting.wanted, "kept")
    if before is None and setting.without is None:
        return Change(setting.name, None, setting.wanted, "refused", "it cannot be read, so it is not changed")
    if refusal is None and before is not None and after == before:
        refusal = _NO_EFFECT
    if refusal is not None:
        return Change(setting.name, before, setting.wanted, "refused", refusal)
    became = f"it became {after}" if after not in (None, setting.wanted) else ""
    return Change(setting.name, before, setting.wanted, "changed", became)


def _refusal(output: bytes) -> str | None:
    """Why a command that printed this and its exit status did nothing. Android's tools often say no with status 0."""
    said, _, status = output.strip().rpartition(b"\n")
    if status == b"0" and not any(word in said.lower() for word in _REFUSALS):
        return None
    return _words(said) or f"exit status {_words(status)}"


def _words(said: bytes) -> str:
    first = said.decode(errors="replace").strip().partition("\n")[0]
    return "".join(letter for letter in first if letter.isprintable())[:200]
