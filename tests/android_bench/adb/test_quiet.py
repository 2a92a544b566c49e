"""A phone's settings are as they were after a session, however it ended."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lookalike.fixtures import AdbKey
from lookalike.lookalike import Lookalike
from reaching import over_tcp, within

from android_bench.adb.phone import identify
from android_bench.adb.phone_guard import PhoneGuard
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.adb.quiet import JOURNAL, Quiet
from android_bench.change import Change
from pocketnas_base.errors import DeviceError

SETTINGS = {
    "stay_on_while_plugged_in": "settings/global.stay_on_while_plugged_in",
    "screen_off_timeout": "settings/system.screen_off_timeout",
    "screen_brightness_mode": "settings/system.screen_brightness_mode",
    "screen_brightness": "settings/system.screen_brightness",
    "low_power": "settings/global.low_power",
}
QUIET = {
    "stay_on_while_plugged_in": "7",
    "screen_off_timeout": "1800000",
    "screen_brightness_mode": "0",
    "screen_brightness": "0",
    "low_power": "0",
}


@pytest.fixture
def transport(phone: Lookalike, adb_key: AdbKey) -> Iterator[PhoneTransport]:
    transport = over_tcp(phone, adb_key, patience_s=2)
    yield transport
    transport.close()


@pytest.fixture
def quiet(transport: PhoneTransport) -> Quiet:
    return Quiet(transport, "the phone")


def stored(phone: Lookalike) -> dict[str, str | None]:
    return {name: phone.get(place) for name, place in SETTINGS.items()}


def everything(phone: Lookalike) -> dict[str, str]:
    """All settings, and what holds until the next boot, as a reader of them sees it."""
    folder = phone.path("/data/property/settings")
    found = {file.name: file.read_text() for file in folder.iterdir()}
    found["doze"] = f"{phone.get('run/deviceidle_deep') or '1'}{phone.get('run/deviceidle_light') or '1'}"
    found["fixed_performance"] = phone.get("run/fixed_performance") or "false"
    found["screen"] = phone.get("wakefulness") or "Awake"
    return found


def outcomes(quiet: Quiet) -> dict[str, str]:
    return {change.setting: change.outcome for change in quiet.changes}


def journal(phone: Lookalike) -> str | None:
    try:
        return phone.path(JOURNAL).read_text()
    except FileNotFoundError:
        return None


def write_journal(phone: Lookalike, content: bytes) -> None:
    folder = phone.path(JOURNAL).parent
    if not folder.exists():
        folder.mkdir()
        os.chown(folder, 2000, 2000)
    phone.path(JOURNAL).write_bytes(content)


# The usual course


def test_a_session_quiets_the_phone_and_puts_everything_back(phone: Lookalike, quiet: Quiet) -> None:
    before = everything(phone)
    quiet.begin(asleep=False)
    assert stored(phone) == QUIET
    assert phone.get("run/deviceidle_deep") == phone.get("run/deviceidle_light") == "0"
    assert phone.get("run/fixed_performance") == "true"
    assert outcomes(quiet) == {
        "stay_on_while_plugged_in": "changed",
        "screen_off_timeout": "changed",
        "screen_brightness_mode": "changed",
        "screen_brightness": "changed",
        "low_power": "kept",
        "doze": "changed",
        "fixed_performance_mode": "changed",
    }
    brightness = next(change for change in quiet.changes if change.setting == "screen_brightness")
    assert brightness == Change("screen_brightness", "102", "0", "changed")
    assert journal(phone) is not None
    quiet.end()
    assert everything(phone) == before
    assert journal(phone) is None
    assert outcomes(quiet)["screen_brightness"] == "restored"


@pytest.mark.parametrize("value", [None, "1", "2147483647"])
def test_whatever_the_settings_were_they_are_again(phone: Lookalike, quiet: Quiet, value: str | None) -> None:
    for place in SETTINGS.values():
        phone.unset(place) if value is None else phone.set(place, value)
    before = everything(phone)
    quiet.begin(asleep=False)
    assert stored(phone) == QUIET
    quiet.end()
    assert everything(phone) == before


def test_brightness_that_the_system_adapts_is_the_systems_again(phone: Lookalike, quiet: Quiet) -> None:
    phone.set(SETTINGS["screen_brightness_mode"], "1")
    before = everything(phone)
    quiet.begin(asleep=False)
    phone.set("adaptive_brightness", "64")
    quiet.end()
    assert everything(phone) == before
    assert journal(phone) is None
    assert outcomes(quiet)["screen_brightness"] == "restored"
    assert phone.get("slider") is None


def test_what_is_quiet_already_is_left_alone(phone: Lookalike, quiet: Quiet) -> None:
    for name, value in QUIET.items():
        phone.set(SETTINGS[name], value)
        phone.refuse(f"settings.{SETTINGS[name].partition('/')[2]}")
    phone.set("run/deviceidle_deep", "0")
    phone.set("run/deviceidle_light", "0")
    quiet.begin(asleep=False)
    assert {outcome for name, outcome in outcomes(quiet).items() if name != "fixed_performance_mode"} == {"kept"}
    quiet.end()
    assert stored(phone) == QUIET
    assert phone.get("run/deviceidle_deep") == "0"


def test_a_sleeping_phone_is_woken_and_sleeps_again(phone: Lookalike, quiet: Quiet) -> None:
    phone.set("wakefulness", "Asleep")
    phone.set("keyguard", "true")
    quiet.begin(asleep=True)
    assert (phone.get("wakefulness"), phone.get("keyguard")) == ("Awake", "false")
    quiet.end()
    assert phone.get("wakefulness") == "Asleep"


def test_a_lock_with_a_secret_stays_locked(phone: Lookalike, quiet: Quiet) -> None:
    phone.set("keyguard", "true")
    phone.set("keyguard_secure", "true")
    quiet.begin(asleep=False)
    quiet.end()
    assert phone.get("keyguard") == "true"


# Phones that refuse


REFUSALS = {
    "stay_on_while_plugged_in": "settings.global.stay_on_while_plugged_in",
    "screen_off_timeout": "settings.system.screen_off_timeout",
    "screen_brightness_mode": "settings.system.screen_brightness_mode",
    "screen_brightness": "settings.system.screen_brightness",
    "doze": "deviceidle",
    "fixed_performance_mode": "fixed_performance",
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_noted_and_the_rest_done_and_undone(phone: Lookalike, quiet: Quiet, name: str) -> None:
    before = everything(phone)
    phone.refuse(REFUSALS[name])
    quiet.begin(asleep=False)
    assert outcomes(quiet)[name] == "refused"
    refused = next(change for change in quiet.changes if change.setting == name)
    assert refused.detail
    assert refused.detail.isprintable()
    assert len(refused.detail) <= 200
    assert f"{name}=" not in (journal(phone) or "")
    assert {outcome for other, outcome in outcomes(quiet).items() if other != name} <= {"changed", "kept"}
    quiet.end()
    assert everything(phone) == before
    assert journal(phone) is None


def test_a_refusal_without_a_word_is_noted_too(phone: Lookalike, quiet: Quiet) -> None:
    before = everything(phone)
    mute = [name for name in REFUSALS if name != "fixed_performance_mode"]  # nobody can read that one
    for name in mute:
        phone.refuse(REFUSALS[name], silently=True)
    quiet.begin(asleep=False)
    for name in mute:
        refused = next(change for change in quiet.changes if change.setting == name)
        assert (refused.outcome, refused.detail) == ("refused", "it took no effect")
    assert journal(phone) == "fixed_performance_mode=false\n"
    quiet.end()
    assert everything(phone) == before


@pytest.mark.parametrize("answer", ["", "0; reboot", "1\n2", "\x1b[2J", "x" * 65, "--user"])
def test_a_value_that_is_none_is_not_changed(phone: Lookalike, quiet: Quiet, answer: str) -> None:
    phone.answer("settings get system screen_brightness", answer)
    quiet.begin(asleep=False)
    assert phone.get(SETTINGS["screen_brightness"]) == "102"
    assert outcomes(quiet)["screen_brightness"] == "refused"
    assert "screen_brightness=" not in (journal(phone) or "")


def test_a_phone_without_the_services_is_left_as_it_is(phone: Lookalike, quiet: Quiet) -> None:
    phone.set("missing.deviceidle", "")
    phone.answer("cmd power set-fixed-performance-mode-enabled true", "", stderr="cmd: Can't find service: power\n")
    quiet.begin(asleep=False)
    assert outcomes(quiet)["doze"] == outcomes(quiet)["fixed_performance_mode"] == "refused"
    quiet.end()
    assert journal(phone) is None


def test_what_cannot_be_put_back_is_remembered_until_it_can(phone: Lookalike, transport: PhoneTransport) -> None:
    first = Quiet(transport, "the phone")
    first.begin(asleep=False)
    phone.refuse("settings.system.screen_brightness")
    first.end()
    assert outcomes(first)["screen_brightness"] == "not restored"
    assert journal(phone) == "screen_brightness=102\n"
    assert phone.get(SETTINGS["stay_on_while_plugged_in"]) == "0"
    second = Quiet(transport, "the phone")
    second.begin(asleep=False)
    assert "screen_brightness=102\n" in (journal(phone) or "")
    second.end()
    assert journal(phone) == "screen_brightness=102\n"
    phone.allow("settings.system.screen_brightness")
    third = Quiet(transport, "the phone")
    assert third.put_right() == [Change("screen_brightness", None, "102", "restored")]
    assert phone.get(SETTINGS["screen_brightness"]) == "102"
    assert journal(phone) is None


def test_a_value_that_becomes_another_is_told_and_put_back(phone: Lookalike, quiet: Quiet) -> None:
    """Some makers keep the screen from going all dark."""
    before = everything(phone)
    clamped = Quiet._write

    def clamp(self: Quiet, values: dict[str, str]) -> dict[str, str | None]:
        written = clamped(self, values)
        if values.get("screen_brightness") == "0":
            phone.set(SETTINGS["screen_brightness"], "10")
        return written

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Quiet, "_write", clamp)
        quiet.begin(asleep=False)
    assert Change("screen_brightness", "102", "0", "changed", "it became 10") in quiet.changes
    quiet.end()
    assert everything(phone) == before


def test_a_phone_that_was_started_anew_is_quieted_once_more(
    phone: Lookalike, quiet: Quiet, transport: PhoneTransport
) -> None:
    before = everything(phone)
    quiet.begin(asleep=False)
    phone.reboot()
    transport.close()
    assert (phone.get("keyguard"), phone.get("run/fixed_performance")) == ("true", None)
    quiet.again()
    assert (phone.get("keyguard"), phone.get("run/fixed_performance")) == ("false", "true")
    assert phone.get("run/deviceidle_deep") == "0"
    assert stored(phone) == QUIET
    quiet.end()
    assert everything(phone) == before
    assert journal(phone) is None


# Sessions that break off


@pytest.fixture
def guard(transport: PhoneTransport) -> Callable[[], PhoneGuard]:
    return lambda: PhoneGuard(transport, identify(transport))


def test_an_error_in_a_session_puts_everything_back(phone: Lookalike, guard: Callable[[], PhoneGuard]) -> None:
    before = everything(phone)

    def fail() -> None:
        with guard().session():
            assert stored(phone) == QUIET
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert everything(phone) == before
    assert journal(phone) is None


def test_an_error_while_it_begins_puts_everything_back(
    phone: Lookalike, guard: Callable[[], PhoneGuard], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(phone)
    write = Quiet._write
    calls: list[object] = []

    def fail_after_the_first(self: Quiet, values: dict[str, str]) -> dict[str, str | None]:
        calls.append(values)
        written = write(self, values)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return written

    monkeypatch.setattr(Quiet, "_write", fail_after_the_first)
    with pytest.raises(KeyboardInterrupt), guard().session():
        pytest.fail("the session began")
    assert len(calls) == 2
    assert everything(phone) == before
    assert journal(phone) is None


@pytest.fixture
def killed_in_a_session(phone: Lookalike, adb_key: AdbKey) -> dict[str, str]:
    """A phone whose host was killed while it measured; what its settings were before."""
    before = everything(phone)
    program = textwrap.dedent(f"""
        import time
        from android_bench.adb.phone import open_phone
        with open_phone("tcp:{phone.host}:{phone.port}").guard.session():
            print("begun", flush=True)
            time.sleep(60)
    """)
    environ = {
        **os.environ,
        "ADB_VENDOR_KEYS": str(adb_key.private),
        "HOME": str(adb_key.private.parent),
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    host = subprocess.Popen([sys.executable, "-c", program], env=environ, stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    assert host.stdout.readline() == "begun\n"
    assert stored(phone) == QUIET
    host.send_signal(signal.SIGKILL)
    host.wait()
    host.stdout.close()
    assert within(3, lambda: phone.processes() == [])
    assert stored(phone) == QUIET
    return before


def test_a_host_that_was_killed_leaves_a_phone_that_is_put_right(
    phone: Lookalike, killed_in_a_session: dict[str, str], quiet: Quiet
) -> None:
    assert set(quiet.pending()) == {
        "stay_on_while_plugged_in", "screen_off_timeout", "screen_brightness_mode", "screen_brightness", "doze",
        "fixed_performance_mode",
    }  # fmt: skip
    assert all(change.outcome == "restored" for change in quiet.put_right())
    assert everything(phone) == killed_in_a_session
    assert quiet.pending() == {}
    assert quiet.put_right() == []


def test_a_host_that_was_killed_leaves_a_phone_that_the_next_session_puts_right(
    phone: Lookalike, killed_in_a_session: dict[str, str], guard: Callable[[], PhoneGuard]
) -> None:
    with guard().session():
        assert stored(phone) == QUIET
    assert everything(phone) == killed_in_a_session


def test_a_host_that_was_killed_and_a_phone_that_rebooted_leave_settings_that_are_put_right(
    phone: Lookalike, killed_in_a_session: dict[str, str], quiet: Quiet, transport: PhoneTransport
) -> None:
    phone.reboot()
    transport.close()
    quiet.put_right()
    assert everything(phone) == killed_in_a_session
    assert journal(phone) is None


def test_a_phone_that_is_gone_at_the_end_is_told_and_put_right_later(
    phone: Lookalike, transport: PhoneTransport, quiet: Quiet
) -> None:
    before = everything(phone)
    told: list[str] = []
    with PhoneGuard(transport, identify(transport), say=told.append).session():
        phone.kill_adbd()
    assert "was not put back" in told[-1]
    assert "doctor -d" in told[-1]
    assert "--restore" in told[-1]
    phone.restart_adbd()
    quiet.put_right()
    assert everything(phone) == before


# What may lie in the journal


HOSTILE = [
    b"",
    b"\n\n",
    b"=1\n",
    b"reboot=now\n",
    b"airplane_mode_on=1\n",
    b"screen_brightness\n",
    b"screen_brightness=\n",
    b"screen_brightness= 5\n",
    b"screen_brightness=$(touch /data/local/tmp/pwned)\n",
    b"screen_brightness=5;touch /data/local/tmp/pwned\n",
    b"screen_brightness=5' 'x\n",
    b"screen_brightness=5\x00\n",
    b"screen_brightness=--user\n",
    b"screen_brightness=" + b"9" * 65 + b"\n",
    bytes(range(256)) * 20,
    b"\xff\xfe=1\n",
    b"x" * 3_000_000,
]


def test_what_was_not_written_by_us_is_ignored(phone: Lookalike, quiet: Quiet) -> None:
    before = everything(phone)
    for content in [*HOSTILE, b"\n".join(HOSTILE)]:
        write_journal(phone, content)
        assert quiet.put_right() == []
        assert everything(phone) == before
    quiet.begin(asleep=False)
    quiet.end()
    assert everything(phone) == before
    assert not phone.path("/data/local/tmp/pwned").exists()
    assert journal(phone) is None


def test_good_lines_between_bad_ones_are_followed(phone: Lookalike, quiet: Quiet) -> None:
    write_journal(phone, b"\xff\nscreen_brightness=55\nrm=-rf\nlow_power=1\nlow_power=`id`\ndoze=1")
    assert quiet.pending() == {"screen_brightness": "55", "low_power": "1", "doze": "1"}
    quiet.put_right()
    assert (phone.get(SETTINGS["screen_brightness"]), phone.get(SETTINGS["low_power"])) == ("55", "1")
    assert journal(phone) is None


def test_without_room_for_the_journal_nothing_is_changed(phone: Lookalike, quiet: Quiet) -> None:
    before = everything(phone)
    quiet.pending()
    phone.fill()
    with pytest.raises(DeviceError, match="no room left"):
        quiet.begin(asleep=False)
    assert everything(phone) == before
    phone.free()
    phone.path("/data/local/tmp/pocketnas").chmod(0o555)
    with pytest.raises(DeviceError, match=r"the phone cannot keep a note of its settings \(.*ermission denied\)"):
        quiet.begin(asleep=False)
    assert everything(phone) == before
