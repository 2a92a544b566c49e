"""What a user sees of the exporters' processes: nothing when all goes well, one line and a log when it does not."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from deploy import interpreters
from deploy.workers import ROOT, Workers, run_jobs
from pocketnas_base.artifact import Artifact
from pocketnas_base.errors import ExportError, MissingDependencyError

WORKER = """
import os, sys
from deploy.workers import serve
from pocketnas_base.errors import ExportError

def handle(job):
    print("chatter on stdout")
    os.write(2, b"chatter on stderr\\n")
    match job["do"]:
        case "fail": raise ExportError("this cannot be lowered")
        case "exit": sys.exit(3)
        case "die": os._exit(7)

serve(handle)
"""


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "made_up_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "made_up_worker"


def test_jobs_are_shared_out_and_the_log_of_a_success_is_removed(worker: str, tmp_path: Path) -> None:
    done: list[int] = []
    log = tmp_path / "export.log"
    run_jobs(worker, [{"do": "well"}] * 7, log, workers=2, finished=done.append)
    assert sorted(done) == list(range(7))
    assert not log.exists()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("fail", "this cannot be lowered"),
        ("exit", "SystemExit: 3"),
        ("die", "the converter's process ended with exit status 7"),
    ],
)
def test_a_failure_is_one_line_that_names_the_log(what: str, message: str, worker: str, tmp_path: Path) -> None:
    log = tmp_path / "export.log"
    with pytest.raises(ExportError) as caught:
        run_jobs(worker, [{"do": "well"}, {"do": what}, {"do": "well"}], log)
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith(str(log))
    assert "\n" not in str(caught.value)
    text = log.read_text()
    assert "chatter on stdout" in text
    assert "chatter on stderr" in text


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("jobs", "done", "failures"),
    [
        (("fail", "well", "fail", "well"), {1, 3}, {0: "this cannot be lowered", 2: "this cannot be lowered"}),
        (("die",), set(), {0: "the converter's process ended with exit status 7"}),
    ],
)
def test_the_other_jobs_are_done_where_one_may_fail(
    jobs: tuple[str, ...], done: set[int], failures: dict[int, str], workers: int, worker: str, tmp_path: Path
) -> None:
    found: set[int] = set()
    wrong: dict[int, str] = {}
    log = tmp_path / "export.log"
    with Workers(worker, log, count=workers) as started:
        started.run([{"do": what} for what in jobs], found.add, wrong.__setitem__)
    assert (found, wrong) == (done, failures)
    assert "chatter" in log.read_text(), "kept, because something failed"


def test_every_job_is_told_of_where_no_worker_is_left(worker: str, tmp_path: Path) -> None:
    wrong: dict[int, str] = {}
    with Workers(worker, tmp_path / "export.log") as started:
        started.run([{"do": "die"}, {"do": "well"}], failed=wrong.__setitem__)
    assert wrong == {
        0: "the converter's process ended with exit status 7",
        1: "no converter's process was left to do it",
    }


@pytest.mark.slow
def test_exporting_and_running_operators_prints_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, numpy, pathlib\n"
        "from deploy.interpreters import load_interpreter\n"
        "from deploy.operators import export_operators\n"
        "from latency.opspec import EMPTY\n"
        "for runtime in ('tflite', 'executorch'):\n"
        "    file = export_operators([EMPTY], runtime, pathlib.Path(sys.argv[1]))[EMPTY]\n"
        "    load_interpreter(file.artifact)(numpy.ones((1, 1, 1, 1), numpy.float32))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, env=environment, timeout=120
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["broken.tflite", "broken.pte"])
def test_a_broken_file_is_one_line_and_no_crash(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x1c\0\0\0" + bytes(range(256)) * 4)
    with pytest.raises(ExportError) as caught:
        interpreters.load_interpreter(Artifact.of_file(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_any_tflite_interpreter_the_package_to_install_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_installed(name: str) -> ModuleType:
        if name.partition(".")[0] in ("ai_edge_litert", "tflite_runtime"):
            raise ModuleNotFoundError(name)
        return import_module(name)

    monkeypatch.setattr(interpreters, "import_module", nothing_installed)
    (tmp_path / "model.tflite").write_bytes(b"")
    with pytest.raises(MissingDependencyError, match="pip install ai-edge-litert"):
        interpreters.load_interpreter(Artifact.of_file(tmp_path / "model.tflite"))
