"""Device bundles: a runner with every file that it needs to start on a device that has none of them.

A bundle is a folder: `runner`, `lib/` with the runtime's libraries, the C++ and C library and the program loader, and
`NOTICE`. It starts from within its folder by `Bundle.command`. It is named by its content: two machines that build the
same files name them the same, and a device that holds the files already needs no second copy.
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from android_bench.runner.abi import Abi
from android_bench.runner.build import cache_dir, compile_runner, made_of
from android_bench.runner.elf import read_elf
from android_bench.runner.kit import Kit, closure, linux_kit
from android_bench.runner.ndk import android_libraries, ndk_kit
from pocketnas_base.artifact import Runtime
from pocketnas_base.errors import MeasurementError
from pocketnas_base.files import sha256_bytes, sha256_file, write_text

_LAYOUT = 1
"""Counted up when a bundle's files are laid out in another way: an older bundle in the cache is not found then."""

_RUNNER, _NOTICE, _CONTENT = "runner", "NOTICE", "content.json"
_MAX_CONTENT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One file of a bundle. name: its path within the bundle. path: where it lies on this host."""

    name: str
    path: Path
    sha256: str
    executable: bool


@dataclass(frozen=True, slots=True)
class Bundle:
    """One runner, ready for a device.

    command: what starts it, without its plan; to be run in the bundle's folder. sha256: of the names and contents of
    all files.
    """

    runtime: Runtime
    runtime_version: str
    abi: Abi
    files: tuple[BundleFile, ...]
    command: tuple[str, ...]
    sha256: str

    @property
    def size_bytes(self) -> int:
        return sum(file.path.stat().st_size for file in self.files)


def build_bundle(
    runtime: Runtime,
    abi: Abi,
    *,
    wheels: Path | None = None,
    libraries: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """The bundle of `runtime` for devices of `abi`, built now unless an equal one lies intact in the cache.

    wheels: a folder with the runtime's wheel for `abi`, for a machine without network ($POCKETNAS_WHEELS).
    libraries: Android builds of the runtime's libraries, to be linked with the NDK ($POCKETNAS_ANDROID_LIBRARIES; see
    `android_bench.runner.ndk`); without it, no NDK is used. say: told before it is built, and before its first
    building, which may have to fetch the wheel.

    A second call costs milliseconds; concurrent calls build apart and the first to finish wins. Raises
    MissingDependencyError when a compiler, a wheel or the NDK is missing, InputError for a library that does not fit,
    MeasurementError when the compilation fails.
    """
    notice = f"building the runner of {runtime} for {abi} devices, once; this can take a minute or two"
    is_first = newest_bundle(runtime, abi) is None
    if is_first:
        say(notice)
    android = android_libraries(libraries)
    kit = ndk_kit(runtime, abi, android) if android else linux_kit(runtime, abi, wheels)
    folder = cache_dir() / "bundles" / f"{runtime}-{abi}-{_address(kit)}"
    found = _read(folder, kit, runtime)
    if found is None:
        if not is_first:
            say(notice)
        _build_into(folder, kit, runtime)
        found = _read(folder, kit, runtime)
        if found is None:
            raise MeasurementError(f"the bundle {folder} is not what was written there; check the disk and build again")
    return found


def newest_bundle(runtime: Runtime, abi: Abi) -> str | None:
    """The sha256 of the bundle that was built last on this machine, whether it would be built again or not; None where
    there is none. Costs a look into the cache."""
    built: list[tuple[float, str]] = []
    for path in (cache_dir() / "bundles").glob(f"{runtime}-{abi}-*/{_CONTENT}"):
        content = _read_content(path)
        if content is not None:
            built.append((path.stat().st_mtime, _sha256_of(content)))
    return max(built)[1] if built else None


def _address(kit: Kit) -> str:
    """Of everything that goes into the bundle, by content."""
    roots = [*(path.name for path in kit.sdk.library_paths), *kit.extra]
    parts = made_of(kit.sdk, kit.compiler) | {
        "layout": _LAYOUT,
        "link": kit.link_flags,
        "files": {name: sha256_file(path) for name, path in closure(kit, roots).items()},
    }
    return sha256_bytes(json.dumps(parts, sort_keys=True).encode())[:32]


def _build_into(folder: Path, kit: Kit, runtime: Runtime) -> None:
    """Build beside `folder` and rename into place, so that nobody ever sees half a bundle."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder.parent) as scratch:
        built = Path(scratch) / "built"
        (built / "lib").mkdir(parents=True)
        runner = built / _RUNNER
        compile_runner(kit.sdk, kit.compiler, runner, kit.link_flags)
        libraries = closure(kit, [*read_elf(runner).needed, *kit.extra])
        for name, path in libraries.items():
            shutil.copyfile(path, built / "lib" / name)
        origins = [f"lib/{name}: {kit.origin(name)}\n" for name in libraries]
        write_text(built / _NOTICE, "".join([f"{_RUNNER}: PocketNAS, Apache-2.0\n", *origins]))
        content = {
            name: sha256_file(built / name) for name in [_NOTICE, _RUNNER, *(f"lib/{name}" for name in libraries)]
        }
        for name in content:
            (built / name).chmod(0o755 if _executable(name, kit) else 0o644)
        write_text(built / _CONTENT, json.dumps(content))
        _put_in_place(built, folder, kit, runtime)


def _put_in_place(built: Path, folder: Path, kit: Kit, runtime: Runtime) -> None:
    """Rename a finished bundle to its place. An intact one that came first stays; a damaged one gives way."""
    try:
        built.rename(folder)
    except OSError:
        if _read(folder, kit, runtime) is None:
            folder.rename(built.with_name("damaged"))
            built.rename(folder)


def _executable(name: str, kit: Kit) -> bool:
    return name in (_RUNNER, kit.command[0])


def _read(folder: Path, kit: Kit, runtime: Runtime) -> Bundle | None:
    """The bundle in `folder`; None when there is none or a file of it is not what it was."""
    content = _read_content(folder / _CONTENT)
    if content is None:
        return None
    files = tuple(BundleFile(name, folder / name, digest, _executable(name, kit)) for name, digest in content.items())
    try:
        if any(sha256_file(file.path) != file.sha256 for file in files):
            return None
    except (OSError, ValueError):
        return None
    return Bundle(runtime, kit.sdk.version, kit.compiler.abi, files, kit.command, _sha256_of(content))


def _read_content(path: Path) -> dict[str, str] | None:
    """The sha256 of each file of a bundle by its name, in their order; None when there is no such list."""
    try:
        if path.stat().st_size > _MAX_CONTENT_BYTES:
            return None
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or not all(isinstance(digest, str) for digest in content.values()):
        return None
    return dict(sorted(content.items()))


def _sha256_of(content: dict[str, str]) -> str:
    return sha256_bytes("".join(f"{digest}  {name}\n" for name, digest in content.items()).encode())
