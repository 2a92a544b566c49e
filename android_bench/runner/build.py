"""Building the native runners against the libraries that the runtimes' wheels bring. No NDK, SDK or CMake."""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pocketnas_base.artifact import Runtime
from pocketnas_base.errors import InputError, MeasurementError, MissingDependencyError
from pocketnas_base.files import sha256_bytes

Abi = Literal["x86_64", "arm64-v8a"]

SOURCES = Path(__file__).parent / "src"
HEADERS = ("json.hpp", "plan.hpp", "runner.hpp", "system.hpp", "tensor.hpp")
COMPILE_TIMEOUT_S = 600
_FLAGS = ("-std=c++17", "-O2", "-Wall", "-Wextra")
_HOST_ABIS: dict[str, Abi] = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64-v8a", "arm64": "arm64-v8a"}


@dataclass(frozen=True, slots=True)
class Runner:
    """One built runner.

    sha256: of what it is made of (sources, flags, compiler, libraries), but not of where those lie: two machines
      that build the same thing name it the same.
    libraries: the wheel's shared libraries that it loads; on this host it finds them by itself.
    """

    runtime: Runtime
    runtime_version: str
    abi: Abi
    path: Path
    libraries: tuple[Path, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class _Sdk:
    """What one wheel offers to link against."""

    package: str
    source: str
    library_dir: Path
    libraries: tuple[str, ...]
    include_dirs: tuple[Path, ...]
    flags: tuple[str, ...]


def host_abi() -> Abi:
    """The ABI of this machine. Raises MissingDependencyError where no runner can be built for it."""
    if platform.system() != "Linux" or platform.machine() not in _HOST_ABIS:
        machine = f"{platform.system()} on {platform.machine()}"
        raise MissingDependencyError(
            f"the runner is built on Linux on x86_64 or aarch64 only; this machine is {machine}"
        )
    return _HOST_ABIS[platform.machine()]


def cache_dir() -> Path:
    """Where built runners are kept: $POCKETNAS_CACHE, else the user's cache directory."""
    import platformdirs

    override = os.environ.get("POCKETNAS_CACHE")
    return Path(override) if override else platformdirs.user_cache_path("pocketnas")


def build_runner(runtime: Runtime, abi: Abi | None = None) -> Runner:
    """The runner for `runtime`, built now unless an equal one lies in the cache.

    A second call costs milliseconds; concurrent calls build apart and the first to finish wins. The compiler is
    $CXX, else g++, else clang++. Raises MissingDependencyError when the compiler or the runtime's wheel is missing,
    MeasurementError when the compilation fails, InputError for an ABI that this host does not build.
    """
    host = host_abi()
    abi = abi or host
    if abi != host:
        raise InputError(f"this machine builds runners for {host} only, not for {abi}")
    sdk = _sdk(runtime)
    compiler = _compiler()
    libraries = tuple(sdk.library_dir / f"lib{name}.so" for name in sdk.libraries)
    for library in libraries:
        if not library.is_file():
            raise MissingDependencyError(f"{library} is missing; install the package again: pip install {sdk.package}")
    version = importlib.metadata.version(sdk.package)
    identity = _identity(sdk, version, compiler, libraries, abi)
    address = sha256_bytes(f"{identity} {sdk.library_dir}".encode())[:32]
    directory = cache_dir() / "runners" / f"{runtime}-{abi}-{address}"
    path = directory / "runner"
    if not os.access(path, os.X_OK):
        _compile_into(directory, sdk, compiler)
    return Runner(runtime, version, abi, path, libraries, identity)


def _package_dir(package: str, module: str) -> Path:
    """Where a wheel lies, without importing it."""
    found = importlib.util.find_spec(module)
    places = list(found.submodule_search_locations or ()) if found else []
    if not places:
        raise MissingDependencyError(f"the package {package} is not installed; install it: pip install {package}")
    return Path(places[0])


def _sdk(runtime: Runtime) -> _Sdk:
    if runtime == "tflite":
        root = _package_dir("ai-edge-litert", "ai_edge_litert")
        return _Sdk("ai-edge-litert", "tflite_runner.cpp", root, ("LiteRt",), (), ())
    root = _package_dir("executorch", "executorch")
    include = root / "include"
    return _Sdk(
        "executorch",
        "executorch_runner.cpp",
        root / "lib",
        (
            "executorch",
            "executorch_backend_xnnpack",
            "executorch_kernels_optimized",
            "executorch_kernels_quantized",
            "executorch_threadpool",
        ),
        (include, include / "executorch/runtime/core/portable_type/c10"),
        ("-DC10_USING_CUSTOM_GENERATED_MACROS",),
    )


def _compiler() -> list[str]:
    """The compiler's command. Raises MissingDependencyError when there is none."""
    asked = shlex.split(os.environ.get("CXX", ""))
    if asked:
        if shutil.which(asked[0]) is None:
            raise MissingDependencyError(f"the compiler {asked[0]} that CXX names is not installed")
        return asked
    for name in ("g++", "clang++"):
        if shutil.which(name):
            return [name]
    raise MissingDependencyError("no C++17 compiler was found; install one, e.g.: apt install g++")


def _compiler_version(compiler: list[str]) -> str:
    try:
        command = [*compiler, "--version"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingDependencyError(f"the compiler {shlex.join(compiler)} does not start: {error}") from error
    return shown.partition("\n")[0]


def _identity(sdk: _Sdk, version: str, compiler: list[str], libraries: tuple[Path, ...], abi: Abi) -> str:
    """Sha256 of everything the runner is made of. A library counts by name, size and version: hashing 14 MB each
    time would cost more than the rest of the call."""
    sources = [hashlib.sha256((SOURCES / name).read_bytes()).hexdigest() for name in (sdk.source, *HEADERS)]
    made_of = {
        "sources": sources,
        "flags": [*_FLAGS, *sdk.flags],
        "compiler": _compiler_version(compiler),
        "abi": abi,
        "package": [sdk.package, version],
        "libraries": [[library.name, library.stat().st_size] for library in libraries],
    }
    return sha256_bytes(json.dumps(made_of, sort_keys=True).encode())


def _compile_into(directory: Path, sdk: _Sdk, compiler: list[str]) -> None:
    """Compile beside `directory` and rename into place, so that nobody ever sees half a runner."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=directory.parent) as scratch:
        built = Path(scratch) / "built"
        built.mkdir()
        command = [
            *compiler,
            *_FLAGS,
            *sdk.flags,
            *(f"-isystem{path}" for path in sdk.include_dirs),
            str(SOURCES / sdk.source),
            "-o",
            str(built / "runner"),
            f"-L{sdk.library_dir}",
            f"-Wl,-rpath,{sdk.library_dir}",
            "-Wl,--no-as-needed",
            *(f"-l{name}" for name in sdk.libraries),
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=COMPILE_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise MeasurementError(f"compiling {sdk.source} took longer than {COMPILE_TIMEOUT_S} s") from None
        if done.returncode != 0:
            raise MeasurementError(f"{sdk.source} could not be compiled: {_first_error(done.stderr)}")
        try:
            built.rename(directory)
        except OSError:
            if not os.access(directory / "runner", os.X_OK):
                raise


def _first_error(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[-1] if lines else "the compiler said nothing")
