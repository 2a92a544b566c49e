"""Building the runners: cached, safe against each other, and clear about what is missing."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from android_bench.runner import build, sdk
from android_bench.runner.build import Runner, build_runner, host_abi
from pocketnas_base.errors import InputError, MeasurementError, MissingDependencyError


def test_second_build_is_found_in_the_cache(tflite_runner: Runner) -> None:
    before = tflite_runner.path.stat().st_mtime_ns
    started = time.monotonic()
    again = build_runner("tflite")
    assert time.monotonic() - started < 1
    assert again == tflite_runner
    assert again.path.stat().st_mtime_ns == before


@pytest.mark.slow
def test_concurrent_builds_do_not_disturb_each_other(tmp_path: Path) -> None:
    code = "from android_bench.runner.build import build_runner; print(build_runner('tflite').path)"
    environment = os.environ | {"POCKETNAS_CACHE": str(tmp_path)}
    root = Path(build.__file__).parents[2]
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=root, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    paths = {process.communicate(timeout=120)[0].strip() for process in started}
    assert [process.returncode for process in started] == [0, 0]
    (path,) = paths
    assert os.access(path, os.X_OK)
    assert [entry.name for entry in (tmp_path / "runners").iterdir()] == [Path(path).parent.name]


def test_runner_is_named_by_what_it_is_made_of_not_by_where_it_lies(
    tflite_runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_nothing(directory: Path, *_: object) -> None:
        directory.mkdir(parents=True)

    monkeypatch.setattr(build, "_compile_into", compile_nothing)
    monkeypatch.setenv("POCKETNAS_CACHE", str(tmp_path))
    elsewhere = build_runner("tflite")
    assert elsewhere.sha256 == tflite_runner.sha256
    assert elsewhere.path != tflite_runner.path
    assert elsewhere.path.is_relative_to(tmp_path)


def test_a_build_is_announced_and_what_is_built_already_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def compile_a_script(directory: Path, *_: object) -> None:
        assert said, "it is said before, not after"
        directory.mkdir(parents=True)
        (directory / "runner").write_text("#!/bin/sh\n")
        (directory / "runner").chmod(0o755)

    monkeypatch.setattr(build, "_compile_into", compile_a_script)
    monkeypatch.setenv("POCKETNAS_CACHE", str(tmp_path))
    for _ in range(2):
        build_runner("tflite", say=said.append)
    assert said == ["building the runner of tflite for this machine, once; this can take a minute"]


def test_changed_source_makes_another_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for source in build.SOURCES.iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    (tmp_path / "plan.hpp").write_text("#error changed\n")
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    monkeypatch.setenv("POCKETNAS_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MeasurementError, match=r"tflite_runner.cpp could not be compiled for .*changed") as caught:
        build_runner("tflite")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache" / "runners").iterdir()) == []


def test_missing_compiler_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(
        MissingDependencyError, match=r"no C\+\+17 compiler was found; install one, e\.g\.: apt install"
    ):
        build_runner("tflite")


def test_compiler_that_cxx_names_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -m64")
    with pytest.raises(MissingDependencyError, match="the compiler no-such-compiler that CXX names is not installed"):
        build_runner("tflite")


def test_missing_wheel_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match="pip install executorch"):
        build_runner("executorch")


def test_runner_for_another_abi_is_refused() -> None:
    other = "arm64-v8a" if host_abi() == "x86_64" else "x86_64"
    with pytest.raises(InputError, match=f"builds runners for {host_abi()} only, not for {other}"):
        build_runner("tflite", other)  # type: ignore[arg-type]


def test_options_of_the_compiler_make_another_runner(
    tflite_runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_compile_into", lambda directory, *_: directory.mkdir(parents=True))
    monkeypatch.setenv("POCKETNAS_CACHE", str(tmp_path))
    monkeypatch.setenv("CXX", "g++ -O1")
    assert build_runner("tflite").sha256 != tflite_runner.sha256


def test_compiler_for_another_machine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "g++"
    script.write_text(
        '#!/bin/sh\ncase " $* " in *" -o "*) echo no program >"$(echo "$*" | sed "s/.* -o //;s/ .*//")";; esac\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("POCKETNAS_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MeasurementError, match=r"g\+\+ builds for another machine, not for .*; name another compiler"):
        build_runner("tflite")


@pytest.mark.slow
@pytest.mark.parametrize("source", ["tflite_runner.cpp", "executorch_runner.cpp"])
def test_sources_compile_without_a_warning(source: str) -> None:
    wheel = sdk.installed_sdk("tflite" if source.startswith("tflite") else "executorch")
    includes = [f"-isystem{path}" for path in wheel.include_dirs]
    command = ["g++", *build._FLAGS, *wheel.flags, "-Wpedantic", "-Wshadow", "-Werror", *includes, "-fsyntax-only"]
    done = subprocess.run([*command, str(build.SOURCES / source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
