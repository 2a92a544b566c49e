"""Whether runners are there, can be built, or cannot, found out without building any."""

import json
import os
from pathlib import Path

import pytest

from android_bench.runner.abi import host_abi
from android_bench.runner.build import build_runner, cache_dir, find_runner
from android_bench.runner.bundle import newest_bundle
from android_bench.runner.readiness import cross_compiler, runners_for_host, runners_for_phone
from pocketnas_base.errors import MissingDependencyError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("POCKETNAS_CACHE", str(tmp_path))
    return tmp_path


def bundle_in(cache: Path, name: str, content: object, built_s: float) -> None:
    path = cache / "bundles" / name / "content.json"
    path.parent.mkdir(parents=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    os.utime(path, (built_s, built_s))


def test_this_machines_runner_is_found_where_it_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = build_runner("tflite")
    assert find_runner("tflite") == built
    states = {runner.runtime: runner for runner in runners_for_host()}
    assert states["tflite"].state == "built"
    assert built.runtime_version in states["tflite"].detail
    assert (cache_dir() / "runners").is_dir()
    monkeypatch.setenv("POCKETNAS_CACHE", str(tmp_path))
    assert find_runner("tflite") is None
    assert [runner.state for runner in runners_for_host()] == ["buildable", "buildable"]
    assert list(tmp_path.iterdir()) == [], "nothing is built to find out"


@pytest.mark.usefixtures("cache")
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("CXX", "CXX_ARM64_V8A", "CXX_X86_64"):
        monkeypatch.setenv(variable, "no-such-compiler")
    assert cross_compiler() is None
    for runner in (*runners_for_host(), *runners_for_phone("arm64-v8a"), *runners_for_phone("x86_64")):
        assert runner.state == "missing"
        assert "no-such-compiler" in runner.detail
    with pytest.raises(MissingDependencyError):
        find_runner("executorch")


def test_the_bundle_that_was_built_last_is_the_one_that_is_not_stale(cache: Path) -> None:
    abi = host_abi()
    assert newest_bundle("tflite", abi) is None
    assert {runner.state for runner in runners_for_phone(abi)} == {"buildable"}
    bundle_in(cache, f"tflite-{abi}-old", {"runner": "a" * 64}, built_s=1000)
    old = newest_bundle("tflite", abi)
    bundle_in(cache, f"tflite-{abi}-new", {"runner": "b" * 64, "lib/libc.so.6": "c" * 64}, built_s=2000)
    new = newest_bundle("tflite", abi)
    assert old is not None
    assert new is not None
    assert old != new
    bundle_in(cache, f"tflite-{abi}-older", {"runner": "d" * 64}, built_s=500)
    bundle_in(cache, f"executorch-{abi}-other", {"runner": "e" * 64}, built_s=3000)
    assert newest_bundle("tflite", abi) == new
    states = {runner.runtime: runner for runner in runners_for_phone(abi)}
    assert (states["tflite"].state, states["tflite"].bundle_sha256) == ("built", new)


@pytest.mark.parametrize("content", ["", "[]", "{}x", '{"runner": 3}', " " * 70_000], ids=repr)
def test_a_damaged_list_of_files_counts_for_no_bundle(cache: Path, content: str) -> None:
    bundle_in(cache, "tflite-x86_64-damaged", content, built_s=1000)
    assert newest_bundle("tflite", "x86_64") is None


@pytest.mark.usefixtures("cache")
def test_android_libraries_that_are_none_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETNAS_ANDROID_LIBRARIES", str(tmp_path / "none"))
    for runner in runners_for_phone("arm64-v8a"):
        assert runner.state == "missing"
        assert "is no folder" in runner.detail
