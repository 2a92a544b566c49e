"""Which official tools are taken, and for which devices."""

import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from official_doubles import Bench, Said
from tiny_models import Model

from android_bench.device import Device
from android_bench.local import open_local
from android_bench.official.runner import OfficialRunner, choose_runner, parse_runner_option
from pocketnas_base.errors import DeviceError, InputError


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "tool"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A real program of this machine, which needs its C library."""
    true = shutil.which("true")
    assert true is not None
    return Path(shutil.copy(true, tmp_path / "program"))


def for_arm64(program: Path) -> None:
    content = bytearray(program.read_bytes())
    struct.pack_into("<H", content, 18, 183)
    program.write_bytes(content)


def for_arm(program: Path) -> None:
    content = bytearray(program.read_bytes())
    content[4] = 1
    program.write_bytes(content)


def for_android(program: Path) -> None:
    program.write_bytes(program.read_bytes().replace(b"libc.so.6\0", b"libc.so\0\0\0"))


def files_on(bench: Bench) -> set[Path]:
    return set(bench.phone.path("/data/local/tmp").rglob("*")) if bench.phone is not None else set()


def test_option_names_a_tool_and_its_file(script: Path) -> None:
    official = parse_runner_option(f"benchmark_model={script}")
    assert (official.kind, official.path, official.runtime, official.delegate) == (
        "benchmark_model", script, "tflite", "cpu",
    )  # fmt: skip
    assert official.version == f"benchmark_model {official.sha256[:12]}"
    assert parse_runner_option(f"executor_runner={script}").runtime == "executorch"


def test_home_folder_may_be_meant(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(script.parent))
    assert parse_runner_option("benchmark_model=~/tool").path == script


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "give benchmark_model=PATH or executor_runner=PATH"),
        ("benchmark_model", "give benchmark_model=PATH"),
        ("benchmark_model=", "give benchmark_model=PATH"),
        ("minibench=/bin/true", "give benchmark_model=PATH"),
        ("benchmark_model=/nowhere/tool", "/nowhere/tool does not exist"),
        ("executor_runner=/", "/ does not exist"),
        ("benchmark_model={folder}/notes.txt", "notes.txt is neither a program nor a script"),
        ("benchmark_model={folder}/empty", "empty is neither a program nor a script"),
    ],
)
def test_option_that_names_no_tool_is_refused(text: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("see the manual")
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match=match) as caught:
        parse_runner_option(text.format(folder=tmp_path))
    assert "\n" not in str(caught.value)


def test_delegate_is_part_of_the_choice(script: Path) -> None:
    assert choose_runner(None) is None
    assert choose_runner(None, "cpu") is None
    for delegate in ("cpu", "gpu", "nnapi"):
        chosen = choose_runner(f"benchmark_model={script}", delegate)
        assert chosen is not None
        assert chosen.delegate == delegate


@pytest.mark.parametrize(
    ("runner", "delegate", "match"),
    [
        (None, "gpu", "needs --runner benchmark_model=PATH: PocketNAS' own runner is for the CPU alone.*C library"),
        (None, "nnapi", "vendors' GPU and NPU drivers need Android's C library"),
        ("executor_runner={tool}", "gpu", "settled when it is exported, and executor_runner cannot be told otherwise"),
        ("benchmark_model={tool}", "hexagon", "--delegate hexagon: known are cpu, gpu, nnapi"),
        (None, "GPU", "--delegate GPU: known are cpu, gpu, nnapi"),
    ],
)
def test_delegate_that_the_runner_cannot_use_is_refused(
    runner: str | None, delegate: str, match: str, script: Path
) -> None:
    with pytest.raises(InputError, match=match):
        choose_runner(runner and runner.format(tool=script), delegate)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        (for_arm64, "is built for arm64-v8a, but {id} runs programs for x86_64"),
        (for_arm, "is built neither for x86_64 nor for arm64-v8a, but {id} runs programs for x86_64"),
    ],
)
def test_tool_of_another_abi_is_refused_before_anything_is_pushed(
    changed: Callable[[Path], None], match: str, bench: Bench, program: Path, tflite_models: list[Model]
) -> None:
    changed(program)
    before = files_on(bench)
    with pytest.raises(InputError, match=match.format(id=bench.device.id)):
        bench.measure(program, [tflite_models[0].job()])
    assert bench.store.sessions() == []
    assert files_on(bench) == before


def test_tool_of_another_system_is_refused(phone_device: Device, program: Path) -> None:
    official = choose_runner(f"benchmark_model={program}")
    assert isinstance(official, OfficialRunner)
    official.check(open_local())
    with pytest.raises(InputError, match=r"is built for Linux and cannot start on tcp:.*take the Android build"):
        official.check(phone_device)
    for_android(program)
    with pytest.raises(InputError, match="is built for Android and cannot start on this machine; take the Linux build"):
        official.check(open_local())
    official.check(phone_device)


def test_tool_that_changed_since_it_was_chosen_is_refused(bench: Bench, tflite_models: list[Model]) -> None:
    tool = bench.tool(Said())
    official = bench.official(tool)
    tool.write_text("#!/bin/sh\necho other\n")
    with pytest.raises(DeviceError, match="tool has changed since it was described"):
        bench.run(official, [tflite_models[0].job()])


def test_tool_that_may_not_be_started_here_is_refused(script: Path, here: Bench, tflite_models: list[Model]) -> None:
    script.chmod(0o644)
    with pytest.raises(InputError, match=r"tool may not be started; chmod \+x"):
        here.measure(script, [tflite_models[0].job()])


def test_tool_without_a_file_of_its_runtime_is_refused(here: Bench, tflite_models: list[Model], script: Path) -> None:
    with pytest.raises(InputError, match="executor_runner runs executorch files, of which there are none"):
        here.measure(script, [tflite_models[0].job()], kind="executor_runner")


def test_tool_of_a_device_is_checked_by_its_own_abi(program: Path) -> None:
    device = open_local()
    arm = replace(device, info=replace(device.info, abi="arm64-v8a"))
    with pytest.raises(InputError, match="is built for x86_64, but local runs programs for arm64-v8a"):
        parse_runner_option(f"benchmark_model={program}").check(arm)
