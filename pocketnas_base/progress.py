"""How long work reports itself, without knowing who watches."""

from typing import Protocol


class Progress(Protocol):
    """Called as work proceeds: `done` of `total` units are finished, `what` says which one is at hand."""

    def __call__(self, done: int, total: int, what: str) -> None: ...


def silent(done: int, total: int, what: str) -> None:
    """A watcher that does not look."""
