"""The fault campaign: every fault ends in a correct result or a clear error. See `campaign`."""

import time

import pytest
from lookalike.lookalike import available

from faults.campaign import bad, report, run
from faults.cases import FULL, QUICK, Size
from faults.verdicts import Result

LEAST_FAULTS = 500
LEAST_QUICK_FAULTS = 75


def campaign(size: Size, capsys: pytest.CaptureFixture[str]) -> list[Result]:
    """Run it and print its table and count, also where output is captured."""
    reason = available()
    if reason:
        pytest.skip(reason)
    started = time.monotonic()
    results = run(size)
    with capsys.disabled():
        print(f"\n{report(results, time.monotonic() - started)}")
    return results


def test_a_sample_of_all_faults_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    results = campaign(QUICK, capsys)
    assert bad(results) == []
    assert sum(result.fired for result in results) >= LEAST_QUICK_FAULTS


@pytest.mark.slow
def test_every_fault_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    results = campaign(FULL, capsys)
    assert bad(results) == []
    assert sum(result.fired for result in results) >= LEAST_FAULTS
