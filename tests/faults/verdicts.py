"""What a fault may lead to, and what it must not."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pocketnas_base.errors import PocketNASError

Verdict = Literal["correct", "clear error", "wrong", "lost", "left over", "unclear error", "hung"]
VERDICTS: tuple[Verdict, ...] = ("correct", "clear error", "wrong", "lost", "left over", "unclear error", "hung")
GOOD: tuple[Verdict, ...] = ("correct", "clear error")
MAX_MESSAGE_LENGTH = 1000


class WrongError(Exception):
    """Something was taken for true that is not."""


class LostError(Exception):
    """Something that was there is no more."""


class LeftOverError(Exception):
    """Something stays on the phone that should not."""


@dataclass(frozen=True)
class Result:
    """What became of one case. fired: whether its fault was done at all."""

    case: str
    kind: str
    fired: bool
    verdict: Verdict
    detail: str
    seconds: float


def judge(error: Exception, names: Iterable[str]) -> tuple[Verdict, str]:
    """What an operation's failure amounts to. names: one of which must be in a clear error's message."""
    told = f"{type(error).__name__}: {error}"
    match error:
        case WrongError():
            return "wrong", told
        case LostError():
            return "lost", told
        case LeftOverError():
            return "left over", told
        case PocketNASError() if _is_clear(str(error), names):
            return "clear error", told
        case _:
            return "unclear error", told


def _is_clear(message: str, names: Iterable[str]) -> bool:
    """Whether it is one printable line that says which device it is about."""
    return 0 < len(message) <= MAX_MESSAGE_LENGTH and message.isprintable() and any(name in message for name in names)
