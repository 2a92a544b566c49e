"""What one device bundle is built from: a compiler, a runtime's libraries and the system's below them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from android_bench.runner.abi import Abi, host_abi
from android_bench.runner.elf import read_elf
from android_bench.runner.sdk import Sdk, installed_sdk
from android_bench.runner.toolchain import Toolchain, find_library, library_folders, toolchain
from android_bench.runner.wheels import foreign_sdk
from pocketnas_base.artifact import Runtime
from pocketnas_base.errors import InputError, MissingDependencyError

LOADERS: dict[Abi, str] = {"x86_64": "ld-linux-x86-64.so.2", "arm64-v8a": "ld-linux-aarch64.so.1"}
"""The GNU C library's program loader, by its file name."""


@dataclass(frozen=True, slots=True)
class Kit:
    """What a bundle is built from.

    command: what starts the bundle, relative to its folder. find: where the file of a needed library lies; None when
      the device itself has it; raises when nobody has. extra: libraries that a bundle holds beside those that its
      runner needs. origin: whence a library comes and under which licence, for the bundle's notice.
    """

    sdk: Sdk
    compiler: Toolchain
    link_flags: tuple[str, ...]
    command: tuple[str, ...]
    extra: tuple[str, ...]
    find: Callable[[str], Path | None]
    origin: Callable[[str], str]


def closure(kit: Kit, roots: Sequence[str]) -> dict[str, Path]:
    """Every library that the roots need, themselves included, by the name under which it is needed.

    Raises InputError or MissingDependencyError for one that is missing or built for another ABI.
    """
    found: dict[str, Path] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop(0)
        path = None if name in found else kit.find(name)
        if path is None:
            continue
        elf = read_elf(path)
        if elf.abi != kit.compiler.abi:
            raise InputError(f"{path} is built for {elf.abi}, not for {kit.compiler.abi}")
        found[name] = path
        waiting += elf.needed
    return dict(sorted(found.items()))


def linux_kit(runtime: Runtime, abi: Abi, wheels: Path | None) -> Kit:
    """The wheel's own libraries with the compiler's C library and loader below them: runs on any Linux kernel,
    Android's included, whatever libraries the device has.

    Raises MissingDependencyError when a compiler or a wheel is missing, InputError for a damaged wheel.
    """
    compiler = toolchain(abi)
    sdk = installed_sdk(runtime)
    if abi != host_abi():
        sdk = foreign_sdk(runtime, sdk.version, abi, wheels)
    own = {path.name: path for path in sdk.library_paths}
    folders = library_folders(compiler)
    loader = LOADERS[abi]

    def find(name: str) -> Path:
        path = own.get(name) or find_library(name, abi, folders)
        if path is None:
            raise MissingDependencyError(
                f"the compiler {compiler.command[0]} has no {name} for {abi}; install its C++ library again"
            )
        return path

    def origin(name: str) -> str:
        if name in own:
            return f"{sdk.package} {sdk.version}, {_LICENCES[sdk.package]}"
        library = "GCC's runtime library" if name.startswith(("libstdc++", "libgcc_s")) else "the GNU C library"
        return f"{library} of {compiler.version}, {_LICENCES[library]}"

    command = (f"lib/{loader}", "--library-path", "lib", "./runner")
    return Kit(sdk, compiler, (), command, (loader,), find, origin)


_LICENCES = {
    "ai-edge-litert": "Apache-2.0",
    "executorch": "BSD-3-Clause",
    "the GNU C library": "LGPL-2.1-or-later",
    "GCC's runtime library": "GPL-3.0-or-later with the GCC runtime library exception 3.1",
}
