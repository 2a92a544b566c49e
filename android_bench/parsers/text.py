"""The steps that every parser takes first: bound the input, decode it, split it, and turn digits into numbers."""

import math
import re

from android_bench.errors import UnreadableOutputError

Output = bytes | str

MAX_BYTES = 1024 * 1024
MAX_LOG_BYTES = 8 * MAX_BYTES
MAX_INTEGER = 2**63 - 1
MAX_NUMBER = 1e18

_INTEGER = re.compile(r"-?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,32}(?:\.[0-9]{0,32})?(?:[eE][+-]?[0-9]{1,3})?")


def text_of(output: Output, source: str, max_bytes: int = MAX_BYTES) -> str:
    """`output` as text; bytes that are not UTF-8 become U+FFFD. `source` names what printed it.

    Raises UnreadableOutputError when there is more of it than the source ever prints.
    """
    if len(output) > max_bytes:
        raise UnreadableOutputError(f"{source}: {len(output)} bytes of output, at most {max_bytes} are read")
    return output.decode("utf-8", "replace") if isinstance(output, bytes) else output


def lines_of(text: str) -> list[str]:
    """Lines as a device separates them: by a newline, before which a terminal may have put a carriage return."""
    return [line.rstrip("\r") for line in text.split("\n")]


def integer(text: str | None, low: int = 0, high: int = MAX_INTEGER) -> int | None:
    """A whole decimal number from `low` to `high`; None for everything else."""
    if text is None or not _INTEGER.fullmatch(text := text.strip()):
        return None
    value = int(text)
    return value if low <= value <= high else None


def number(text: str | None, low: float = -MAX_NUMBER, high: float = MAX_NUMBER) -> float | None:
    """A finite decimal number from `low` to `high`; None for everything else."""
    if text is None or not _NUMBER.fullmatch(text := text.strip()):
        return None
    value = float(text)
    return value if math.isfinite(value) and low <= value <= high else None


def name(text: str | None, max_length: int = 256) -> str | None:
    """A name to show to people: one line, bounded, without characters that move a terminal's cursor; None if empty."""
    if text is None:
        return None
    shown = "".join(character if character.isprintable() else "\ufffd" for character in text.strip()[:max_length])
    return shown or None


def excerpt(text: str) -> str:
    """The beginning of a line, quoted, for an error message of one line."""
    return ascii(text[:60]) + ("..." if len(text) > 60 else "")


def unreadable(source: str, reason: str) -> UnreadableOutputError:
    """The error to raise; `source` names what printed the text."""
    return UnreadableOutputError(f"{source}: {reason}")


def service_is_absent(text: str) -> bool:
    """Whether dumpsys or cmd says that the device has no such service."""
    return text.lstrip()[:300].startswith(("Can't find service:", "cmd: Can't find service:"))
