"""A model file together with what it is fed and what it must answer."""

from dataclasses import dataclass
from pathlib import Path

from android_bench.job import Job
from pocketnas_base.artifact import Artifact


@dataclass(frozen=True)
class Model:
    """One exported file with one input and the output it must give."""

    path: Path
    input: Path
    reference: Path

    def job(self, name: str | None = None, **changes: object) -> Job:
        values = {"inputs": (self.input,), "references": (self.reference,)} | changes
        return Job(name or self.path.name, Artifact.of_file(self.path), **values)  # type: ignore[arg-type]
