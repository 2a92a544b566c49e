"""A model's label names, read as Android reads them: by hand, since Python's zipfile forgives a wrong offset."""

import struct


def read_labels(content: bytes) -> tuple[str, ...]:
    """What tflite-support's MetadataExtractor finds: its ZIP reader counts every offset from the file's beginning."""
    end = content.rindex(b"PK\x05\x06")
    count, size, directory = struct.unpack_from("<H2I", content, end + 10)
    assert (count, directory + size) == (1, end)
    assert content[directory : directory + 4] == b"PK\x01\x02"
    (header,) = struct.unpack_from("<I", content, directory + 42)
    assert content[header : header + 4] == b"PK\x03\x04"
    method, stored, name_length, extra_length = struct.unpack_from("<8xH8xI4x2H", content, header)
    name, beginning = content[header + 30 :][:name_length], header + 30 + name_length + extra_length
    assert (method, name) == (0, b"labels.txt")
    return tuple(content[beginning : beginning + stored].decode().removesuffix("\n").split("\n"))
