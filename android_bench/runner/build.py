"""Building the native runners against the libraries that the runtimes' wheels bring. No NDK, SDK or CMake."""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from android_bench.runner.abi import Abi, host_abi
from android_bench.runner.elf import elf_abi
from android_bench.runner.sdk import Sdk, installed_sdk
from android_bench.runner.toolchain import Toolchain, toolchain
from pocketnas_base.artifact import Runtime
from pocketnas_base.errors import InputError, MeasurementError
from pocketnas_base.files import sha256_bytes

__all__ = ["Abi", "Runner", "build_runner", "cache_dir", "compile_runner", "find_runner", "host_abi", "made_of"]

SOURCES = Path(__file__).parent / "src"
COMPILE_TIMEOUT_S = 600
_FLAGS = ("-std=c++17", "-O2", "-Wall", "-Wextra")


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


def cache_dir() -> Path:
    """Where built runners are kept: $POCKETNAS_CACHE, else the user's cache directory."""
    import platformdirs

    override = os.environ.get("POCKETNAS_CACHE")
    return Path(override) if override else platformdirs.user_cache_path("pocketnas")


def build_runner(runtime: Runtime, abi: Abi | None = None, *, say: Callable[[str], None] = lambda _: None) -> Runner:
    """The runner for `runtime` on this machine, built now unless an equal one lies in the cache.

    A second call costs milliseconds; concurrent calls build apart and the first to finish wins. The compiler is
    $CXX, else g++, else clang++. say: told before it is built. Raises MissingDependencyError when the compiler or the
    runtime's wheel is missing, MeasurementError when the compilation fails, InputError for another ABI: that one needs
    a bundle (`android_bench.runner.bundle`).
    """
    host = host_abi()
    if abi is not None and abi != host:
        raise InputError(f"this machine builds runners for {host} only, not for {abi}")
    sdk, compiler = installed_sdk(runtime), toolchain(host)
    runner = _runner(runtime, sdk, compiler)
    if not os.access(runner.path, os.X_OK):
        say(f"building the runner of {runtime} for this machine, once; this can take a minute")
        _compile_into(runner.path.parent, sdk, compiler)
    return runner


def find_runner(runtime: Runtime) -> Runner | None:
    """The runner that `build_runner` would give for this machine; None where it is not built yet. Raises
    MissingDependencyError where it cannot be built."""
    runner = _runner(runtime, installed_sdk(runtime), toolchain(host_abi()))
    return runner if os.access(runner.path, os.X_OK) else None


def _runner(runtime: Runtime, sdk: Sdk, compiler: Toolchain) -> Runner:
    identity = sha256_bytes(json.dumps(made_of(sdk, compiler), sort_keys=True).encode())
    address = sha256_bytes(f"{identity} {sdk.library_dir}".encode())[:32]
    path = cache_dir() / "runners" / f"{runtime}-{compiler.abi}-{address}" / "runner"
    return Runner(runtime, sdk.version, compiler.abi, path, sdk.library_paths, identity)


def made_of(sdk: Sdk, compiler: Toolchain) -> dict[str, object]:
    """Everything a runner is made of, as JSON. A library counts by name, size and version: hashing 14 MB each time
    would cost more than the rest of the call."""
    sources = [SOURCES / sdk.source, *sorted(SOURCES.glob("*.hpp"))]
    return {
        "sources": [[path.name, sha256_bytes(path.read_bytes())] for path in sources],
        "flags": [*_FLAGS, *sdk.flags],
        "compiler": [compiler.version, Path(compiler.command[0]).name, *compiler.command[1:]],
        "abi": compiler.abi,
        "package": [sdk.package, sdk.version],
        "libraries": [[path.name, path.stat().st_size] for path in sdk.library_paths],
    }


def compile_runner(sdk: Sdk, compiler: Toolchain, output: Path, link_flags: Sequence[str] = ()) -> None:
    """Compile the runner of `sdk` to `output`. Raises MeasurementError, with the compiler's first error."""
    command = [
        *compiler.command,
        *_FLAGS,
        *sdk.flags,
        *(f"-isystem{path}" for path in sdk.include_dirs),
        str(SOURCES / sdk.source),
        "-o",
        str(output),
        f"-L{sdk.library_dir}",
        "-Wl,--no-as-needed",
        *link_flags,
        *(f"-l{name}" for name in sdk.libraries),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=COMPILE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"compiling {sdk.source} took longer than {COMPILE_TIMEOUT_S} s") from None
    if done.returncode != 0:
        raise MeasurementError(f"{sdk.source} could not be compiled for {compiler.abi}: {_first_error(done.stderr)}")
    built_for = elf_abi(output)
    if built_for != compiler.abi:
        raise MeasurementError(
            f"{compiler.command[0]} builds for {built_for or 'another machine'}, not for {compiler.abi}; name another "
            "compiler"
        )


def _compile_into(directory: Path, sdk: Sdk, compiler: Toolchain) -> None:
    """Compile beside `directory` and rename into place, so that nobody ever sees half a runner."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=directory.parent) as scratch:
        built = Path(scratch) / "built"
        built.mkdir()
        compile_runner(sdk, compiler, built / "runner", [f"-Wl,-rpath,{sdk.library_dir}"])
        try:
            built.rename(directory)
        except OSError:
            if not os.access(directory / "runner", os.X_OK):
                raise


def _first_error(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[-1] if lines else "the compiler said nothing")
