"""`pocketnas devices`: what is connected, and what to do about what is not ready."""

from dataclasses import asdict
from pathlib import Path

from android_bench.inventory import SeenDevice, take_inventory
from pocketnas.console import print_json, print_words, say
from pocketnas.device_names import names_in

TRANSPORTS = {
    "local": "local",
    "adb-usb": "adb (USB)",
    "adb-network": "adb (network)",
    "tcp": "network",
    "usb": "USB",
}


def show_devices(config: Path | None, *, as_json: bool) -> None:
    """List this machine, the phones that adb knows, and those that the configuration names."""
    inventory = take_inventory(names_in(config))
    if inventory.adb_problem is not None:
        say(f"phones cannot be looked for: {inventory.adb_problem}")
    if as_json:
        print_json({"devices": [asdict(device) for device in inventory.devices], "adb_problem": inventory.adb_problem})
        return
    print_words(
        ["device", "model", "processor", "system", "ABI", "transport", "state"],
        [_row(device) for device in inventory.devices],
        whole=("device", "ABI", "transport", "state"),
    )
    for device in inventory.devices:
        if not device.is_ready:
            print(advice_line(device))
    if inventory.adb_problem is None and len(inventory.devices) == 1:
        print("no phone is attached: see README, Connect a phone")


def advice_line(device: SeenDevice) -> str:
    """What to do about a device that is not ready."""
    own = device.advice.removeprefix(device.id).lstrip(": ")
    return f"{device.id}: {own}"


def _row(device: SeenDevice) -> list[str]:
    asked = device.state in ("ready", "busy", "unsupported")
    told = [value or ("unreadable" if asked else "-") for value in _facts(device)]
    shown = f"{device.id} ({device.name})" if device.name else device.id
    return [shown, *told, TRANSPORTS[device.transport], device.state]


def _facts(device: SeenDevice) -> list[str | None]:
    return [device.model, device.soc, device.os_version, device.abi]
