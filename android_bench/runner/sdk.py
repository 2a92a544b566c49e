"""What a runtime's wheel offers to link against."""

import importlib.metadata
import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path

from pocketnas_base.artifact import Runtime
from pocketnas_base.errors import MissingDependencyError


@dataclass(frozen=True, slots=True)
class Sdk:
    """One runtime's libraries and headers, for one ABI.

    package, version: of the wheel. source: the runner's main file. libraries: without `lib` and `.so`, in the order
    of the link.
    """

    package: str
    version: str
    source: str
    library_dir: Path
    libraries: tuple[str, ...]
    include_dirs: tuple[Path, ...]
    flags: tuple[str, ...]

    @property
    def library_paths(self) -> tuple[Path, ...]:
        return tuple(self.library_dir / f"lib{name}.so" for name in self.libraries)

    def with_libraries_in(self, directory: Path) -> "Sdk":
        """The same headers with other builds of the libraries."""
        return replace(self, library_dir=directory)


PACKAGES: dict[Runtime, str] = {"tflite": "ai-edge-litert", "executorch": "executorch"}
MODULES: dict[Runtime, str] = {"tflite": "ai_edge_litert", "executorch": "executorch"}


def installed_sdk(runtime: Runtime) -> Sdk:
    """What the installed wheel offers, for this machine. Raises MissingDependencyError when it is not there whole."""
    package = PACKAGES[runtime]
    found = importlib.util.find_spec(MODULES[runtime])
    places = list(found.submodule_search_locations or ()) if found else []
    if not places:
        raise MissingDependencyError(f"the package {package} is not installed; install it: pip install {package}")
    sdk = sdk_in(runtime, Path(places[0]), importlib.metadata.version(package))
    for path in sdk.library_paths:
        if not path.is_file():
            raise MissingDependencyError(f"{path} is missing; install the package again: pip install {package}")
    return sdk


def sdk_in(runtime: Runtime, module_dir: Path, version: str) -> Sdk:
    """What a wheel offers whose Python module lies at `module_dir`. Nothing is looked at there."""
    package = PACKAGES[runtime]
    if runtime == "tflite":
        return Sdk(package, version, "tflite_runner.cpp", module_dir, ("LiteRt",), (), ())
    include = module_dir / "include"
    return Sdk(
        package,
        version,
        "executorch_runner.cpp",
        module_dir / "lib",
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
