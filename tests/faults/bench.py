"""One worker of the campaign: does one case after the other on a stand of its own, and never waits for ever."""

import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from faults.accidents import ACCIDENTS, Accident
from faults.cases import DAMAGED, KINDS, SESSION, Case, Traces
from faults.messages import DIRECTIONS
from faults.operations import OPERATIONS, Operation
from faults.proxy import Fault
from faults.sessions import Models, SessionCase, deploy
from faults.stand import ROUTES, STALL_S, Stand
from faults.verdicts import LeftOverError, Result, Verdict, judge

# Many times what the slowest case takes: a case that is not over by then never will be.
OPERATION_LIMIT_S = 45.0
SESSION_LIMIT_S = 120.0
_OPERATIONS = {operation.name: operation for operation in OPERATIONS}


class Bench:
    """A context: a stand with a runner deployed, replaced by a new one after a case that hung."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def trace(self) -> Traces:
        """The messages of each operation when nothing goes wrong. Raises what it raises."""
        traces = {}
        for route in ROUTES:
            for name in (*_OPERATIONS, SESSION):
                self._stand.reset(route)
                transport = self._stand.patient_transport(route)
                if name == SESSION:
                    SessionCase(self._stand, self._models).suffer(transport)
                else:
                    _OPERATIONS[name].prepare(self._stand)
                    self._stand.proxy.arm(None)
                    _OPERATIONS[name].act(self._stand, transport)
                transport.close()
                for direction in DIRECTIONS:
                    passed = [message.name for message in self._stand.proxy.seen if message.direction == direction]
                    traces[name, route, direction] = passed
        return traces

    def run(self, case: Case) -> Result:
        """What becomes of one case."""
        limit_s = SESSION_LIMIT_S if case.operation == SESSION else OPERATION_LIMIT_S
        outcome: list[tuple[bool, Verdict, str]] = []
        started = time.monotonic()
        thread = threading.Thread(target=lambda: outcome.append(self._judged(case)), daemon=True)
        thread.start()
        thread.join(limit_s)
        seconds = time.monotonic() - started
        if outcome:
            return Result(case.name, case.kind, *outcome[0], seconds)
        frame = sys._current_frames().get(thread.ident or 0)
        where = "".join(traceback.format_stack(frame)) if frame else "its thread has died"
        self._stack.close()
        self._open()
        return Result(case.name, case.kind, True, "hung", where, seconds)

    def _open(self) -> None:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pocketnas-faults-")))
            self._stand = stack.enter_context(Stand(folder / "stand"))
            self._models = Models.write(folder / "models")
            deploy(self._stand, self._models)
            self._stack = stack.pop_all()

    def _judged(self, case: Case) -> tuple[bool, Verdict, str]:
        stand = self._stand
        names = [stand.name(case.route)]
        accident = self._accident(case)
        try:
            stand.reset(case.route)
            if case.operation == SESSION:
                fired, error = self._session(case, accident)
            else:
                fired, error = self._do(_OPERATIONS[case.operation], case, accident)
        except Exception as unexpected:
            fired, error = stand.proxy.fired, unexpected
        if stand.proxy.problems:
            error = stand.proxy.problems.pop()
        if error is None:
            return fired, "correct", ""
        verdict, detail = judge(error, names)
        if verdict == "unclear error":
            detail += "".join(traceback.format_exception(error))[-3000:]
        return fired, verdict, detail

    def _do(self, operation: Operation, case: Case, accident: Accident | None) -> tuple[bool, Exception | None]:
        stand = self._stand
        operation.prepare(stand)
        transport = stand.transport(case.route)
        stand.proxy.arm(self._fault(case, accident))
        error = _caught(lambda: operation.act(stand, transport))
        transport.close()
        return self._settle(), error

    def _session(self, case: Case, accident: Accident | None) -> tuple[bool, Exception | None]:
        session = SessionCase(self._stand, self._models, accident)
        self._stand.proxy.arm(self._fault(case, accident))
        error = _caught(lambda: session.suffer(self._stand.transport(case.route)))
        fired = self._settle()
        session.examine(case.route)
        self._stand.mend(case.route)
        session.resume(case.route)
        return fired, error

    def _settle(self) -> bool:
        """End the fault and look at what it left on the phone. Returns whether it was done."""
        stand = self._stand
        stand.proxy.hang_up()
        stand.proxy.disarm()
        fired = stand.proxy.fired
        left = stand.left()
        if left:
            raise LeftOverError("; ".join(" ".join(process.argv)[:200] for process in left))
        return fired

    def _accident(self, case: Case) -> Accident | None:
        if case.kind in ACCIDENTS:
            return Accident(case.kind, self._stand, ACCIDENTS[case.kind])
        if case.kind == DAMAGED:
            return Accident(case.kind, self._stand, self._models.damage)
        return None

    def _fault(self, case: Case, accident: Accident | None) -> Fault | None:
        if accident is not None:
            return Fault("act", case.direction, case.number, act=accident.act)
        if case.kind not in KINDS:
            return None
        return Fault(case.kind, case.direction, case.number, case.seed, STALL_S)


def _caught(act: Callable[[], None]) -> Exception | None:
    try:
        act()
    except Exception as error:
        return error
    return None
