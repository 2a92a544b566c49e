"""Workers side by side: an interruption reaches all of them, and each puts its device back."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pocketnas import farm, side_by_side
from pocketnas.side_by_side import not_put_back, run_side_by_side

# In Python's place: `-m pocketnas WORD`. What is asked for by "deaf" does not end when it is interrupted.
WORKER = """#!/bin/sh
if [ "$3" = deaf ]; then trap "" INT; else trap "sleep 0.5; echo put back >&2; touch $0.back; exit 130" INT; fi
sleep 0.3
echo $$ >"$0.pid.$3"
i=0; while [ $i -lt 200 ]; do sleep 0.1; i=$((i + 1)); done
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Path]:
    script = tmp_path / "worker"
    script.write_text(WORKER)
    script.chmod(0o755)
    yield script
    for told in tmp_path.glob("worker.pid.deaf"):
        os.kill(int(told.read_text()), signal.SIGKILL)


@pytest.fixture
def interrupt_when() -> Iterator[Callable[..., None]]:
    """Interrupts this program, as Ctrl-C does, once all these files are there."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    over = threading.Event()

    def interrupt(*files: Path) -> None:
        while not all(file.exists() for file in files):
            if over.wait(0.02):
                return
        os.kill(os.getpid(), signal.SIGINT)

    threads = list[threading.Thread]()

    def start(*files: Path) -> None:
        threads.append(threading.Thread(target=interrupt, args=files))
        threads[-1].start()

    yield start
    over.set()
    for thread in threads:
        thread.join()
    signal.signal(signal.SIGINT, handler)


def test_a_worker_that_does_not_end_is_named_and_the_others_put_their_devices_back(
    worker: Path,
    interrupt_when: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "executable", str(worker))
    monkeypatch.setattr(side_by_side, "_END_TIMEOUT_S", 1.5)
    monkeypatch.setattr(side_by_side, "_LAST_WORDS_S", 0.2)
    interrupt_when(worker.with_name("worker.pid.deaf"), worker.with_name("worker.pid.good"))
    with pytest.raises(KeyboardInterrupt):
        run_side_by_side({"R58M": ["deaf"], "R59M": ["good"]})
    assert capsys.readouterr().err.splitlines() == [
        "R59M: put back",
        "R58M was not put back within 2 s; once it is idle: pocketnas doctor -d R58M --restore",
    ]


def test_this_machine_has_nothing_to_put_back() -> None:
    assert not_put_back("local", 60.0) == "local did not end within 60 s"


def test_a_farm_s_machine_waits_until_its_device_is_put_back(
    worker: Path, interrupt_when: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(farm, "_END_TIMEOUT_S", 0.1)
    interrupt_when(worker.with_name("worker.pid.good"))
    with pytest.raises(KeyboardInterrupt):
        farm._ran([str(worker), "-m", "pocketnas", "good"])
    assert worker.with_name("worker.back").exists()
