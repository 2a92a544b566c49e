"""Worker process: makes .pte files of operators, one job a line (`deploy.workers`)."""

import warnings
from pathlib import Path
from typing import Any

from deploy.pte_operators import write_operator
from deploy.workers import Job, serve
from latency.opspec import OpSpec


def handle(job: Job) -> None:
    """Write the .pte of the operator that the job names, its input and its output."""
    value: Any = job
    op, place = OpSpec.from_dict(value["op"]), Path(value["path"])
    write_operator(op, value["seed"], value["precision"], place, value["copies"])


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve(handle)
