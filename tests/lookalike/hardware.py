"""The power button and the file systems of one phone lookalike: a `hardware.sh` at work."""

import contextlib
import subprocess
from pathlib import Path
from typing import Self

from lookalike import testbed
from lookalike.processes import children

STOP_DEADLINE_S = 15.0


class Hardware:
    """A phone's file systems, assembled from a furnished folder; it can be switched on and off until it is closed.

    Everything ends with this process: hardware.sh ends when its standard input does, and the kernel ends the rest.

    Args:
        home: the folder that `furnish` filled.
        port: where adbd shall listen.
        storage_kib: the size of /data/local/tmp.

    Raises:
        RuntimeError: it cannot be assembled, with what was said.
    """

    def __init__(self, home: Path, port: int, storage_kib: int) -> None:
        self._home = home
        self._storage_kib = storage_kib
        self._namespace = 0  # the process whose child is the phone's first process; 0 while it is off
        image = testbed.folder() / "image"
        with (home / "hardware.log").open("w") as log:
            self._program = subprocess.Popen(
                ["unshare", "--mount", "bash", testbed.HERE / "hardware.sh", image, home, str(port), str(storage_kib)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        try:
            self._expect("ready", self._answer())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process and unmount everything."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._program.stdin.write("end\n")
            self._program.stdin.close()
        try:
            self._program.wait(timeout=STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._program.kill()  # and the kernel ends the rest
            raise
        self._program.stdout.close()
        self._namespace = 0

    @property
    def root(self) -> Path:
        """The phone's root as the host sees it."""
        return Path(f"/proc/{self._program.pid}/root{self._home}/root")

    @property
    def is_on(self) -> bool:
        """Whether it was switched on and not off since."""
        return self._namespace != 0

    def switch_on(self) -> None:
        """Start the phone's first process."""
        if self.is_on:
            raise RuntimeError("the phone lookalike is on already")
        self._namespace = int(self._order("on"))

    def switch_off(self) -> None:
        """End every process of the phone; returns when they are gone. Files stay."""
        self._expect("off", self._order("off"))
        self._namespace = 0

    def first_process(self) -> int:
        """The host's number of the phone's first process.

        Raises:
            RuntimeError: it is off, or failed to boot.
        """
        first = children(self._namespace) if self.is_on else []
        if not first:
            raise RuntimeError(f"the phone lookalike is off: {self.log()}")
        return first[0]

    def resize_storage(self, size_bytes: int | None = None) -> None:
        """Change the size of /data/local/tmp, whole pages; by default back to what it had."""
        size = f"{self._storage_kib}k" if size_bytes is None else str(size_bytes)
        resize = ["mount", "-o", f"remount,size={size}", f"{self._home}/storage"]
        subprocess.run(
            ["nsenter", "--target", str(self._program.pid), "--mount", *resize], check=True, capture_output=True
        )

    def log(self) -> str:
        """What the assembly and adbd wrote on standard error."""
        return "".join((self._home / name).read_text(errors="replace") for name in ("hardware.log", "adbd.log"))

    def _order(self, word: str) -> str:
        assert self._program.stdin is not None
        self._program.stdin.write(f"{word}\n")
        self._program.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._program.stdout is not None
        return self._program.stdout.readline().strip()

    def _expect(self, word: str, answer: str) -> None:
        if answer != word:
            raise RuntimeError(f"the phone lookalike said {answer!r} instead of {word!r}: {self.log()}")
