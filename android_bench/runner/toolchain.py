"""The compilers: for this machine, for the other ABI, and where their own libraries lie."""

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from android_bench.runner.abi import MACHINES, Abi, host_abi
from android_bench.runner.elf import elf_abi
from pocketnas_base.errors import MissingDependencyError


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A C++17 compiler. version: the first line of what it says of itself."""

    abi: Abi
    command: tuple[str, ...]
    version: str


def toolchain(abi: Abi) -> Toolchain:
    """The compiler that builds for `abi`.

    For this machine: $CXX, else g++, else clang++. For the other ABI: $CXX_ARM64_V8A or $CXX_X86_64, else the
    distribution's cross compiler (`aarch64-linux-gnu-g++`, `x86_64-linux-gnu-g++`). Raises MissingDependencyError,
    saying what to install.
    """
    if abi == host_abi():
        return _first(abi, "CXX", ("g++", "clang++"), "no C++17 compiler was found; install one, e.g.: apt install g++")
    machine = MACHINES[abi]
    variable = f"CXX_{abi.upper().replace('-', '_')}"
    name = f"{machine}-linux-gnu-g++"
    package = f"g++-{machine.replace('_', '-')}-linux-gnu"
    missing = f"no compiler for {abi} was found; install {name} (Debian: apt install {package}) or name one: {variable}"
    return _first(abi, variable, (name,), missing)


def library_folders(compiler: Toolchain) -> tuple[Path, ...]:
    """The folders in which the compiler looks for libraries, in its order."""
    shown = _ask(compiler.command, "-print-search-dirs")
    for line in shown.splitlines():
        if line.startswith("libraries:"):
            return tuple(Path(place) for place in line.partition("=")[2].split(":") if place)
    raise MissingDependencyError(f"the compiler {shlex.join(compiler.command)} does not say where its libraries are")


def find_library(name: str, abi: Abi, folders: tuple[Path, ...]) -> Path | None:
    """The first library of that file name for that ABI, as a linker looks for it."""
    for folder in folders:
        path = folder / name
        if path.is_file() and elf_abi(path) == abi:
            return path
    return None


def _first(abi: Abi, variable: str, names: tuple[str, ...], missing: str) -> Toolchain:
    asked = tuple(shlex.split(os.environ.get(variable, "")))
    if asked:
        if shutil.which(asked[0]) is None:
            raise MissingDependencyError(f"the compiler {asked[0]} that {variable} names is not installed")
        return compiler_of(abi, asked)
    for name in names:
        if shutil.which(name):
            return compiler_of(abi, (name,))
    raise MissingDependencyError(missing)


def compiler_of(abi: Abi, command: tuple[str, ...]) -> Toolchain:
    """A compiler by its command. Raises MissingDependencyError when it does not start."""
    return Toolchain(abi, command, _ask(command, "--version").partition("\n")[0])


def _ask(command: tuple[str, ...], question: str) -> str:
    try:
        return subprocess.run(
            [*command, question], capture_output=True, text=True, errors="replace", timeout=60, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingDependencyError(f"the compiler {shlex.join(command)} does not start: {error}") from error
