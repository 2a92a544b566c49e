"""Fuzz the parsers of device output with atheris, guided by coverage, from the recorded samples.

    .venv/bin/pip install --constraint constraints.txt --editable '.[fuzz]'
    .venv/bin/python tests/fuzz/fuzz_parsers.py --inputs 100000
    .venv/bin/python tests/fuzz/fuzz_parsers.py --inputs 1000000 thermal "op profile"

Each parser runs in a process of its own, because libFuzzer ends the process that it runs in. A parser fails when it
raises anything but its declared error, when one input takes longer than ten seconds, or needs 2 GB.
"""

import argparse
import importlib
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
DEFAULT_INPUTS = 10_000
MAX_INPUT_BYTES = 16_384
LIMITS = ("-timeout=10", "-rss_limit_mb=2048")
INPUTS = re.compile(r"^stat::number_of_executed_units: (\d+)$", re.MULTILINE)
COVERAGE = re.compile(r"^#\d+\s+DONE\s+cov: (\d+) ft: \d+ corp: (\d+)/", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """One parser's run. inputs: how many it was given. coverage: branches reached; corpus: inputs kept because they
    reached something new. failure: what it printed when it failed, with the input; None when it did not."""

    inputs: int
    coverage: int
    corpus: int
    failure: str | None


def fuzz(name: str, inputs: int, seed: int, module: str = "device_parsers") -> Outcome:
    """Give `inputs` inputs to the parser `name` of `module`, in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, __file__, "--inputs", str(inputs), "--seed", str(seed), "--module", module]
        completed = subprocess.run(
            [*command, "--into", directory, name], capture_output=True, text=True, errors="replace", check=False
        )
        log = completed.stdout + completed.stderr
        found = [path.read_bytes() for path in Path(directory).glob("found-*")]
    executed, coverage = INPUTS.search(log), COVERAGE.search(log)
    failed = completed.returncode != 0 or found or executed is None or coverage is None
    return Outcome(
        inputs=int(executed[1]) if executed else 0,
        coverage=int(coverage[1]) if coverage else 0,
        corpus=int(coverage[2]) if coverage else 0,
        failure=f"{log[-6000:]}\nfor the input {found}" if failed else None,
    )


def _fuzz_here(module: str, name: str, inputs: int, seed: int, directory: Path) -> None:
    """Does not return: libFuzzer ends the process."""
    import atheris

    # What a comparison or an expression looks for is fed back to the fuzzer.
    atheris.enabled_hooks.add("str")
    atheris.enabled_hooks.add("RegEx")
    with atheris.instrument_imports(include=["android_bench"]):
        parser = importlib.import_module(module).PARSERS[name]
    corpus = directory / "corpus"
    corpus.mkdir()
    for number, sample in enumerate(parser.samples):
        (corpus / f"sample-{number}").write_bytes(sample.encode())

    def parse(data: bytes) -> None:
        try:
            parser.parse(data)
        except parser.error:
            return

    run = (f"-runs={inputs}", f"-seed={seed}", f"-max_len={MAX_INPUT_BYTES}", "-print_final_stats=1", *LIMITS)
    atheris.Setup([sys.argv[0], *run, f"-artifact_prefix={directory}/found-", str(corpus)], parse)
    atheris.Fuzz()


def main() -> int:
    arguments = argparse.ArgumentParser(description="Fuzz the parsers of device output.")
    arguments.add_argument("parsers", nargs="*", help="which parsers (all)")
    arguments.add_argument("--inputs", type=int, default=DEFAULT_INPUTS, help="inputs for each (%(default)s)")
    arguments.add_argument("--seed", type=int, default=1, help="of the fuzzer's choices (%(default)s)")
    arguments.add_argument("--module", default="device_parsers", help="where PARSERS is (%(default)s)")
    arguments.add_argument("--into", type=Path, help="run one parser in this process, with its files in this folder")
    given = arguments.parse_args()
    if given.into is not None:
        _fuzz_here(given.module, given.parsers[0], given.inputs, given.seed, given.into)
    names = given.parsers or list(importlib.import_module(given.module).PARSERS)
    print(f"{'parser':<28}{'inputs':>10}{'coverage':>10}{'corpus':>8}")
    outcomes = []
    for name in names:
        outcome = fuzz(name, given.inputs, given.seed, given.module)
        outcomes.append(outcome)
        failed = "  FAILED" if outcome.failure is not None else ""
        print(f"{name:<28}{outcome.inputs:>10}{outcome.coverage:>10}{outcome.corpus:>8}{failed}", flush=True)
    print(f"{'total':<28}{sum(outcome.inputs for outcome in outcomes):>10}")
    for name, outcome in zip(names, outcomes, strict=True):
        if outcome.failure is not None:
            print(f"\n{name}:\n{outcome.failure}", file=sys.stderr)
    return int(any(outcome.failure is not None for outcome in outcomes))


if __name__ == "__main__":
    sys.path[:0] = [str(TESTS), str(TESTS.parent)]
    sys.exit(main())
