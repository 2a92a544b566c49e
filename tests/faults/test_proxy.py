"""The proxy does the one harm that it is told to, to the message that it is told, and none else."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from faults.messages import DAMAGE, Message
from faults.proxy import DELAY_S, Fault, Kind, Proxy


def message(payload: bytes, command: bytes = b"WRTE") -> Message:
    word = int.from_bytes(command, "little")
    return Message(word, 1, 2, len(payload), sum(payload), word ^ 0xFFFFFFFF, payload)


MESSAGES = [message(b"first"), message(b"second, longer"), message(b""), message(b"last")]
WHOLE = [bytes(each) for each in MESSAGES]


class Echo:
    """Sends back what it gets: the same messages pass the proxy in both directions."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(caller,), daemon=True).start()

    def _answer(self, caller: socket.socket) -> None:
        with suppress(OSError), caller:
            while data := caller.recv(1 << 16):
                caller.sendall(data)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    echo = Echo()
    with Proxy(echo.port) as proxy:
        yield proxy
    echo.close()


def come_back(proxy: Proxy, seconds: float = 0.4) -> tuple[bytes, bool]:
    """Sends the messages; what came back, and whether the proxy has hung up."""
    received = b""
    with socket.create_connection(("127.0.0.1", proxy.port)) as host, suppress(ConnectionError):
        host.sendall(b"".join(WHOLE))
        host.settimeout(seconds)
        try:
            while data := host.recv(1 << 16):
                received += data
        except TimeoutError:
            return received, False
    return received, True


def test_without_a_fault_everything_passes(proxy: Proxy) -> None:
    assert come_back(proxy) == (b"".join(WHOLE), False)
    assert [passed.size for passed in proxy.seen if passed.direction == "to_host"] == [5, 14, 0, 4]
    assert [bytes(heard) for heard in proxy.heard.values()] == [b"firstsecond, longerlast"]
    assert not proxy.fired


@pytest.mark.parametrize(
    ("kind", "number", "expected", "hung_up"),
    [
        ("cut", 1, WHOLE[:1], True),
        ("half cut", 1, WHOLE[:1], False),
        ("truncate", 1, [WHOLE[0], WHOLE[1][: 24 + 7]], True),
        ("truncate", 2, [*WHOLE[:2], WHOLE[2][:12]], True),
        ("drop", 1, [WHOLE[0], *WHOLE[2:]], False),
        ("duplicate", 1, [*WHOLE[:2], *WHOLE[1:]], False),
        ("delay", 1, WHOLE, False),
        ("stall and go on", 1, WHOLE, False),
        ("stall and hang up", 1, WHOLE[:1], True),
        ("act", 1, WHOLE, False),
    ],
)
def test_each_harm_is_done_once(kind: Kind, number: int, expected: list[bytes], hung_up: bool, proxy: Proxy) -> None:
    proxy.arm(Fault(kind, "to_host", number, seconds=0.2))
    assert come_back(proxy) == (b"".join(expected), hung_up)
    assert proxy.fired
    assert come_back(proxy) == (b"".join(WHOLE), False)
    assert proxy.problems == []


def test_a_stall_holds_both_directions_up(proxy: Proxy) -> None:
    proxy.arm(Fault("stall and go on", "to_phone", 3, seconds=0.3))
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", proxy.port)) as host:
        host.sendall(b"".join(WHOLE))
        received = b""
        while len(received) < sum(map(len, WHOLE)):
            received += host.recv(1 << 16)
    assert time.monotonic() - started >= 0.3
    assert DELAY_S < 0.3


@pytest.mark.parametrize("kind", sorted(DAMAGE))
@pytest.mark.parametrize("seed", range(60))
def test_damage_is_damage_and_one_kind_adds_up(kind: str, seed: int) -> None:
    whole = MESSAGES[1]
    damaged = DAMAGE[kind](whole, seed)
    assert bytes(damaged) != bytes(whole)
    if kind == "corrupt header":
        assert damaged.payload == whole.payload
    else:
        assert len(damaged.payload) == len(whole.payload)
        assert (sum(damaged.payload) == damaged.total) is (kind == "corrupt unseen")


def test_an_act_that_finds_nothing_to_do_waits_for_the_next_message(proxy: Proxy) -> None:
    asked: list[int] = []

    def act() -> bool:
        asked.append(len(asked))
        return len(asked) == 2

    proxy.arm(Fault("act", "to_host", 1, act=act))
    assert come_back(proxy) == (b"".join(WHOLE), False)
    assert asked == [0, 1]
    assert proxy.fired


def test_hanging_up_ends_what_is_still_going_on(proxy: Proxy) -> None:
    proxy.arm(Fault("stall and go on", "to_phone", 0, seconds=60.0))
    with socket.create_connection(("127.0.0.1", proxy.port)) as host:
        host.sendall(WHOLE[0])
        while not proxy.fired:
            time.sleep(0.01)
        started = time.monotonic()
        proxy.hang_up()
        assert time.monotonic() - started < 5
        host.settimeout(5)
        with suppress(ConnectionError):
            assert host.recv(1) == b""
