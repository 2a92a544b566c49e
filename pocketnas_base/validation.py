"""What pydantic found wrong, in words for a line."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


def fault_of(error: "ValidationError", *, whole: str = "") -> str:
    """The first fault as `field.of.it: what is wrong`. whole: what to name where it is of the whole document."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"])) or whole
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
