"""Who a phone is: the system properties that `getprop` lists."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from android_bench.parsers.text import Output, excerpt, integer, lines_of, name, text_of, unreadable

_SOURCE = "getprop"
_RECORD = re.compile(r"\[([^\[\]\s]{1,256})\]: \[")
_UNKNOWN = frozenset({"", "unknown"})


@dataclass(frozen=True, slots=True)
class PhoneIdentity:
    """A phone and its system. sdk: the API level. soc: the chip's model, or the name of the platform that it belongs
    to where the phone is older than Android 12. abis: what it runs, the preferred one first."""

    fingerprint: str | None
    sdk: int | None
    release: str | None
    manufacturer: str | None
    brand: str | None
    model: str | None
    soc: str | None
    soc_manufacturer: str | None
    abis: tuple[str, ...]
    build_type: str | None
    is_emulator: bool
    debuggable: bool | None


def parse_getprop(output: Output) -> dict[str, str]:
    """The properties by key, values as they are: a value may have several lines.

    Raises UnreadableOutputError when `output` is no list of properties, or ends inside one.
    """
    records: list[tuple[str, list[str]]] = []
    for line in lines_of(text_of(output, _SOURCE)):
        if record := _RECORD.match(line):
            records.append((record[1], [line[record.end() :]]))
        elif records:
            records[-1][1].append(line)
    if not records:
        raise unreadable(_SOURCE, "there is no property in what it printed")
    properties = {}
    for key, lines in records:
        value = "\n".join(lines).rstrip("\n")
        if not value.endswith("]"):
            raise unreadable(_SOURCE, f"the value of {excerpt(key)} has no end")
        properties[key] = value[:-1]
    return properties


def parse_identity(output: Output) -> PhoneIdentity:
    """The identity that the listed properties give. Raises UnreadableOutputError as `parse_getprop` does."""
    return identity(parse_getprop(output))


def identity(properties: Mapping[str, str]) -> PhoneIdentity:
    """The identity that `properties` give."""

    def known(*keys: str) -> str | None:
        values = (properties.get(key, "").strip() for key in keys)
        return name(next((value for value in values if value.lower() not in _UNKNOWN), None))

    abis = (name(abi) for abi in properties.get("ro.product.cpu.abilist", "").split(",")[:16])
    debuggable = properties.get("ro.debuggable")
    return PhoneIdentity(
        fingerprint=known("ro.build.fingerprint"),
        sdk=integer(properties.get("ro.build.version.sdk"), 1, 10_000),
        release=known("ro.build.version.release"),
        manufacturer=known("ro.product.manufacturer"),
        brand=known("ro.product.brand"),
        model=known("ro.product.model"),
        soc=known("ro.soc.model", "ro.board.platform", "ro.hardware"),
        soc_manufacturer=known("ro.soc.manufacturer"),
        abis=tuple(abi for abi in abis if abi is not None),
        build_type=known("ro.build.type"),
        is_emulator="1" in (properties.get("ro.kernel.qemu"), properties.get("ro.boot.qemu")),
        debuggable={"1": True, "0": False}.get(debuggable) if debuggable is not None else None,
    )
