"""Stand-ins for benchmark_model and executor_runner: scripts that note what they were told and print what the real ones
printed, each time what is due for the model at hand."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from lookalike.lookalike import Lookalike

from android_bench.device import Device
from android_bench.job import Job
from android_bench.official.runner import OfficialRunner, choose_runner
from android_bench.protocol import Protocol
from android_bench.reading import Reading
from android_bench.session import measure
from android_bench.store import SampleStore

NOTES = "noted-arguments"


@dataclass(frozen=True)
class Said:
    """What a stand-in prints for one model, and how it ends. before: what its script does first. profiled: what it
    prints instead when it is asked for a profile."""

    stdout: str = ""
    stderr: str = ""
    status: int = 0
    before: str = ":"
    profiled: str = ""


@dataclass
class Bench:
    """A device, a store, and tools made up for them."""

    device: Device
    phone: Lookalike | None
    store: SampleStore
    protocol: Protocol
    folder: Path

    def tool(self, always: Said, by_sha256: Mapping[str, Said] | None = None, name: str = "tool") -> Path:
        """A stand-in that says the same of every model, or what is due for one. Its name is on this host alone."""
        path = self.folder / name
        notes = self._notes_path(name)
        said = {**(by_sha256 or {}), "*": always}
        cases = "".join(f"{sha256})\n{_script(what)}\n;;\n" for sha256, what in said.items())
        path.write_text(
            f"#!/bin/sh\n# {name}\n"
            f'echo "$*" >>{shlex.quote(notes)}\n'
            "sum=\n"
            "for word; do case $word in\n"
            '--graph=*|--model_path=*) sum=$(sha256sum "${word#*=}"); sum=${sum%% *};;\n'
            "--num_executions=*) n=${word#*=};;\n"
            "esac; done\n"
            f"case $sum in\n{cases}esac\n"
        )
        path.chmod(0o755)
        return path

    def told(self, name: str = "tool") -> list[list[str]]:
        """The arguments of every time that a stand-in was started."""
        place = self._notes_path(name)
        notes = self.phone.path(place) if self.phone else Path(place)
        return [line.split() for line in notes.read_text().splitlines()] if notes.exists() else []

    def measure(
        self, tool: Path, jobs: Sequence[Job], kind: str = "benchmark_model", delegate: str = "cpu", **how: object
    ) -> str:
        """A session with a stand-in. how: what else `measure` takes."""
        return self.run(self.official(tool, kind, delegate), jobs, **how)

    def run(self, official: OfficialRunner, jobs: Sequence[Job], **how: object) -> str:
        return measure(self.device, jobs, self.protocol, self.store, official=official, **how)  # type: ignore[arg-type]

    def official(self, tool: Path, kind: str = "benchmark_model", delegate: str = "cpu") -> OfficialRunner:
        chosen = choose_runner(f"{kind}={tool}", delegate)
        assert chosen is not None
        return chosen

    def runs(self, word: str) -> bool:
        """Whether something runs on the device that was started with this word."""
        if self.phone is not None:
            return any(word in process.argv for process in self.phone.processes())
        children = psutil.Process().children(recursive=True)
        return any(child.is_running() and word in child.cmdline() for child in children)

    def readings(self, key: str) -> list[Reading]:
        return [reading for reading in self.store.readings(key) if reading.role == "job"]

    def _notes_path(self, name: str) -> str:
        """Of this test's own, and where the stand-in may write."""
        return f"{'/data/local/tmp' if self.phone else self.folder}/{NOTES}-{self.folder.name}-{name}"


EXECUTIONS = """
total=$((9000 + (n - 1) * 1500))
{
echo "I 00:00:00.000629 executorch:executor_runner.cpp:340] Resetting threadpool with num threads = 1"
echo "I 00:00:00.000931 executorch:executor_runner.cpp:476] Model file m.pte is loaded."
echo "I 00:00:00.001148 executorch:executor_runner.cpp:624] Model loaded in 0.231224 ms."
i=1
while [ $i -le $n ]; do
  [ $i = 1 ] && took=9.000000 || took=1.500000
  echo "I 00:00:00.001219 executorch:executor_runner.cpp:779] Iteration $i of $n: $took ms"
  i=$((i + 1))
done
echo "I 00:00:00.001231 executorch:executor_runner.cpp:789] Model executed successfully $n time(s)" \
  "in $((total / 1000)).$((total / 100 % 10))00000 ms."
} >&2
"""
"""executor_runner of 2026, as a script: the first execution takes 9 ms, the others 1.5 ms."""

OLD_EXECUTIONS = """
total=$((9000 + (n - 1) * 1500))
{
echo "I 00:00:00.002954 executorch:executor_runner.cpp:166] Model file m.pte is loaded."
echo "I 00:00:00.003209 executorch:executor_runner.cpp:251] Method loaded."
echo "I 00:00:00.003292 executorch:executor_runner.cpp:284] Model executed successfully $n time(s)" \
  "in $((total / 1000)).$((total / 100 % 10))00000 ms."
} >&2
"""
"""executor_runner of 2025, which says no more than how long all executions took."""


def _script(said: Said) -> str:
    return "\n".join(
        (
            said.before,
            f"case $* in *--enable_op_profiling=true*)\ncat <<'PRINTED'\n{said.profiled}\nPRINTED\nexit 0;;\nesac",
            f"cat <<'PRINTED'\n{said.stdout}\nPRINTED",
            f"cat >&2 <<'PRINTED'\n{said.stderr}\nPRINTED",
            f"exit {said.status}",
        )
    )
