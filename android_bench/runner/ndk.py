"""Bundles for Android's own C library, built with the NDK.

Not needed for a measurement: without it, a bundle brings its own C library. It is for those who want to measure the
runtime as an app would load it. Needed are the NDK (named by ANDROID_NDK_HOME) and builds of the runtime's libraries
for Android, of the version that is installed here:

- LiteRT: `libLiteRt.so` from `jni/ABI/` of the unpacked .aar of com.google.ai.edge.litert:litert.
- ExecuTorch: the five libraries that the wheel holds (libexecutorch.so, libexecutorch_backend_xnnpack.so,
  libexecutorch_kernels_optimized.so, libexecutorch_kernels_quantized.so, libexecutorch_threadpool.so) built for
  Android. Nobody publishes them: ExecuTorch's CMake option EXECUTORCH_BUILD_SHARED refuses Android, so they have to be
  linked from the archives that its Android preset installs. The libexecutorch.so of the published .aar will not do:
  it holds everything behind a Java interface.

Unproved: no phone has run such a bundle yet. The tests build one with a stand-in for the NDK.
"""

import os
import re
from pathlib import Path

from android_bench.runner.abi import MACHINES, Abi
from android_bench.runner.kit import Kit
from android_bench.runner.sdk import installed_sdk
from android_bench.runner.toolchain import compiler_of
from pocketnas_base.artifact import Runtime
from pocketnas_base.errors import InputError, MissingDependencyError

MIN_API = 26
"""Android 8, the oldest that is supported."""

_MAX_PAGE_BYTES = 16 * 1024
_CPP_LIBRARY = "libc++_shared.so"
_NEEDED: dict[Runtime, str] = {
    "tflite": "unpack the LiteRT .aar of version {version} and name its jni folder",
    "executorch": "build ExecuTorch {version} for Android as shared libraries with the names that its wheel uses",
}


def android_libraries(named: Path | None) -> Path | None:
    """The folder of Android builds that the user asks for: `named`, else $POCKETNAS_ANDROID_LIBRARIES, else none."""
    if named is not None:
        return named
    variable = os.environ.get("POCKETNAS_ANDROID_LIBRARIES")
    return Path(variable) if variable else None


def holds_runtime(libraries: Path, runtime: Runtime, abi: Abi) -> bool:
    """Whether the folder holds any library of that runtime for that ABI."""
    folder = _folder(libraries, abi)
    return any((folder / path.name).is_file() for path in installed_sdk(runtime).library_paths)


def ndk_kit(runtime: Runtime, abi: Abi, libraries: Path) -> Kit:
    """The user's Android builds, found in `libraries` or in its subfolder named like the ABI, with the NDK's C++
    library beside them and the phone's own C library below.

    Raises MissingDependencyError when there is no NDK or it lacks a part, InputError when a library is missing.
    """
    folder = _folder(libraries, abi)
    sdk = installed_sdk(runtime).with_libraries_in(folder)
    for path in sdk.library_paths:
        if not path.is_file():
            needed = _NEEDED[runtime].format(version=sdk.version)
            raise InputError(f"{folder} does not hold {path.name} for {runtime}; {needed}")
    triple = f"{MACHINES[abi]}-linux-android"
    toolchain = _toolchain_folder()
    api, clang = _clang(toolchain, triple)
    system = toolchain / "sysroot/usr/lib" / triple
    stubs = system / str(api)

    def find(name: str) -> Path | None:
        if (folder / name).is_file():
            return folder / name
        if name == _CPP_LIBRARY:
            if not (system / name).is_file():
                raise MissingDependencyError(f"the NDK {toolchain} has no {name} for {triple}; install the NDK again")
            return system / name
        if (stubs / name).is_file():
            return None
        raise InputError(
            f"{folder} needs {name}, which neither it nor Android has; are these libraries builds for Android?"
        )

    def origin(name: str) -> str:
        if (folder / name).is_file():
            return f"a build for Android that the user gave, of or beside {sdk.package}"
        return "the Android NDK, Apache-2.0 with LLVM exceptions"

    flags = ("-Wl,-rpath,$ORIGIN/lib", f"-Wl,-z,max-page-size={_MAX_PAGE_BYTES}")
    return Kit(sdk, compiler_of(abi, (str(clang),)), flags, ("./runner",), (), find, origin)


def _folder(libraries: Path, abi: Abi) -> Path:
    if not libraries.is_dir():
        raise InputError(f"{libraries} is no folder; name the one that holds the runtime's libraries for Android")
    return libraries / abi if (libraries / abi).is_dir() else libraries


def _toolchain_folder() -> Path:
    home = os.environ.get("ANDROID_NDK_HOME")
    if not home:
        raise MissingDependencyError(
            "libraries for Android need the NDK: unpack it and set ANDROID_NDK_HOME to its folder; without libraries "
            "of your own, no NDK is needed"
        )
    folder = Path(home) / "toolchains/llvm/prebuilt/linux-x86_64"
    if not folder.is_dir():
        raise MissingDependencyError(f"ANDROID_NDK_HOME={home} holds no NDK for Linux: {folder} is missing")
    return folder


def _clang(toolchain: Path, triple: str) -> tuple[int, Path]:
    """The NDK's compiler for the oldest supported Android that it knows."""
    pattern = re.compile(re.escape(triple) + r"(\d{2,3})-clang\+\+")
    found = {}
    for path in (toolchain / "bin").glob(f"{triple}*-clang++"):
        match = pattern.fullmatch(path.name)
        if match and int(match[1]) >= MIN_API:
            found[int(match[1])] = path
    if not found:
        raise MissingDependencyError(
            f"the NDK {toolchain} has no {triple}{MIN_API}-clang++ or newer; install a newer NDK"
        )
    api = min(found)
    return api, found[api]
