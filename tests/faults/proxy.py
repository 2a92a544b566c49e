"""A TCP proxy between host and adbd that knows adb's messages and does one harm to one of them.

with Proxy(phone.port) as proxy:
    proxy.arm(Fault("cut", "to_host", 7))
    ...  # the host talks to 127.0.0.1:proxy.port
    assert proxy.fired
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, Self

from lookalike.ports import free_port

from faults.messages import DAMAGE, DIRECTIONS, HEADER_BYTES, ROW_MARK, Direction, Message

Kind = Literal[
    "cut",
    "half cut",
    "stall and hang up",
    "stall and go on",
    "truncate",
    "drop",
    "corrupt",
    "corrupt unseen",
    "corrupt header",
    "duplicate",
    "delay",
    "act",
]
DELAY_S = 0.05
BULK_BYTES = 400


@dataclass(frozen=True)
class Fault:
    """What happens to message `number` (from 0, per direction, over all connections since it was armed).

    kind: `cut` hangs up on both sides instead of passing it on; `half cut` passes nothing more that way, for good;
      `stall ...` passes nothing either way for `seconds`, then hangs up or goes on; `truncate` passes half of it and
      hangs up; `drop` leaves it out; `corrupt ...` see `messages.DAMAGE`; `duplicate` passes it twice; `delay` passes
      it late; `act` calls `act` first, which says whether there was anything to do; if not, the next one tries again.
    """

    kind: Kind
    direction: Direction
    number: int
    seed: int = 0
    seconds: float = 0.0
    act: Callable[[], bool] = field(default=lambda: True, compare=False)


@dataclass(frozen=True)
class Passed:
    """One message that came by. name: of its command; ROW for a WRTE with what a runner measured, BULK for another
    long one. size: of its payload, bytes."""

    direction: Direction
    name: str
    size: int


class Proxy:
    """Listens on `port` of 127.0.0.1 and connects each caller to the phone. seen: what came by since `arm`.
    fired: whether the fault was done. heard: what the phone wrote into each of its streams since `arm`, undamaged.
    problems: what went wrong in the proxy itself, or in an act."""

    def __init__(self, phone_port: int) -> None:
        self._phone_port = phone_port
        self._lock, self._acting = threading.Lock(), threading.Lock()
        self._links: list[_Link] = []
        self._fault: Fault | None = None
        self.fired = False
        self.problems: list[Exception] = []
        self.seen: list[Passed] = []
        self.heard: dict[tuple[int, int], bytearray] = {}
        self._number = 0
        self._counts: dict[Direction, int] = dict.fromkeys(DIRECTIONS, 0)
        self.port = free_port()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=16)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up on everybody and listen no more."""
        # A thread that waits in accept() is not woken by close() alone.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        self.hang_up()

    def arm(self, fault: Fault | None) -> None:
        """Count messages from 0 again, and do this harm, once, when its message comes. None: no harm."""
        with self._lock:
            self._fault, self.fired = fault, False
            self.seen, self.heard = [], {}
            self._counts = dict.fromkeys(DIRECTIONS, 0)

    def disarm(self) -> None:
        """Do no more harm; what was counted stays."""
        with self._lock:
            self._fault = None

    def hang_up(self) -> None:
        """End every connection, with what is still done to its messages; callers may come back."""
        with self._lock:
            links, self._links = self._links, []
        for link in links:
            link.close()
        for link in links:
            link.join()

    def _accept(self) -> None:
        while True:
            try:
                host, _ = self._listener.accept()
            except OSError:
                return
            try:
                phone = socket.create_connection(("127.0.0.1", self._phone_port), timeout=5)
            except OSError:
                host.close()  # the phone is off
                continue
            with self._lock:
                self._number += 1
                link = _Link(self._number, host, phone, self)
                self._links = [old for old in self._links if not old.is_over] + [link]
                link.start()

    def claim(self, number: int, message: Message, direction: Direction) -> Fault | None:
        """Note a message of connection `number`. Returns the fault that it is to suffer."""
        with self._lock:
            count = self._counts[direction]
            self._counts[direction] += 1
            self.seen.append(Passed(direction, _name(message), len(message.payload)))
            if direction == "to_host" and message.name == "WRTE":
                self.heard.setdefault((number, message.arg0), bytearray()).extend(message.payload)
            fault = self._fault
            if fault is None or fault.direction != direction or count < fault.number:
                return None
            if fault.kind == "act":
                return fault
            self._fault, self.fired = None, True
            return fault

    def act(self, fault: Fault) -> None:
        """Do what a fault does, unless another connection's message has just seen to it."""
        with self._acting:
            if not self.fired and fault.act():
                with self._lock:
                    self._fault, self.fired = None, True


class _Link:
    """One connection: two threads, one for each direction."""

    def __init__(self, number: int, host: socket.socket, phone: socket.socket, proxy: Proxy) -> None:
        self._number, self._proxy = number, proxy
        self._sockets: dict[Direction, tuple[socket.socket, socket.socket]] = {
            "to_phone": (host, phone),
            "to_host": (phone, host),
        }
        self._closed = threading.Event()
        self._flowing = threading.Event()
        self._flowing.set()
        self._muted: set[Direction] = set()
        self._counting, self._at_work = threading.Lock(), len(DIRECTIONS)
        for end in (host, phone):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._threads = [threading.Thread(target=self._pass_on, args=(d,), daemon=True) for d in DIRECTIONS]

    @property
    def is_over(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def close(self) -> None:
        self._closed.set()
        self._flowing.set()
        for end in self._sockets["to_phone"]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _pass_on(self, direction: Direction) -> None:
        source, target = self._sockets[direction]
        try:
            while (message := _read(source)) is not None:
                fault = self._proxy.claim(self._number, message, direction)
                self._flowing.wait()
                if fault is None:
                    self._send(target, bytes(message), direction)
                else:
                    self._harm(fault, message, direction, target)
        except OSError:
            pass  # one side hung up, which is what `close` passes on to the other
        except Exception as error:
            self._proxy.problems.append(error)
        finally:
            self.close()
            with self._counting:
                self._at_work -= 1
                last = self._at_work == 0
            if last:
                source.close()
                target.close()

    def _send(self, target: socket.socket, data: bytes, direction: Direction) -> None:
        if self._closed.is_set():
            raise ConnectionError("hung up")
        if direction not in self._muted:
            target.sendall(data)

    def _harm(self, fault: Fault, message: Message, direction: Direction, target: socket.socket) -> None:
        whole = bytes(message)
        match fault.kind:
            case "cut":
                raise ConnectionError("cut")
            case "half cut":
                self._muted.add(direction)
            case "stall and hang up" | "stall and go on":
                self._flowing.clear()
                self._closed.wait(fault.seconds)
                self._flowing.set()
                if fault.kind == "stall and hang up":
                    raise ConnectionError("cut")
                self._send(target, whole, direction)
            case "truncate":
                kept = HEADER_BYTES + len(message.payload) // 2 if message.payload else HEADER_BYTES // 2
                self._send(target, whole[:kept], direction)
                raise ConnectionError("cut")
            case "drop":
                pass
            case "duplicate":
                self._send(target, whole + whole, direction)
            case "delay":
                self._closed.wait(DELAY_S)
                self._send(target, whole, direction)
            case "act":
                self._proxy.act(fault)
                self._send(target, whole, direction)
            case _:
                self._send(target, bytes(DAMAGE[fault.kind](message, fault.seed)), direction)


def _name(message: Message) -> str:
    if message.name != "WRTE":
        return message.name
    return "ROW" if ROW_MARK in message.payload else "BULK" if len(message.payload) > BULK_BYTES else "WRTE"


def _read(source: socket.socket) -> Message | None:
    """The next message; None when its sender has hung up."""
    header = _read_exactly(source, HEADER_BYTES)
    if header is None:
        return None
    message = Message.of_header(header)
    payload = _read_exactly(source, message.length)
    return None if payload is None else replace(message, payload=payload)


def _read_exactly(source: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        chunk = source.recv(min(size - len(data), 1 << 16))
        if not chunk:
            return None
        data += chunk
    return bytes(data)
