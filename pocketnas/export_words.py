"""What the options of `pocketnas export` say, read from their text. Every function raises InputError in one line."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from deploy.manifest import Normalisation
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_bytes

T = TypeVar("T", bound=str)

MAX_LABEL_BYTES = 16 * 1024**2

_INPUT = re.compile(r"([1-9]\d{0,3})x([1-9]\d{0,4})x([1-9]\d{0,4})")


def normalisation_of(mean: str | None, std: str | None, channels: int) -> Normalisation | None:
    """`--mean` and `--std`; None where neither is given."""
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise InputError("give both --mean and --std, of pixels from 0 to 255")
    divisors = _numbers(std, channels, "--std")
    if min(divisors) <= 0:
        raise InputError(f"--std {std} must be above 0")
    subtracted = _numbers(mean, channels, "--mean")
    if max(divisors) < 1:
        means, stds = (",".join(f"{255 * number:.4g}" for number in numbers) for numbers in (subtracted, divisors))
        raise InputError(
            f"--mean {mean} --std {std} are of pixels from 0 to 1; give them of 0 to 255: --mean {means} --std {stds}"
        )
    return Normalisation(subtracted, divisors)


def _numbers(text: str, channels: int, option: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} {text}: give one number, or one a channel, such as 123.7,116.3,103.5") from None
    if not all(abs(number) < 1e9 for number in numbers) or len(numbers) not in (1, channels):
        raise InputError(f"{option} {text}: give one number, or {channels}")
    return numbers * channels if len(numbers) == 1 else numbers


def labels_of(path: Path | None) -> tuple[str, ...] | None:
    """`--labels`: the lines of a file."""
    if path is None:
        return None
    try:
        # Some editors begin a file with a byte order mark.
        text = read_bytes(path, what="labels", max_bytes=MAX_LABEL_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"labels {path} are no UTF-8 text: one name a line") from None
    names = tuple(line.strip() for line in text.splitlines())
    if not names or not all(names) or not all(name.isprintable() for name in names):
        raise InputError(f"labels {path} must have one name a line, and no empty line")
    return names


def shape_of(text: str) -> tuple[int, int, int]:
    """`--input`: channels, height, width."""
    match = _INPUT.fullmatch(text)
    if match is None:
        raise InputError(f"--input {text}: give CHANNELSxHEIGHTxWIDTH, such as 3x224x224")
    channels, height, width = (int(part) for part in match.groups())
    return channels, height, width


def known_of(given: Sequence[str], known: Sequence[T], option: str) -> list[T]:
    """What an option that may be given several times, or hold several words with commas, names; in `known`'s order."""
    words = [word for part in given for word in part.split(",")]
    unknown = [word for word in words if word not in known]
    if unknown:
        raise InputError(f"{option} {unknown[0]!r}: known are {', '.join(known)}")
    return [word for word in known if word in words]
