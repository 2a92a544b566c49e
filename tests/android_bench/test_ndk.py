"""Bundles built with the NDK. A stand-in takes the NDK's place: its compiler records what it is asked and lets the
host's compiler do it, so the bundles run here. No phone has run a real one."""

import shutil
import subprocess
from pathlib import Path

import pytest
from starting import put, start
from tiny_models import Model

from android_bench.protocol import Protocol
from android_bench.runner.abi import MACHINES, host_abi
from android_bench.runner.bundle import build_bundle
from android_bench.runner.elf import read_elf
from android_bench.runner.ndk import ndk_kit
from android_bench.runner.sdk import installed_sdk
from android_bench.runner.toolchain import find_library, library_folders, toolchain
from pocketnas.commands.setup import build_runners
from pocketnas_base.artifact import Runtime
from pocketnas_base.errors import InputError, MissingDependencyError

TRIPLE = f"{MACHINES[host_abi()]}-linux-android"
PHONE_LIBRARIES = ("libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "libdl.so.2", "librt.so.1")
PHONE_LIBRARIES += ("libpthread.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1")


@pytest.fixture
def prebuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The NDK's tool folder, as far as it is used. What this host has beside the runtime counts as the phone's."""
    ndk = tmp_path / "ndk"
    prebuilt = ndk / "toolchains/llvm/prebuilt/linux-x86_64"
    system = prebuilt / "sysroot/usr/lib" / TRIPLE
    (prebuilt / "bin").mkdir(parents=True)
    for api in (21, 26, 34):
        (system / str(api)).mkdir(parents=True)
        for name in PHONE_LIBRARIES:
            (system / str(api) / name).touch()
        compiler = prebuilt / "bin" / f"{TRIPLE}{api}-clang++"
        compiler.write_text(
            f'#!/bin/sh\necho "{api} $*" >>{tmp_path}/asked\n'
            f'case "$*" in --version) g++ --version ;; *) exec g++ "$@" -L{system} -l:libc++_shared.so ;; esac\n'
        )
        compiler.chmod(0o755)
    command = ["g++", "-shared", "-nostdlib", "-x", "c++", "/dev/null", "-Wl,-soname,libc++_shared.so"]
    subprocess.run([*command, "-o", str(system / "libc++_shared.so")], check=True)
    monkeypatch.setenv("ANDROID_NDK_HOME", str(ndk))
    monkeypatch.setenv("POCKETNAS_CACHE", str(tmp_path / "cache"))
    return prebuilt


@pytest.fixture
def libraries(tmp_path: Path) -> Path:
    """A folder like the unpacked .aar's `jni`, with a folder for this ABI."""
    folder = tmp_path / "jni"
    (folder / host_abi()).mkdir(parents=True)
    for runtime in ("tflite", "executorch"):
        for path in installed_sdk(runtime).library_paths:  # type: ignore[arg-type]
            shutil.copyfile(path, folder / host_abi() / path.name)
    return folder


@pytest.mark.usefixtures("prebuilt")
@pytest.mark.parametrize("runtime", ["tflite", "executorch"])
def test_bundle_holds_the_users_libraries_and_needs_no_loader(
    runtime: Runtime,
    libraries: Path,
    quick: Protocol,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    bundle = build_bundle(runtime, host_abi(), libraries=libraries)
    own = [f"lib/{path.name}" for path in installed_sdk(runtime).library_paths]
    assert {file.name for file in bundle.files} == {"NOTICE", "runner", "lib/libc++_shared.so", *own}
    assert bundle.command == ("./runner",)
    assert [file.name for file in bundle.files if file.executable] == ["runner"]

    asked = (tmp_path / "asked").read_text().splitlines()
    assert all(line.startswith("26 ") for line in asked)
    (compilation,) = [line for line in asked if "_runner.cpp" in line]
    assert f"-L{libraries / host_abi()} " in compilation
    assert "-Wl,-rpath,$ORIGIN/lib -Wl,-z,max-page-size=16384" in compilation
    assert build_bundle(runtime, host_abi(), libraries=libraries) == bundle
    assert len([line for line in (tmp_path / "asked").read_text().splitlines() if "_runner.cpp" in line]) == 1

    given = request.getfixturevalue("tflite_models" if runtime == "tflite" else "executorch_model")
    model: Model = given[0] if isinstance(given, list) else given
    (tmp_path / "root").mkdir()
    put(bundle, tmp_path / "root")
    (row,) = start(bundle, [model], tmp_path / "root", [], quick, cwd=tmp_path / "root")
    assert row.output_error is not None
    assert row.output_error < 1e-6


@pytest.mark.slow
@pytest.mark.usefixtures("prebuilt")
def test_other_libraries_make_another_bundle(libraries: Path) -> None:
    first = build_bundle("tflite", host_abi(), libraries=libraries)
    with (libraries / host_abi() / "libLiteRt.so").open("ab") as file:
        file.write(b"\0")
    second = build_bundle("tflite", host_abi(), libraries=libraries / host_abi())
    assert second.sha256 != first.sha256
    assert build_bundle("tflite", host_abi()).command != first.command


@pytest.mark.usefixtures("prebuilt")
def test_libraries_may_be_named_by_the_environment(libraries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETNAS_ANDROID_LIBRARIES", str(libraries))
    assert build_bundle("tflite", host_abi()).command == ("./runner",)


def test_libraries_without_an_ndk_are_refused(libraries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANDROID_NDK_HOME", raising=False)
    with pytest.raises(MissingDependencyError, match="need the NDK: unpack it and set ANDROID_NDK_HOME"):
        build_bundle("tflite", host_abi(), libraries=libraries)


def test_folder_that_holds_no_ndk_is_refused(libraries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_NDK_HOME", str(tmp_path))
    with pytest.raises(MissingDependencyError, match=r"holds no NDK for Linux: .*linux-x86_64 is missing"):
        build_bundle("tflite", host_abi(), libraries=libraries)


def test_ndk_that_is_too_old_is_refused(prebuilt: Path, libraries: Path) -> None:
    for api in (26, 34):
        (prebuilt / "bin" / f"{TRIPLE}{api}-clang++").unlink()
    with pytest.raises(MissingDependencyError, match=rf"has no {TRIPLE}26-clang\+\+ or newer; install a newer NDK"):
        build_bundle("tflite", host_abi(), libraries=libraries)


def test_oldest_supported_android_is_taken(prebuilt: Path, libraries: Path) -> None:
    (prebuilt / "bin" / f"{TRIPLE}26-clang++").unlink()
    (command,) = ndk_kit("tflite", host_abi(), libraries).compiler.command
    assert command.endswith(f"{TRIPLE}34-clang++")


def test_ndk_without_its_cpp_library_is_refused(prebuilt: Path, libraries: Path) -> None:
    (prebuilt / "sysroot/usr/lib" / TRIPLE / "libc++_shared.so").unlink()
    kit = ndk_kit("tflite", host_abi(), libraries)
    with pytest.raises(MissingDependencyError, match=r"has no libc\+\+_shared\.so for .*; install the NDK again"):
        kit.find("libc++_shared.so")


@pytest.mark.usefixtures("prebuilt")
@pytest.mark.parametrize(
    ("runtime", "missing", "needed"),
    [
        ("tflite", "libLiteRt.so", r"unpack the LiteRT \.aar of version \d"),
        ("executorch", "libexecutorch_kernels_quantized.so", r"build ExecuTorch \d\S+ for Android as shared libraries"),
    ],
)
def test_missing_library_is_named_with_what_is_needed(
    runtime: Runtime, missing: str, needed: str, libraries: Path
) -> None:
    (libraries / host_abi() / missing).unlink()
    with pytest.raises(InputError, match=rf"does not hold {missing} for {runtime}; {needed}"):
        build_bundle(runtime, host_abi(), libraries=libraries)


def test_library_that_android_cannot_load_is_refused(prebuilt: Path, libraries: Path) -> None:
    (prebuilt / "sysroot/usr/lib" / TRIPLE / "26/libm.so.6").unlink()
    with pytest.raises(InputError, match=r"needs libm\.so\.6, which neither it nor Android has"):
        build_bundle("tflite", host_abi(), libraries=libraries)


@pytest.mark.usefixtures("prebuilt")
def test_library_for_another_abi_is_refused(libraries: Path) -> None:
    path = libraries / host_abi() / "libLiteRt.so"
    content = bytearray(path.read_bytes())
    content[18] = {"x86_64": 183, "arm64-v8a": 62}[host_abi()]
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"libLiteRt\.so is built for .*, not for {host_abi()}"):
        build_bundle("tflite", host_abi(), libraries=libraries)


@pytest.mark.usefixtures("prebuilt")
def test_command_builds_what_the_folder_holds(libraries: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (libraries / host_abi() / "libLiteRt.so").unlink()
    build_runners([host_abi()], libraries, None)
    (line,) = capsys.readouterr().out.splitlines()
    bundle = build_bundle("executorch", host_abi(), libraries=libraries)
    assert line.startswith(f"executorch {bundle.runtime_version}, {host_abi()}: ")
    assert line.endswith(f" MB, sha256 {bundle.sha256}")


def test_command_refuses_a_folder_with_nothing_in_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no library of tflite or executorch for arm64-v8a"):
        build_runners([], tmp_path, None)
    with pytest.raises(InputError, match="is no folder"):
        build_runners([], tmp_path / "none", None)


def test_command_builds_bundles_for_every_runtime_and_abi(capsys: pytest.CaptureFixture[str]) -> None:
    build_runners([host_abi(), host_abi()], None, None)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["tflite", "executorch"]
    with pytest.raises(InputError, match=r"unknown ABI 'armeabi'; known: x86_64, arm64-v8a"):
        build_runners(["armeabi"], None, None)


def test_every_library_of_the_hosts_own_bundle_is_found_by_its_compiler() -> None:
    compiler = toolchain(host_abi())
    folders = library_folders(compiler)
    needed = {name for path in installed_sdk("tflite").library_paths for name in read_elf(path).needed}
    assert all(find_library(name, host_abi(), folders) for name in needed)
    assert find_library("libno-such-library.so", host_abi(), folders) is None
