"""How users call the searches. No heavy import: the command line reads this."""

from typing import Literal, get_args

from pocketnas_base.errors import InputError

SearchMethod = Literal["proxyless", "evolution", "random", "train-each"]
Method = Literal["proxyless", "evolution", "random", "train-each", "mobilenet-v2"]

REFERENCE: SearchMethod = "proxyless"
SEARCHES: tuple[SearchMethod, ...] = get_args(SearchMethod)
METHODS: tuple[Method, ...] = get_args(Method)


def parse_methods(text: str) -> tuple[Method, ...]:
    """Names between commas, in the order of `METHODS`. Raises InputError listing what is known."""
    given = [name.strip() for name in text.split(",")]
    unknown = [name for name in given if name not in METHODS]
    if unknown:
        raise InputError(f"unknown method {unknown[0]!r}; known: {', '.join(METHODS)}")
    return tuple(name for name in METHODS if name in given)
