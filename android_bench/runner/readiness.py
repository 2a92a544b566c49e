"""Whether this machine has, or can build, the runners for a device. Nothing is built or downloaded to find out."""

from dataclasses import dataclass
from typing import Literal

from android_bench.runner.abi import Abi, host_abi
from android_bench.runner.build import find_runner
from android_bench.runner.bundle import newest_bundle
from android_bench.runner.ndk import android_libraries, ndk_kit
from android_bench.runner.sdk import installed_sdk
from android_bench.runner.toolchain import toolchain
from pocketnas_base.artifact import RUNTIMES, Runtime
from pocketnas_base.errors import InputError, MissingDependencyError

State = Literal["built", "buildable", "missing"]


@dataclass(frozen=True, slots=True)
class Readiness:
    """One runtime's runner, for one ABI. detail: what it is built from, or why it cannot be built. bundle_sha256: of
    the bundle for phones that was built last."""

    runtime: Runtime
    abi: Abi
    state: State
    detail: str
    bundle_sha256: str | None = None


def runners_for_phone(abi: Abi) -> tuple[Readiness, ...]:
    """The state of the bundles for phones of that ABI."""
    return tuple(_bundle(runtime, abi) for runtime in RUNTIMES)


def runners_for_host() -> tuple[Readiness, ...]:
    """The state of this machine's own runners. Raises MissingDependencyError where none can exist."""
    return tuple(_runner(runtime, host_abi()) for runtime in RUNTIMES)


def cross_compiler() -> str | None:
    """What compiles for phones (arm64-v8a) on this machine, by its own words; None where nothing does."""
    try:
        return toolchain("arm64-v8a").version
    except MissingDependencyError:
        return None


def _bundle(runtime: Runtime, abi: Abi) -> Readiness:
    newest = newest_bundle(runtime, abi)
    try:
        android = android_libraries(None)
        made_from = ndk_kit(runtime, abi, android).compiler.version if android else _made_from(runtime, abi)
    except (MissingDependencyError, InputError) as error:
        return Readiness(runtime, abi, "missing", str(error), newest)
    return Readiness(runtime, abi, "built" if newest else "buildable", made_from, newest)


def _runner(runtime: Runtime, abi: Abi) -> Readiness:
    try:
        found = find_runner(runtime)
        made_from = _made_from(runtime, abi)
    except MissingDependencyError as error:
        return Readiness(runtime, abi, "missing", str(error))
    return Readiness(runtime, abi, "built" if found else "buildable", made_from)


def _made_from(runtime: Runtime, abi: Abi) -> str:
    sdk, compiler = installed_sdk(runtime), toolchain(abi)
    return f"{sdk.package} {sdk.version}, {compiler.version}"
