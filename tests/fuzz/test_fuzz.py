"""No parser of device output does anything but answer or raise its declared error, over many guided inputs."""

from pathlib import Path

import pytest
from device_parsers import PARSERS
from fuzz_parsers import DEFAULT_INPUTS, fuzz

SEED = 1
BROKEN = """
from types import SimpleNamespace

def parse(output):
    if output[:1] == b"[":
        raise KeyError("planted")

PARSERS = {"broken": SimpleNamespace(parse=parse, samples=("[a",), error=ValueError)}
"""


@pytest.fixture(autouse=True)
def _needs_atheris() -> None:
    pytest.importorskip("atheris", reason="atheris is not installed: pip install --editable '.[fuzz]'")


@pytest.mark.slow
@pytest.mark.parametrize("name", PARSERS)
def test_parser_raises_nothing_but_its_error(name: str) -> None:
    outcome = fuzz(name, DEFAULT_INPUTS, SEED)
    assert outcome.failure is None
    assert outcome.inputs >= DEFAULT_INPUTS
    assert outcome.coverage > 0


def test_all_parsers_together_are_given_a_hundred_thousand_inputs() -> None:
    assert DEFAULT_INPUTS * len(PARSERS) >= 100_000


@pytest.mark.slow
def test_parser_that_raises_something_else_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_parsers.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    outcome = fuzz("broken", 1000, SEED, "broken_parsers")
    assert outcome.failure is not None
    assert "KeyError: 'planted'" in outcome.failure
    assert "b'[" in outcome.failure
