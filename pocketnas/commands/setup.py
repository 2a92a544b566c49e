"""`pocketnas runner build` and `pocketnas data fetch`: what `make setup` prepares."""

from collections.abc import Sequence
from pathlib import Path

from android_bench.runner.abi import Abi, parse_abi
from android_bench.runner.build import build_runner
from android_bench.runner.bundle import build_bundle
from android_bench.runner.ndk import android_libraries, holds_runtime
from pocketnas.console import progress_bar, say
from pocketnas_base.artifact import RUNTIMES
from pocketnas_base.errors import InputError


def build_runners(abis: Sequence[str], libraries: Path | None, wheels: Path | None) -> None:
    """Build, where that is not done yet, the runner of every runtime: for this machine, or the bundles for `abis`.

    libraries: Android builds to link with the NDK; then only the runtimes that it holds are built, for arm64-v8a
    unless another ABI is asked for.
    """
    if not abis and libraries is None:
        for runtime in RUNTIMES:
            runner = build_runner(runtime, say=say)
            print(f"{runtime} {runner.runtime_version}, {runner.abi}: {runner.path}")
        return
    wanted = [parse_abi(name) for name in abis] or ["arm64-v8a"]
    for abi in dict.fromkeys(wanted):
        _build_bundles(abi, android_libraries(libraries), wheels)


def _build_bundles(abi: Abi, libraries: Path | None, wheels: Path | None) -> None:
    runtimes = [runtime for runtime in RUNTIMES if libraries is None or holds_runtime(libraries, runtime, abi)]
    if not runtimes:
        raise InputError(f"{libraries} holds no library of {' or '.join(RUNTIMES)} for {abi}, such as libLiteRt.so")
    for runtime in runtimes:
        bundle = build_bundle(runtime, abi, wheels=wheels, libraries=libraries, say=say)
        size_mb = bundle.size_bytes / 1e6
        print(f"{runtime} {bundle.runtime_version}, {abi}: {size_mb:.1f} MB, sha256 {bundle.sha256}")


def fetch_data(name: str) -> None:
    """Find or fetch a data set that the product knows by name, and say where it came from."""
    if name != "fashion-mnist":
        raise InputError(f"unknown data set {name!r}; known: fashion-mnist")
    from search.data.load import load_data

    with progress_bar("data") as progress:
        data = load_data(name, resolution=28, channels=1, classes=10, progress=progress)
    print(f"{data.name}: {len(data.train_images)} + {len(data.test_images)} images, {data.source}")
