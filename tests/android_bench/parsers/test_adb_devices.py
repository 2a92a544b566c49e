"""The devices that an adb server knows."""

import pytest
from device_samples import ADB_DEVICES
from hypothesis import given
from hypothesis import strategies as st

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.adb_devices import AdbDevice, parse_adb_devices

STATES = st.sampled_from(["device", "offline", "unauthorized", "authorizing", "connecting", "recovery", "bootloader"])
WORDS = st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True)


def test_devices_of_every_state() -> None:
    assert [(device.serial, device.state) for device in parse_adb_devices(ADB_DEVICES)] == [
        ("R58M12ABCDE", "device"),
        ("emulator-5554", "offline"),
        ("192.168.1.200:5555", "unauthorized"),
        ("adb-R58M12ABCDE-abcdef (2)._adb-tls-connect._tcp", "device"),
        ("HT7A11A00001", "no permissions"),
        ("????????????", "no permissions"),
        ("(no serial number)", "recovery"),
        ("0123456789ABCDEF", "sideload"),
    ]


def test_device_with_all_that_adb_knows_of_it() -> None:
    first = parse_adb_devices(ADB_DEVICES)[0]
    assert first == AdbDevice("R58M12ABCDE", "device", "dm1qxxx", "SM_S911B", "dm1q", 1)


def test_reason_for_missing_permissions_is_kept() -> None:
    device = parse_adb_devices(ADB_DEVICES)[4]
    assert device.transport_id == 2
    assert device.note == (
        "(user in plugdev group; are your udev rules wrong?); see [http://developer.android.com/tools/device.html]"
    )


def test_no_device_is_no_error() -> None:
    assert parse_adb_devices("List of devices attached\n\n") == ()


def test_words_about_the_server_are_passed_over() -> None:
    text = (
        "adb server version (41) doesn't match this client (39); killing...\n"
        "List of devices attached\n * daemon not running; starting now at tcp:5037\n* daemon started successfully\n"
    )
    assert parse_adb_devices(text) == ()


def test_state_that_newer_servers_may_have_is_kept() -> None:
    (device,) = parse_adb_devices("List of devices attached\nR58M12ABCDE   hibernating transport_id:5\n")
    assert (device.serial, device.state, device.transport_id) == ("R58M12ABCDE", "hibernating", 5)


@pytest.mark.parametrize(
    "output",
    [
        "",
        "error: no devices/emulators found\n",
        "R58M12ABCDE\tdevice\n",
        "List of devices attached\nR58M12ABCDE\n",
        "List of devices attached\nR58M12ABCDE\tDEVICE\n",
        f"List of devices attached\n{'x' * 2000}\tdevice\n",
    ],
)
def test_what_is_no_list_of_devices_is_refused(output: str) -> None:
    with pytest.raises(UnreadableOutputError, match="adb devices"):
        parse_adb_devices(output)


@given(st.lists(st.builds(AdbDevice, WORDS, STATES, WORDS, WORDS, WORDS, st.integers(0, 10**6)), max_size=4))
def test_devices_survive_the_trip(devices: list[AdbDevice]) -> None:
    rows = "".join(
        f"{d.serial:<22} {d.state} product:{d.product} model:{d.model} device:{d.device} "
        f"transport_id:{d.transport_id}\n"
        for d in devices
    )
    assert parse_adb_devices(f"List of devices attached\n{rows}\n") == tuple(devices)
