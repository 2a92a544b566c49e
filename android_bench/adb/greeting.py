"""The first words with a phone: who it is, and whether it has what measuring needs.

They are said to the channel itself, because the transport above it needs the very tools that are asked for here.
"""

import secrets
import time
from dataclasses import dataclass

from android_bench.adb.channel import Channel
from android_bench.errors import DamagedTransferError, DeviceSilentError, MarkerMissingError
from android_bench.parsers.getprop import PhoneIdentity, parse_identity
from pocketnas_base.errors import DeviceError

TOOLS = ("setsid", "flock", "sha256sum", "stat", "tail")
"""What Android 8 and newer bring, and a transport and its lock need. Not `timeout`: its options differ by version."""

GREETING_S = 5.0
_MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Greeting:
    """A phone that answers. missing_tools: those of `TOOLS` that it lacks."""

    identity: PhoneIdentity
    missing_tools: tuple[str, ...]


def greet(channel: Channel, *, within_s: float = GREETING_S) -> Greeting:
    """Ask a phone for its identity and its tools.

    Raises DeviceLostError when it cannot be reached or does not answer in time, DeviceUnauthorizedError while its owner
    has not consented, DeviceError for something that is no Android.
    """
    mark = secrets.token_hex(8)
    said_mark = f"echo {mark[:8]}''{mark[8:]}"
    look = f"for t in {' '.join(TOOLS)}; do command -v $t >/dev/null 2>&1 || echo $t; done"
    answer = _hear(channel, f"getprop 2>/dev/null; {said_mark}; {look}; {said_mark}", within_s)
    properties, *rest = answer.replace(b"\r\n", b"\n").split(f"{mark}\n".encode())
    if len(rest) != 2:
        raise MarkerMissingError(f"{channel.name} broke off while it said who it is; check its cable or Wi-Fi")
    if not properties.strip():
        raise DeviceError(f"{channel.name} has no getprop: it does not run Android")
    missing = rest[0].decode(errors="replace").split()
    return Greeting(parse_identity(properties), tuple(tool for tool in TOOLS if tool in missing))


def _hear(channel: Channel, script: str, within_s: float) -> bytes:
    deadline = time.monotonic() + within_s
    heard = bytearray()
    with channel.open(script, silence_s=within_s) as chunks:
        for chunk in chunks:
            heard += chunk
            if len(heard) > _MAX_BYTES:
                raise DamagedTransferError(f"{channel.name} says more of itself than any phone does")
            if time.monotonic() > deadline:
                raise DeviceSilentError(f"{channel.name} took longer than {within_s:.0f} s to say who it is")
    return bytes(heard)
