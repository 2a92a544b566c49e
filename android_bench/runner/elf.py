"""What an ELF file says of itself: the machine it is for and the libraries it needs.

System V ABI, chapters 4 and 5. Files may come from a user: every number is checked before it is used.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from android_bench.runner.abi import Abi
from pocketnas_base.errors import InputError

_MAGIC_64_LITTLE = b"\x7fELF\x02\x01\x01"
_ABI_BY_MACHINE: dict[int, Abi] = {62: "x86_64", 183: "arm64-v8a"}
_HEADER_BYTES, _SEGMENT_BYTES, _ENTRY_BYTES = 64, 56, 16
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5
_MAX_SEGMENTS = 128
_MAX_DYNAMIC_BYTES = 64 * 1024
_MAX_NAME_BYTES = 255


@dataclass(frozen=True, slots=True)
class Elf:
    """A 64-bit ELF file.

    needed: DT_NEEDED, in its order. page_bytes: the largest page size that a kernel may use to load it.
    """

    abi: Abi
    needed: tuple[str, ...]
    page_bytes: int


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int
    alignment: int


def elf_abi(path: Path) -> Abi | None:
    """The ABI that a program or library is built for; None when it is no 64-bit ELF file for one that is known.

    Raises InputError when the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            header = stream.read(_HEADER_BYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC_64_LITTLE):
        return None
    (machine,) = struct.unpack_from("<H", header, 18)
    return _ABI_BY_MACHINE.get(machine)


def read_elf(path: Path) -> Elf:
    """Read a program's or a shared library's own description. Raises InputError, naming the file, for anything odd."""
    abi = elf_abi(path)
    if abi is None:
        raise InputError(f"{path} is not a program or library for x86_64 or arm64")
    try:
        with path.open("rb") as stream:
            segments = _segments(stream, path)
            loads = [segment for segment in segments if segment.kind == _PT_LOAD]
            if not loads:
                raise InputError(f"{path} holds nothing that can be loaded")
            needed = _needed(stream, path, segments, loads)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    return Elf(abi, needed, min(segment.alignment for segment in loads))


def _segments(stream: BinaryIO, path: Path) -> list[_Segment]:
    header = _read(stream, path, 0, _HEADER_BYTES)
    (offset,) = struct.unpack_from("<Q", header, 32)
    entry_bytes, count = struct.unpack_from("<HH", header, 54)
    if entry_bytes != _SEGMENT_BYTES or not 0 < count <= _MAX_SEGMENTS:
        raise InputError(f"{path} is a damaged ELF file: {count} segments of {entry_bytes} bytes")
    table = _read(stream, path, offset, count * _SEGMENT_BYTES)
    found = []
    for kind, _flags, start, address, _physical, size, _memory, alignment in struct.iter_unpack("<IIQQQQQQ", table):
        found.append(_Segment(kind, start, address, size, alignment))
    return found


def _needed(stream: BinaryIO, path: Path, segments: list[_Segment], loads: list[_Segment]) -> tuple[str, ...]:
    dynamic = next((segment for segment in segments if segment.kind == _PT_DYNAMIC), None)
    if dynamic is None:
        return ()
    if dynamic.size % _ENTRY_BYTES or dynamic.size > _MAX_DYNAMIC_BYTES:
        raise InputError(f"{path} is a damaged ELF file: its dynamic section has {dynamic.size} bytes")
    strings, names = None, []
    for tag, value in struct.iter_unpack("<qQ", _read(stream, path, dynamic.offset, dynamic.size)):
        if tag == _DT_NULL:
            break
        if tag == _DT_STRTAB:
            strings = value
        elif tag == _DT_NEEDED:
            names.append(value)
    if not names:
        return ()
    holder = next((load for load in loads if strings is not None and 0 <= strings - load.address < load.size), None)
    if strings is None or holder is None:
        raise InputError(f"{path} is a damaged ELF file: its names cannot be found")
    start = holder.offset + strings - holder.address
    return tuple(_name(stream, path, start + name) for name in names)


def _name(stream: BinaryIO, path: Path, offset: int) -> str:
    if offset >= 1 << 63:
        raise InputError(f"{path} is a damaged ELF file: a name lies outside it")
    stream.seek(offset)
    text, end, _ = stream.read(_MAX_NAME_BYTES + 1).partition(b"\0")
    name = text.decode("ascii", errors="replace")
    if not end or not name.isprintable() or not name.isascii() or not name or "/" in name or name in (".", ".."):
        raise InputError(f"{path} needs a library whose name cannot be used: {name[:40]!r}")
    return name


def _read(stream: BinaryIO, path: Path, offset: int, size: int) -> bytes:
    if offset < 1 << 63:
        stream.seek(offset)
        data = stream.read(size)
        if len(data) == size:
            return data
    raise InputError(f"{path} is a damaged ELF file: it ends too early")
