"""Where benchmarks measure: this machine, a phone, or a real adbd on this machine."""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from android_bench.adb.adb_program import AdbProgram, AdbProgramChannel
from android_bench.adb.channel import Channel
from android_bench.adb.phone import open_channel, open_phone
from android_bench.device import Device
from pocketnas.console import say
from pocketnas.measuring import open_device


@dataclass(frozen=True)
class Place:
    """Where to measure. adb_environ: of an adb program that knows the phone as `serial`."""

    name: str
    serial: str
    channel: Channel
    adb_environ: dict[str, str]


def add_device_arguments(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """-d DEVICE or --lookalike; where neither is required, this machine."""
    where = parser.add_mutually_exclusive_group(required=required)
    where.add_argument("--device", "-d", default=None if required else "local")
    where.add_argument("--lookalike", action="store_true", help="a real adbd on this machine")
    parser.add_argument("--channel", default="adb-shell", choices=("adb-shell", "adb"), help="with --lookalike")


def tolerated_on(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Reasons that void nothing there: a device that is this machine in disguise is as noisy as this machine, whose own
    guard never voids anything for drift."""
    return ("drift",) if arguments.lookalike else ()


@contextmanager
def opened_device(arguments: argparse.Namespace) -> Iterator[Device]:
    """The device that was asked for."""
    if not arguments.lookalike:
        yield open_device(arguments.device, say=say)
        return
    with phone_place(arguments) as place:
        yield open_phone(place.name, say=say, channel=place.channel)


def phone_place(arguments: argparse.Namespace) -> AbstractContextManager[Place]:
    """The phone that was asked for, reached but not opened."""
    return _lookalike(arguments.channel) if arguments.lookalike else _connected(arguments.device)


@contextmanager
def _connected(name: str) -> Iterator[Place]:
    yield Place(name, name.removeprefix("tcp:"), open_channel(name, ask=say), dict(os.environ))


@contextmanager
def _lookalike(channel: str) -> Iterator[Place]:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from lookalike.fixtures import make_adb_key, running_adb_server
    from lookalike.lookalike import available, lookalike

    from android_bench.adb.adb_shell_channel import AdbShellChannel, TcpSocket
    from android_bench.adb.keys import adb_keys

    reason = available()
    if reason:
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory(prefix="pocketnas-") as name:
        home = Path(name)
        key = make_adb_key(home)
        with lookalike(keys=[key.public]) as phone, running_adb_server(key, home) as server:
            serial = server.connect(phone)
            keys = adb_keys({"HOME": str(home / "none"), "ADB_VENDOR_KEYS": str(key.private)})
            if channel == "adb":
                yield Place("lookalike", serial, AdbProgramChannel(AdbProgram(environ=server.env), serial), server.env)
            else:
                wire = AdbShellChannel("lookalike", lambda: TcpSocket(phone.host, phone.port), keys=lambda: keys)
                yield Place("lookalike", serial, wire, server.env)
