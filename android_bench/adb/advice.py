"""What is to be done about a phone that adb lists in another state than `device` (adb's own words for states)."""

import re

from android_bench.parsers.adb_devices import AdbDevice

_NETWORK = re.compile(r".+:\d{1,5}|.+\._adb(-tls-connect)?\._tcp\.?|emulator-\d+")


def is_network_serial(serial: str) -> bool:
    """Whether adb reaches the phone over the network: it then gives it an address, or a service's name, as serial."""
    return _NETWORK.fullmatch(serial) is not None


def advice(phone: AdbDevice) -> str:
    """One line: what to do until adb calls the phone a `device`; "" for one that is."""
    serial, state = phone.serial, phone.state
    again = (
        f"adb disconnect {serial}, then adb connect {serial}"
        if is_network_serial(serial)
        else "unplug it and plug it in again, or: adb reconnect offline"
    )
    match state:
        case "device":
            return ""
        case "unauthorized":
            return (
                "unlock it and accept `Allow USB debugging?` with `Always allow`; if it does not ask: Developer"
                f" options, Revoke USB debugging authorizations, then {again}"
            )
        case "authorizing" | "connecting":
            return f"wait a few seconds; if it stays so: {again}"
        case "offline":
            return f"it does not answer adb; unlock it, then {again}"
        case "no permissions":
            said = f" (adb says: {phone.note})" if phone.note else ""
            return (
                "this user may not open its USB port: install the udev rules (Debian: apt install"
                f" android-sdk-platform-tools-common), then unplug it and plug it in again{said}"
            )
        case "recovery" | "sideload" | "rescue":
            return f"it is in its recovery, not in Android: adb -s {serial} reboot"
        case "bootloader":
            return "it is in the bootloader, not in Android: fastboot reboot, or hold its power button"
        case _:
            return f"adb calls it {state!r}; {again}, or: adb kill-server"
