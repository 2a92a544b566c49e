"""One program that runs on this machine, and its end together with all that it started."""

import os
import secrets
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from android_bench.transport import Completed
from pocketnas_base.errors import DeviceError

_READ_BYTES = 64 * 1024
# Found in the environment of everything that a program starts.
_VARIABLE = "POCKETNAS_RUN"


class LocalProgram:
    """A program of this machine, started. Leave the context and it is over, with all that it started."""

    def __init__(self, argv: Sequence[str]) -> None:
        if any("\0" in word for word in argv):
            raise ValueError("a word of a command cannot hold a null byte")
        self.started = time.monotonic()
        self._tag = secrets.token_hex(8).encode()
        self._ended = False
        self._process = self._start(argv)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.stdout, self.stderr = self._process.stdout, self._process.stderr

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._ended:
            self._kill_group()
            self._process.wait()
            self._kill_tagged()
        self.stdout.close()
        self.stderr.close()

    def chunks(self, left_s: Callable[[], float]) -> Iterator[tuple[IO[bytes], bytes]]:
        """Both outputs as they come. What the program has started and left behind is killed when it ends.

        Raises TimeoutError as soon as `left_s` has come down to nothing.
        """
        over = os.pidfd_open(self._process.pid)
        try:
            with selectors.DefaultSelector() as selector:
                for source in (self.stdout, self.stderr, over):
                    selector.register(source, selectors.EVENT_READ)
                while selector.get_map():
                    if (patience := left_s()) <= 0:
                        raise TimeoutError
                    for key, _ in selector.select(patience):
                        if key.fd == over:
                            selector.unregister(over)
                            self._kill_group()
                            self._kill_tagged()
                            self._ended = True
                        elif chunk := os.read(key.fd, _READ_BYTES):
                            yield (self.stdout if key.fileobj is self.stdout else self.stderr), chunk
                        else:
                            selector.unregister(key.fileobj)
        finally:
            os.close(over)

    def completed(self, stdout: bytes, stderr: bytes) -> Completed:
        """How it ended, once it has."""
        status = self._process.wait()
        seconds = time.monotonic() - self.started
        return Completed(128 - status if status < 0 else status, stdout, stderr, seconds)

    def _start(self, argv: Sequence[str]) -> "subprocess.Popen[bytes]":
        """In a session of its own: Ctrl-C reaches this program first, and killing reaches every child."""
        try:
            return self._popen(argv)
        except OSError:
            # The shell knows which status that is, and says why.
            try:
                return self._popen(("sh", "-c", 'exec "$@"', "sh", *argv))
            except OSError as error:
                raise DeviceError(f"{argv[0]} cannot be started: {error.strerror}") from error

    def _popen(self, argv: Sequence[str]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, _VARIABLE: self._tag.decode()},
            start_new_session=True,
        )

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _kill_tagged(self) -> None:
        """Kill what has left the group, by the tag in its environment."""
        for folder in Path("/proc").iterdir():
            # What ends meanwhile, and what belongs to somebody else, cannot be read.
            with suppress(OSError):
                if folder.name.isdigit() and self._tag in (folder / "environ").read_bytes():
                    os.kill(int(folder.name), signal.SIGKILL)
