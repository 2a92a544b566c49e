"""Device bundles: complete, started where nothing else is, computing what torch computes, on both ABIs."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from qemu import OLDEST, find_qemu
from starting import put, start
from tiny_models import Model

from android_bench.protocol import Protocol
from android_bench.runner import bundle as bundle_module
from android_bench.runner.abi import ABIS, Abi, host_abi
from android_bench.runner.build import cache_dir
from android_bench.runner.bundle import Bundle, build_bundle
from android_bench.runner.elf import elf_abi, read_elf
from android_bench.runner.sdk import installed_sdk
from deploy.operators import export_operators
from latency.opspec import OpSpec
from pocketnas_base.artifact import RUNTIMES, Runtime
from pocketnas_base.errors import InputError, MissingDependencyError
from pocketnas_base.files import sha256_file

OTHER: Abi = "arm64-v8a" if host_abi() == "x86_64" else "x86_64"
MBCONV = OpSpec("mbconv", 8, 8, 5, 3, 1, 14, residual=True)


def built(runtime: Runtime, abi: Abi, say: Callable[[str], None] = lambda _: None) -> Bundle:
    """A bundle, or a skipped test where the other ABI's compiler or wheel cannot be had."""
    try:
        return build_bundle(runtime, abi, say=say)
    except MissingDependencyError as missing:
        if abi == host_abi():
            raise
        pytest.skip(str(missing))


def arm64_starter() -> list[str]:
    """What arm64 programs are started with here: nothing on arm64 itself, else an emulator."""
    if host_abi() == "arm64-v8a":
        return []
    qemu = find_qemu()
    if qemu is None:
        pytest.skip(f"needs qemu-aarch64 {OLDEST} or newer on PATH or from: make testbed")
    return [qemu]


@pytest.fixture(scope="session")
def operator_models(tmp_path_factory: pytest.TempPathFactory) -> dict[Runtime, Model]:
    """An inverted residual block, as a latency table measures it."""
    models: dict[Runtime, Model] = {}
    for runtime in RUNTIMES:
        (file,) = export_operators([MBCONV], runtime, tmp_path_factory.mktemp("operators")).values()
        models[runtime] = Model(file.artifact.path, file.input_path, file.reference_path)
    return models


@pytest.fixture
def models(runtime: Runtime, operator_models: dict[Runtime, Model], request: pytest.FixtureRequest) -> list[Model]:
    tiny = ["tflite_models", "executorch_model"][runtime == "executorch"]
    given = request.getfixturevalue(tiny)
    return [*(given if isinstance(given, list) else [given]), operator_models[runtime]]


@pytest.fixture(scope="session")
def int8_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A convolution quantised per channel, and what torch computes for it: at most one step of 255 away."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from executorch.exir import to_edge_transform_and_lower
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    directory = tmp_path_factory.mktemp("int8")
    torch.manual_seed(0)
    image = torch.randn(1, 8, 14, 14)
    module = torch.export.export(torch.nn.Conv2d(8, 16, 3, padding=1).eval(), (image,)).module()
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(module, quantizer)
    with torch.no_grad():
        prepared(image)
        converted = convert_pt2e(prepared)
        converted(image).numpy().tofile(directory / "int8.out")
    image.numpy().tofile(directory / "int8.in")
    program = to_edge_transform_and_lower(
        torch.export.export(converted, (image,)), partitioner=[XnnpackPartitioner()]
    ).to_executorch()
    (directory / "int8.pte").write_bytes(program.buffer)
    return Model(directory / "int8.pte", directory / "int8.in", directory / "int8.out")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_bundle_runs_where_nothing_else_is(
    runtime: Runtime, models: list[Model], quick: Protocol, tmp_path: Path
) -> None:
    chroot = shutil.which("chroot") or shutil.which("chroot", path="/usr/sbin")
    if os.geteuid() != 0 or chroot is None:
        pytest.skip("needs root and the program chroot")
    bundle = built(runtime, host_abi())
    root = tmp_path / "root"
    root.mkdir()
    root.chmod(0o777)
    put(bundle, root)
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_bytes(Path("/proc/cpuinfo").read_bytes())  # XNNPACK does nothing without it
    rows = start(bundle, models, root, [chroot, "--userspec=2000:2000", str(root)], quick)
    assert len(rows) == len(models)
    for row in rows:
        assert row.output_error is not None
        assert row.output_error < 1e-5


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_arm64_bundle_computes_what_torch_computes(
    runtime: Runtime, models: list[Model], quick: Protocol, tmp_path: Path
) -> None:
    starter = arm64_starter()
    bundle = built(runtime, "arm64-v8a")
    put(bundle, tmp_path)
    rows = start(bundle, models, tmp_path, starter, quick, cwd=tmp_path)
    assert len(rows) == len(models)
    for row in rows:
        assert row.output_error is not None
        assert row.output_error < 1e-5


def test_int8_is_the_same_to_the_last_bit_on_both_abis(int8_model: Model, quick: Protocol, tmp_path: Path) -> None:
    starters = {"arm64-v8a": arm64_starter(), host_abi(): []}
    outputs = []
    for abi, starter in starters.items():
        (tmp_path / abi).mkdir()
        bundle = built("executorch", abi)  # type: ignore[arg-type]
        put(bundle, tmp_path / abi)
        (row,) = start(bundle, [int8_model], tmp_path / abi, starter, quick, cwd=tmp_path / abi, max_output_error=0.01)
        assert row.output_error is not None
        outputs.append((tmp_path / abi / "0.found").read_bytes())
    assert len(set(outputs)) == 1


@pytest.mark.parametrize("abi", ABIS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_bundle_holds_everything_it_needs_and_nothing_else(runtime: Runtime, abi: Abi) -> None:
    bundle = built(runtime, abi)
    files = {file.name: file.path for file in bundle.files}
    needed = {"runner", "NOTICE", bundle.command[0]}
    for name in files:
        if name != "NOTICE":
            elf = read_elf(files[name])
            assert elf.abi == abi
            needed |= {f"lib/{library}" for library in elf.needed}
    assert needed == set(files)
    notice = files["NOTICE"].read_text()
    assert all(f"{name}: " in notice for name in files if name != "NOTICE")
    assert str(Path(sys.prefix)) not in notice


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_arm64_files_can_be_loaded_with_pages_of_16_kb(runtime: Runtime) -> None:
    bundle = built(runtime, "arm64-v8a")
    assert all(read_elf(file.path).page_bytes >= 16384 for file in bundle.files if file.name != "NOTICE")


def test_files_are_what_the_bundle_says() -> None:
    bundle = built("tflite", host_abi())
    assert [file.name for file in bundle.files if file.executable] == [bundle.command[0], "runner"]
    for file in bundle.files:
        assert sha256_file(file.path) == file.sha256
        assert bool(file.path.stat().st_mode & 0o111) == file.executable
    assert bundle.runtime_version == installed_sdk("tflite").version
    assert bundle.size_bytes == sum(file.path.stat().st_size for file in bundle.files)


def test_second_bundle_is_found_in_the_cache() -> None:
    bundle = built("executorch", host_abi())
    before = [file.path.stat().st_mtime_ns for file in bundle.files]
    started = time.monotonic()
    assert build_bundle("executorch", host_abi()) == bundle
    assert time.monotonic() - started < 1
    assert [file.path.stat().st_mtime_ns for file in bundle.files] == before


@pytest.mark.parametrize("abi", ABIS)
def test_bundle_is_named_by_its_content_wherever_it_is_built(
    abi: Abi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = built("executorch", abi)
    if abi != host_abi():
        monkeypatch.setenv("POCKETNAS_WHEELS", str(cache_dir() / "wheels"))
    monkeypatch.setenv("POCKETNAS_CACHE", str(tmp_path))
    elsewhere = built("executorch", abi)
    assert elsewhere.sha256 == bundle.sha256
    assert [(file.name, file.sha256) for file in elsewhere.files] == [(file.name, file.sha256) for file in bundle.files]
    assert all(file.path.is_relative_to(tmp_path) for file in elsewhere.files)
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == [elsewhere.files[0].path.parent.name]


def test_damaged_bundle_in_the_cache_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETNAS_CACHE", str(tmp_path))
    said: list[str] = []
    bundle = built("tflite", host_abi(), said.append)
    assert built("tflite", host_abi(), said.append) == bundle
    assert said == [f"building the runner of tflite for {host_abi()} devices, once; this can take a minute or two"]
    library = next(file for file in bundle.files if file.name == "lib/libc.so.6")
    content = bytearray(library.path.read_bytes())
    content[1000] ^= 1
    library.path.write_bytes(content)
    assert build_bundle("tflite", host_abi(), say=said.append) == bundle
    assert len(said) == 2
    assert sha256_file(library.path) == library.sha256
    assert len(list((tmp_path / "bundles").iterdir())) == 1


def test_bundle_that_failed_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("POCKETNAS_CACHE", str(tmp_path))
    monkeypatch.setattr(bundle_module, "compile_runner", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_bundle("tflite", host_abi())
    assert list((tmp_path / "bundles").iterdir()) == []


def test_concurrent_builds_give_one_bundle(tmp_path: Path) -> None:
    code = (
        "from android_bench.runner.bundle import build_bundle; from android_bench.runner.abi import host_abi; "
        "print(build_bundle('tflite', host_abi()).sha256)"
    )
    environment = os.environ | {"POCKETNAS_CACHE": str(tmp_path)}
    root = Path(bundle_module.__file__).parents[2]
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=root, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = {process.communicate(timeout=120)[0].strip() for process in started}
    assert [process.returncode for process in started] == [0, 0]
    assert len(printed) == 1
    assert len(list((tmp_path / "bundles").iterdir())) == 1


def test_missing_cross_compiler_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    machine = {"arm64-v8a": "aarch64", "x86_64": "x86-64"}[OTHER]
    with pytest.raises(
        MissingDependencyError, match=rf"no compiler for {OTHER} was found; .*apt install g\+\+-{machine}-linux-gnu"
    ):
        build_bundle("tflite", OTHER)


def test_cross_compiler_that_is_named_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    variable = {"arm64-v8a": "CXX_ARM64_V8A", "x86_64": "CXX_X86_64"}[OTHER]
    monkeypatch.setenv(variable, "no-such-compiler")
    with pytest.raises(MissingDependencyError, match=f"no-such-compiler that {variable} names is not installed"):
        build_bundle("tflite", OTHER)


def test_compiler_without_libraries_for_the_abi_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    variable = {"arm64-v8a": "CXX_ARM64_V8A", "x86_64": "CXX_X86_64"}[OTHER]
    monkeypatch.setenv(variable, "true")
    with pytest.raises(MissingDependencyError, match="the compiler true does not say where its libraries are"):
        build_bundle("tflite", OTHER)


def test_library_for_another_abi_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host's own compiler under the other ABI's name finds only the host's libraries."""
    variable = {"arm64-v8a": "CXX_ARM64_V8A", "x86_64": "CXX_X86_64"}[OTHER]
    built("tflite", OTHER)
    monkeypatch.setenv(variable, "g++")
    with pytest.raises(MissingDependencyError, match=rf"the compiler g\+\+ has no .* for {OTHER}"):
        build_bundle("tflite", OTHER)


def test_damaged_library_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (library,) = installed_sdk("tflite").library_paths
    cut = tmp_path / library.name
    cut.write_bytes(library.read_bytes()[:1000])
    broken = installed_sdk("tflite").with_libraries_in(tmp_path)
    monkeypatch.setattr("android_bench.runner.kit.installed_sdk", lambda _: broken)
    with pytest.raises(InputError, match=r"libLiteRt\.so is a damaged ELF file"):
        build_bundle("tflite", host_abi())


def test_abi_of_the_host_is_what_its_programs_say() -> None:
    assert elf_abi(Path(sys.executable)) == host_abi()
