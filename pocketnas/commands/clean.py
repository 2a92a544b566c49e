"""`pocketnas runner clean`: take everything of ours off a phone."""

from collections.abc import Sequence

from android_bench.adb.lock import PhoneLock
from android_bench.adb.phone import open_channel
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.adb.phone_workspace import clean_phone
from android_bench.adb.quiet import Quiet
from android_bench.adb.supervisor import DEVICE_FOLDER
from android_bench.errors import StorageFullError
from pocketnas.console import say
from pocketnas.device_names import resolve_device
from pocketnas_base.errors import InputError


def clean(devices: Sequence[str]) -> None:
    """Remove runners and models from each phone. Settings that a session left changed are put back first.

    Raises DeviceBusyError while somebody measures on one, DeviceError when one cannot be reached.
    """
    for name in list(dict.fromkeys(devices)) or [resolve_device(None, {})]:
        if name == "local":
            raise InputError("this machine keeps its runners in its cache; clean is for phones")
        transport = PhoneTransport(open_channel(name, ask=say))
        lock = PhoneLock(transport, name)
        try:
            lock.take()
        except StorageFullError:
            clean_phone(transport)  # nothing can be noted on a full phone, and nobody can measure on it
            lock.take()
        quiet = Quiet(transport, name)
        try:
            for change in quiet.put_right():
                print(f"{name}: {change.setting}: {change.outcome}")
            clean_phone(transport)
            left = quiet.pending()
        finally:
            lock.drop()
        if left:
            say(f"{name}: {', '.join(left)} could not be put back; the note of it stays on the phone")
        else:
            transport.remove_tree(DEVICE_FOLDER)
            print(f"{name}: nothing of PocketNAS is left on it")
        transport.close()
