"""What is plugged in: what `adb devices -l` prints (adb's transport.cpp)."""

import re
from dataclasses import dataclass

from android_bench.parsers.text import Output, excerpt, integer, lines_of, name, text_of, unreadable

_SOURCE = "adb devices -l"
_HEADER = "List of devices attached"
_MAX_LINE = 1024
_STATES = (
    "device",
    "offline",
    "unauthorized",
    "authorizing",
    "connecting",
    "recovery",
    "sideload",
    "rescue",
    "bootloader",
    "host",
    "detached",
    "unknown",
)
# The serial of a device found by mDNS may hold a blank, "adb-SERIAL-abc (2)._adb-tls-connect._tcp".
_KNOWN = re.compile(rf"(\S.{{0,255}}?)\s+({'|'.join(_STATES)})((?:\s+\S+)*)")
_NO_PERMISSIONS = re.compile(r"(\S.{0,255}?)\s+no permissions\b(.*)")
_OTHER = re.compile(r"(\S+)\s+([a-z]{1,30})((?:\s+\S+)*)")
_ATTRIBUTE = re.compile(r"(product|model|device|transport_id|usb):(\S{1,256})")


@dataclass(frozen=True, slots=True)
class AdbDevice:
    """One device that the adb server knows. state: "device" once it can be used, else adb's word for what is missing,
    such as "offline", "unauthorized", "no permissions". note: adb's explanation of the latter."""

    serial: str
    state: str
    product: str | None
    model: str | None
    device: str | None
    transport_id: int | None
    note: str | None = None


def parse_adb_devices(output: Output) -> tuple[AdbDevice, ...]:
    """The devices in adb's order. What adb says about its own server is passed over.

    Raises UnreadableOutputError when `output` is no list of devices, or a line of it describes none.
    """
    lines = lines_of(text_of(output, _SOURCE))
    start = next((index for index, line in enumerate(lines) if line.strip() == _HEADER), None)
    if start is None:
        raise unreadable(_SOURCE, f"no line says {_HEADER!r}")
    rows = (line.strip() for line in lines[start + 1 :])
    return tuple(_device(row) for row in rows if row and not row.startswith("*"))


def _device(line: str) -> AdbDevice:
    if len(line) > _MAX_LINE:
        raise unreadable(_SOURCE, f"a line of {len(line)} characters")
    if match := _NO_PERMISSIONS.fullmatch(line):
        state, rest, note = "no permissions", match[2], name(_ATTRIBUTE.sub("", match[2]))
    elif match := _KNOWN.fullmatch(line) or _OTHER.fullmatch(line):
        state, rest, note = match[2], match[3], None
    else:
        raise unreadable(_SOURCE, f"not a device: {excerpt(line)}")
    attributes = dict(_ATTRIBUTE.findall(rest))
    return AdbDevice(
        serial=name(match[1]) or "unnamed",
        state=state,
        product=name(attributes.get("product")),
        model=name(attributes.get("model")),
        device=name(attributes.get("device")),
        transport_id=integer(attributes.get("transport_id")),
        note=note,
    )
