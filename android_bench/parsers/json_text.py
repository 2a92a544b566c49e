"""JSON that another tool wrote: bounded, of the fields that are expected, and refused in one line."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from android_bench.parsers.text import MAX_LOG_BYTES, Output, name, text_of, unreadable
from pocketnas_base.validation import fault_of

T = TypeVar("T")

_MAX_REASON = 300


class Fields(BaseModel):
    """An object of a file. What it holds beside the fields named is passed over; nothing is converted: a number in
    quotes is none."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)


def parse_fields(output: Output, source: str, adapter: TypeAdapter[T]) -> T:
    """The document in `output`. Raises UnreadableOutputError naming the first field that is not as expected."""
    text = text_of(output, source, MAX_LOG_BYTES).removeprefix("\ufeff")
    try:
        return adapter.validate_json(text.encode("utf-8", "replace"))
    except ValidationError as error:
        fault = fault_of(error)
    raise unreadable(source, name(fault, _MAX_REASON) or "no JSON")
