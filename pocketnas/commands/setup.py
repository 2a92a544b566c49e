"""`pocketnas runner build` and `pocketnas data fetch`: what `make setup` prepares."""

from android_bench.runner.build import build_runner
from pocketnas.console import progress_bar
from pocketnas_base.artifact import RUNTIMES
from pocketnas_base.errors import InputError


def build_runners() -> None:
    """Build the native runner of every runtime for this machine, where that is not done yet."""
    for runtime in RUNTIMES:
        runner = build_runner(runtime)
        print(f"{runtime} {runner.runtime_version}, {runner.abi}: {runner.path}")


def fetch_data(name: str) -> None:
    """Find or fetch a data set that the product knows by name, and say where it came from."""
    if name != "fashion-mnist":
        raise InputError(f"unknown data set {name!r}; known: fashion-mnist")
    from search.data.load import load_data

    with progress_bar("data") as progress:
        data = load_data(name, resolution=28, channels=1, classes=10, progress=progress)
    print(f"{data.name}: {len(data.train_images)} + {len(data.test_images)} images, {data.source}")
