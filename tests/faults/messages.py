"""adb's messages as they pass a wire, and the ways to damage one (packages/modules/adb/protocol.txt)."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

Direction = Literal["to_phone", "to_host"]
DIRECTIONS: tuple[Direction, ...] = ("to_phone", "to_host")

HEADER_BYTES = 24
_BEFORE_WORDS = b"\nsetsid "
ROW_MARK = b'"samples_ns":['
_HEADER = struct.Struct("<6I")


@dataclass(frozen=True)
class Message:
    """One message: six little-endian words and a payload. `total` is the sum of the payload's bytes, or 0 between
    newer endpoints, which leave that to TCP."""

    command: int
    arg0: int
    arg1: int
    length: int
    total: int
    magic: int
    payload: bytes = b""

    @classmethod
    def of_header(cls, header: bytes) -> "Message":
        return cls(*_HEADER.unpack(header))

    def __bytes__(self) -> bytes:
        words = (self.command, self.arg0, self.arg1, self.length, self.total, self.magic)
        return _HEADER.pack(*words) + self.payload

    @property
    def name(self) -> str:
        """OPEN, WRTE, OKAY, CLSE, CNXN, AUTH ..."""
        return struct.pack("<I", self.command).decode(errors="replace")


def flip(message: Message, seed: int) -> Message:
    """One bit of the payload is another; the header's sum stays, so that an endpoint that adds up sees it."""
    if not message.payload:
        return damage_header(message, seed)
    return replace(message, payload=_flipped(message.payload, seed))


def flip_unseen(message: Message, seed: int) -> Message:
    """The payload is another and adds up to what the header says: adb itself cannot see it."""
    if not message.payload:
        return damage_header(message, seed)
    swapped = _swapped(message.payload, seed)
    if swapped is not None and seed % 2:
        return replace(message, payload=swapped)
    payload = _flipped(message.payload, seed)
    return replace(message, payload=payload, total=sum(payload) & 0xFFFFFFFF if message.total else 0)


def damage_header(message: Message, seed: int) -> Message:
    """One bit of one of the header's six words is another."""
    field = ("arg0", "arg1", "length", "command", "total", "magic")[seed % 6]
    bit = (seed // 6) % 32 if seed % 12 > 5 else (seed // 6) % 4
    return replace(message, **{field: getattr(message, field) ^ (1 << bit)})


DAMAGE: dict[str, Callable[[Message, int], Message]] = {
    "corrupt": flip,
    "corrupt unseen": flip_unseen,
    "corrupt header": damage_header,
}


def _flipped(payload: bytes, seed: int) -> bytes:
    """Mostly the lowest bit: it turns a digit or a letter into its neighbour, which is the hardest to notice."""
    place = _place(payload, seed)
    bit = 0 if seed % 3 else (seed // 3) % 8
    return payload[:place] + bytes([payload[place] ^ (1 << bit)]) + payload[place + 1 :]


def _swapped(payload: bytes, seed: int) -> bytes | None:
    """The payload with two neighbouring bytes exchanged, from a place of the seed's on; None where all are equal."""
    for step in range(len(payload) - 1):
        place = (_place(payload, seed) + step) % (len(payload) - 1)
        first, second = payload[place : place + 2]
        if first != second:
            return payload[:place] + bytes([second, first]) + payload[place + 2 :]
    return None


def _place(payload: bytes, seed: int) -> int:
    """Anywhere; every other time where it tells most: among the words of a program that is to be run, where damage
    makes it another program, and among the numbers that a runner measured."""
    for mark, end in ((_BEFORE_WORDS, b"\n"), (ROW_MARK, b"]")):
        start = payload.find(mark) + len(mark)
        if start >= len(mark) and seed % 4 >= 2:
            return start + seed % max(1, payload.find(end, start) - start)
    return seed % len(payload)
