"""What kinds of file a network is exported to: a runtime and a precision."""

from collections.abc import Sequence

from pocketnas_base.artifact import PRECISIONS, RUNTIMES, Precision, Runtime
from pocketnas_base.errors import InputError

Kind = tuple[Runtime, Precision]

PRECISIONS_OF: dict[Runtime, tuple[Precision, ...]] = {
    "tflite": PRECISIONS,
    "executorch": ("fp32", "fp16", "int8"),
}
"""What networks can be exported in."""


def kinds_of(runtimes: Sequence[Runtime], precisions: Sequence[Precision]) -> list[Kind]:
    """Every precision of every runtime that has it, in a fixed order. Raises InputError where none has one."""
    for precision in precisions:
        if not any(precision in PRECISIONS_OF[runtime] for runtime in runtimes):
            raise InputError(f"{' and '.join(runtimes)} files are not exported in {precision}")
    return [
        (runtime, precision)
        for runtime in RUNTIMES
        for precision in PRECISIONS_OF[runtime]
        if runtime in runtimes and precision in precisions
    ]
