"""An official tool as the user names it, and whether it can run on a device at all."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from android_bench.device import Device
from android_bench.runner.elf import elf_abi, read_elf
from android_bench.workspace import KnownFile
from pocketnas_base.artifact import DELEGATES, Delegate, Runtime
from pocketnas_base.errors import InputError
from pocketnas_base.files import sha256_file

Kind = Literal["benchmark_model", "executor_runner"]

KINDS: tuple[Kind, ...] = get_args(Kind)
RUNTIME_OF: dict[Kind, Runtime] = {"benchmark_model": "tflite", "executor_runner": "executorch"}

_ELF, _SCRIPT = b"\x7fELF", b"#!"
_ANDROID_LIBC, _LINUX_LIBC = "libc.so", "libc.so.6"


@dataclass(frozen=True, slots=True)
class OfficialRunner:
    """A build of an official tool on this host, and what it is to run models on."""

    kind: Kind
    path: Path
    sha256: str
    delegate: Delegate = "cpu"

    @property
    def runtime(self) -> Runtime:
        """Which files it runs; the others stay with PocketNAS' own runner."""
        return RUNTIME_OF[self.kind]

    @property
    def file(self) -> KnownFile:
        """It must not change while it is used."""
        return KnownFile(self.path, self.sha256)

    @property
    def version(self) -> str:
        """What it is called in tables: no build tells its version."""
        return f"{self.kind} {self.sha256[:12]}"

    def check(self, device: Device) -> None:
        """Raise InputError when it is built for other devices than this one. A script may be for any."""
        if _magic(self.path) == _SCRIPT:
            return
        abi = elf_abi(self.path)
        if abi != device.info.abi:
            built = f"for {abi}" if abi else "neither for x86_64 nor for arm64-v8a"
            raise InputError(f"{self.path} is built {built}, but {device.id} runs programs for {device.info.abi}")
        needed = read_elf(self.path).needed
        if not device.is_local and _LINUX_LIBC in needed:
            raise InputError(f"{self.path} is built for Linux and cannot start on {device.id}; take the Android build")
        if device.is_local and _ANDROID_LIBC in needed:
            raise InputError(f"{self.path} is built for Android and cannot start on this machine; take the Linux build")


def parse_runner_option(text: str) -> OfficialRunner:
    """The tool that `--runner NAME=PATH` names. Raises InputError for another name and for a file that is no
    program."""
    name, separator, place = text.partition("=")
    kind = next((kind for kind in KINDS if kind == name), None)
    if kind is None or not separator or not place:
        raise InputError(f"--runner {text}: give {' or '.join(f'{kind}=PATH' for kind in KINDS)}")
    path = Path(place).expanduser()
    if not path.is_file():
        raise InputError(f"--runner {text}: {path} does not exist")
    if _magic(path) not in (_ELF, _SCRIPT):
        raise InputError(f"--runner {text}: {path} is neither a program nor a script")
    return OfficialRunner(kind, path, sha256_file(path))


def choose_runner(runner: str | None, delegate: str = "cpu") -> OfficialRunner | None:
    """What `--runner NAME=PATH` and `--delegate NAME` ask for together; None for PocketNAS' own runner.

    Raises InputError as `parse_runner_option` does, for a delegate that is none, and for one that the runner cannot
    be told to use.
    """
    wanted = next((known for known in DELEGATES if known == delegate), None)
    if wanted is None:
        raise InputError(f"--delegate {delegate}: known are {', '.join(DELEGATES)}")
    official = parse_runner_option(runner) if runner is not None else None
    if wanted == "cpu":
        return official
    if official is None:
        raise InputError(
            f"--delegate {delegate} needs --runner benchmark_model=PATH: PocketNAS' own runner is for the CPU alone,"
            " because the vendors' GPU and NPU drivers need Android's C library, which it does without"
        )
    if official.kind != "benchmark_model":
        raise InputError(
            f"--delegate {delegate} needs --runner benchmark_model=PATH: what a .pte file runs on is settled when it"
            f" is exported, and {official.kind} cannot be told otherwise"
        )
    return replace(official, delegate=wanted)


def _magic(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    return _SCRIPT if start.startswith(_SCRIPT) else start
