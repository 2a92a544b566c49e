"""What a way of speaking adb must offer. Everything else is made up above it, once, in `phone_transport`."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

MAX_PULL_BYTES = 2 * 1024**3


class Channel(Protocol):
    """Bytes to and from one phone. No method retries, checks content or knows exit statuses.

    silence_s: how long the phone may say nothing before the channel gives up.
    Every method raises DeviceLostError when the connection fails or falls silent, DeviceUnauthorizedError while the
    phone's owner has not allowed this host, and DeviceError when the phone refuses what is asked.
    """

    @property
    def name(self) -> str:
        """The device as messages call it."""
        ...

    def open(self, script: str, *, silence_s: float) -> AbstractContextManager[Iterator[bytes]]:
        """Give `script` to the phone's shell and yield what it writes, until it ends.

        The script's standard input stays open, and empty, for as long as the context: leaving it early closes the
        stream, which the script sees as a hang-up within about a second.
        """
        ...

    def push(self, files: Sequence[tuple[Path, str]], *, silence_s: float) -> None:
        """Copy files of this host to paths on the phone, all in one existing folder."""
        ...

    def pull(self, source: str, destination: Path, *, size_bytes: int, silence_s: float) -> None:
        """Copy a file of the phone, of known size, to this host. Raises DeviceError when more than that arrives."""
        ...

    def close(self) -> None:
        """Let go of the phone. The next call connects again."""
        ...
