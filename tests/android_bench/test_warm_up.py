"""Warm-up that goes on until a model is warm: the runner's own code, and real models."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import measured, planned, run
from tiny_models import Model

from android_bench.protocol import Protocol
from android_bench.runner import build
from android_bench.runner.abi import host_abi
from android_bench.runner.build import Runner
from android_bench.runner.toolchain import toolchain

MS = 1_000_000
Warming = Callable[..., list[str]]
TIMES = st.lists(st.integers(1, 10**9), max_size=40)


def verdict(runs: Sequence[int]) -> bool | None:
    """The rule, once more: the fastest of the later half is no more than 2 % faster than that of the earlier one."""
    half = len(runs) // 2
    if half == 0:
        return None
    return min(runs[-half:]) >= 0.98 * min(runs[-2 * half : -half])


WORDS = {True: "warm", False: "warming", None: "unknown"}


@pytest.fixture(scope="session")
def warming(tmp_path_factory: pytest.TempPathFactory) -> Warming:
    program = tmp_path_factory.mktemp("warming") / "warming"
    source = Path(__file__).with_name("warming.cpp")
    command = [*toolchain(host_abi()).command, *build._FLAGS, f"-I{build.SOURCES}", str(source), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr

    def start(*words: object, text: str = "") -> list[str]:
        told = [str(program), *map(str, words)]
        return subprocess.run(told, input=text, capture_output=True, text=True, check=True, timeout=60).stdout.split()

    return start


@settings(max_examples=30, deadline=None)
@given(st.lists(TIMES, min_size=1, max_size=50))
def test_warm_is_what_no_longer_gets_faster(warming: Warming, cases: list[list[int]]) -> None:
    text = "".join(" ".join(map(str, runs)) + "\n" for runs in cases)
    assert warming("judge", text=text) == [WORDS[verdict(runs)] for runs in cases]


@pytest.mark.parametrize(
    ("runs", "word"),
    [
        ([5], "unknown"),
        ([100, 98], "warm"),
        ([100, 97], "warming"),
        ([97, 100], "warm"),
        ([900, 100, 100], "warm"),
        ([100, 100, 100, 90, 300, 400], "warming"),
        ([100, 300, 400, 500, 100, 600], "warm"),
    ],
)
def test_examples_of_warm(warming: Warming, runs: list[int], word: str) -> None:
    assert warming("judge", text=" ".join(map(str, runs)) + "\n") == [word]


def test_warm_model_is_run_no_more_often_than_asked(warming: Warming) -> None:
    assert warming("run", 6, 0, 1000 * MS, 1000, MS) == ["6", "warm"]


def test_model_that_gets_faster_is_run_until_it_no_longer_does(warming: Warming) -> None:
    """Of 4 the later two are faster, of 6 the later three; then 9 and 13."""
    assert warming("run", 4, 0, 1000 * MS, 1000, *(n * MS for n in (8, 8, 6, 6, 4, 4, 2))) == ["13", "warm"]


def test_warm_up_ends_at_its_most(warming: Warming) -> None:
    """Of 40, 28, 19.6 and 13.7 ms the fourth ends after the 100 ms that it may take."""
    falling = [40 * MS * 7**n // 10**n for n in range(20)]
    assert warming("run", 2, 0, 100 * MS, 1000, *falling) == ["4", "warming"]
    halved = [160 * MS // 2**n for n in range(20)]
    assert warming("run", 2, 0, 10_000 * MS, 5, *halved) == ["5", "warming"]


def test_without_warm_up_nobody_knows(warming: Warming) -> None:
    assert warming("run", 0, 0, 100 * MS, 1000, MS) == ["0", "unknown"]


def test_real_models_say_whether_they_were_warm(case: tuple[Runner, Model], quick: Protocol, tmp_path: Path) -> None:
    runner, model = case
    protocol = replace(quick, warmup_min_runs=6, max_runs=500, warmup_max_ns=60_000 * MS)
    _, lines, _ = run(runner, [planned(model)] * 20, protocol, tmp_path)
    for line in map(measured, lines):
        assert line.warmup_stable is verdict(line.warmup_ns)
        assert line.warmup_stable or len(line.warmup_ns) == 500
        assert len(line.warmup_ns) in (6, 9, 13, 19, 28, 42, 63, 94, 141, 211, 316, 474, 500)


def test_two_runs_or_fewer_tell_nothing(case: tuple[Runner, Model], quick: Protocol, tmp_path: Path) -> None:
    runner, model = case
    _, lines, _ = run(runner, [planned(model)], replace(quick, warmup_min_runs=1), tmp_path)
    assert measured(lines[0]).warmup_stable is None
