"""Which faults are tried: every message of every operation in turn, with every kind of harm in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from faults.accidents import ACCIDENTS
from faults.messages import DIRECTIONS, Direction
from faults.operations import OPERATIONS
from faults.proxy import Kind
from faults.stand import ROUTES, Route

KINDS: tuple[Kind, ...] = (
    "cut",
    "corrupt unseen",
    "truncate",
    "duplicate",
    "corrupt header",
    "stall and hang up",
    "drop",
    "half cut",
    "corrupt",
    "corrupt unseen",
    "stall and go on",
    "delay",
)
SESSION = "session"
DAMAGED = "file damaged"

# The names of the messages of an undisturbed operation, by operation, route and direction.
Traces = Mapping[tuple[str, Route, Direction], Sequence[str]]


@dataclass(frozen=True)
class Case:
    """One fault in one operation. kind: what is done to the message, or what happens to the phone when it passes."""

    operation: str
    route: Route
    kind: str
    direction: Direction
    number: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.operation} over {self.route}: {self.kind} at {self.direction} {self.number} (seed {self.seed})"


@dataclass(frozen=True)
class Size:
    """How many cases are taken: wire faults of each small operation and of sessions, for each route; as many more that
    aim at what the phone is asked to do and at what it answers; and accidents of each kind in small operations and in
    sessions."""

    operation: Mapping[Route, int]
    session: Mapping[Route, int]
    aimed: int
    accident: int
    session_accident: int


FULL = Size({"adb-shell": 44, "adb": 22}, {"adb-shell": 60, "adb": 26}, aimed=4, accident=3, session_accident=6)
QUICK = Size({"adb-shell": 3, "adb": 1}, {"adb-shell": 2, "adb": 1}, aimed=1, accident=1, session_accident=1)

_AIMED_KINDS: tuple[Kind, ...] = ("corrupt unseen", "duplicate", "corrupt unseen")
# Accidents that happen while a runner measures.
_WHILE_IT_RUNS = ("runner killed", DAMAGED)
# Accidents that mean something to a single command.
_SMALL_ACCIDENTS = ("adbd killed", "reboot", "storage filled", "shell killed")


def plan(traces: Traces, size: Size, seed: int = 0) -> list[Case]:
    """The cases of a campaign of this size, the long ones first. seed: of the places where messages are damaged."""
    random = Random(seed)
    sessions: list[Case] = []
    small: list[Case] = []
    for route in ROUTES:
        sessions += _wire(SESSION, route, traces, size.session[route], random)
        sessions += _aimed(SESSION, route, traces, size.aimed, random)
        for operation in OPERATIONS:
            small += _wire(operation.name, route, traces, size.operation[route], random)
            small += _aimed(operation.name, route, traces, size.aimed, random)
    for name in (*ACCIDENTS, DAMAGED):
        sessions += _accidents(SESSION, name, traces, size.session_accident, random)
    for name in _SMALL_ACCIDENTS:
        for operation in OPERATIONS:
            small += _accidents(operation.name, name, traces, size.accident, random)
    return sessions + small


def _wire(operation: str, route: Route, traces: Traces, size: int, random: Random) -> list[Case]:
    """Half of the cases for each direction: where there are enough, each message in turn, again and again, each time
    with another kind of harm; else messages at even distances."""
    cases = []
    for start, direction in enumerate(DIRECTIONS):
        total = len(traces[operation, route, direction])
        shift = random.randrange(len(KINDS))
        for index in range(start, size, len(DIRECTIONS)):
            turn = index // len(DIRECTIONS)
            share = -(-(size - start) // len(DIRECTIONS))
            number = turn % total if share >= total else turn * total // share
            kind = KINDS[(turn + turn // total + shift) % len(KINDS)]
            cases.append(Case(operation, route, kind, direction, number, random.randrange(1 << 30)))
    return cases


def _aimed(operation: str, route: Route, traces: Traces, size: int, random: Random) -> list[Case]:
    """What the phone is asked to do arrives as something else that looks right, or twice; so does what it answers."""
    cases = []
    for direction, wanted in (("to_phone", "OPEN"), ("to_host", "ROW"), ("to_host", "BULK")):
        passed = [number for number, name in enumerate(traces[operation, route, direction]) if name == wanted]
        for index in range(size if passed else 0):
            number = passed[(index + random.randrange(len(passed))) % len(passed)]
            seed = random.randrange(1 << 28) * 4 + 2
            cases.append(Case(operation, route, _AIMED_KINDS[index % len(_AIMED_KINDS)], direction, number, seed))
    return cases


def _accidents(operation: str, name: str, traces: Traces, size: int, random: Random) -> list[Case]:
    """At even distances through the operation, by both routes in turn."""
    cases = []
    for index in range(size):
        route: Route = ROUTES[index % len(ROUTES)]
        direction: Direction = "to_host" if name in _WHILE_IT_RUNS else "to_phone"
        passed = traces[operation, route, direction]
        # The last process is not of interest to what is noticed by the next.
        rows = [number for number, what in enumerate(passed) if what == "ROW"][: passed.count("ROW") * 2 // 3]
        places = rows if name in _WHILE_IT_RUNS else range(len(passed))
        number = places[min(len(places) - 1, int((index + random.random()) * len(places) / size))]
        cases.append(Case(operation, route, name, direction, number, index))
    return cases


def tally(cases: Sequence[Case]) -> dict[str, int]:
    """How many cases there are of each kind."""
    found: dict[str, int] = {}
    for case in cases:
        found[case.kind] = found.get(case.kind, 0) + 1
    return found
