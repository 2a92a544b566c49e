"""Lines that say whether they arrived whole: JSON, a tab, and the CRC-32 of the JSON in eight hex digits.

adb has no checksum of its own over TCP, and a flipped digit in a line of JSON is still JSON, with another latency in
it. A CRC-32 finds every error that touches up to 32 neighbouring bits, and all but one in four thousand million of the
others.
"""

import zlib

_SUFFIX_BYTES = 9


def seal(text: bytes) -> bytes:
    """`text` with its checksum behind it, without a line end."""
    return b"%s\t%08x" % (text, zlib.crc32(text))


def unseal(line: bytes) -> bytes | None:
    """What `seal` was given, or None when the line is not what `seal` made of it."""
    text = line[:-_SUFFIX_BYTES]
    return text if len(line) >= _SUFFIX_BYTES and seal(text) == line else None
