"""Where files are put on a device before they are measured."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from android_bench.runner.abi import Abi
from android_bench.runner.build import build_runner
from pocketnas_base.artifact import Delegate, Runtime
from pocketnas_base.errors import DeviceError, InputError
from pocketnas_base.files import sha256_file

OWN_PROGRAM = "pocketnas"


@dataclass(frozen=True, slots=True)
class InstalledRunner:
    """A runner that lies on a device, ready to start. command: what starts it there, without its plan. sha256: of what
    it is made of. program: our own, or which official tool it is. delegate: what it runs models on."""

    runtime: Runtime
    runtime_version: str
    abi: Abi
    sha256: str
    command: tuple[str, ...]
    program: str = OWN_PROGRAM
    delegate: Delegate = "cpu"


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file of this host and what it must contain."""

    path: Path
    sha256: str

    def check(self) -> None:
        """Raise DeviceError when the content is not what it was."""
        try:
            found = sha256_file(self.path)
        except OSError as error:
            raise DeviceError(f"{self.path} cannot be read: {error.strerror}") from error
        if found != self.sha256:
            raise DeviceError(f"{self.path} has changed since it was described; start again with the new file")


class Workspace(Protocol):
    """A device's own copy of what is measured. Raises DeviceError when the device refuses or cannot be reached."""

    def place(self, files: Collection[KnownFile]) -> dict[str, str]:
        """Make files readable on the device, checked there. Returns their paths there by sha256."""
        ...

    def place_program(self, file: KnownFile) -> str:
        """Make a program of the user's ready to start on the device, checked there. Returns its path there."""
        ...

    def changed(self, paths: Mapping[str, str]) -> set[str]:
        """The files, by sha256, that are no longer what was placed. paths: as `place` returns them."""
        ...

    def discard(self, files: Collection[KnownFile]) -> None:
        """Forget files that were placed and are not needed again."""
        ...

    def install(self, runtime: Runtime) -> InstalledRunner:
        """Make the runner of a runtime ready to start, checked there."""
        ...


class LocalWorkspace:
    """This machine: files are used where they lie. say: told while one has to wait."""

    def __init__(self, say: Callable[[str], None] = lambda _: None) -> None:
        self._say = say

    def place(self, files: Collection[KnownFile]) -> dict[str, str]:
        for file in files:
            file.check()
        return {file.sha256: str(file.path.resolve()) for file in files}

    def place_program(self, file: KnownFile) -> str:
        if not os.access(file.path, os.X_OK):
            raise InputError(f"{file.path} may not be started; chmod +x {file.path}")
        return self.place([file])[file.sha256]

    def changed(self, paths: Mapping[str, str]) -> set[str]:
        """Nobody but the user changes files here, and hashing them would disturb the next process."""
        del paths
        return set()

    def discard(self, files: Collection[KnownFile]) -> None:
        """They are the host's own: they stay."""

    def install(self, runtime: Runtime) -> InstalledRunner:
        runner = build_runner(runtime, say=self._say)
        return InstalledRunner(runtime, runner.runtime_version, runner.abi, runner.sha256, (str(runner.path),))


def unique(files: Sequence[KnownFile]) -> list[KnownFile]:
    """One of each content."""
    return list({file.sha256: file for file in files}.values())
