"""Phones for the tests of the adb side: lookalikes, and the two ways to reach one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from lookalike.fixtures import (
    AdbKey,
    AdbServer,
    adb_key,
    adb_server,
    phone,
    running_adb_server,
    shared_phone,
    start_phone,
)
from lookalike.lookalike import Lookalike, available
from reaching import Place, Reach, is_clean, over_program, over_tcp

from android_bench.adb.phone_transport import PhoneTransport
from android_bench.local import LocalTransport

__all__ = ["adb_key", "adb_server", "phone", "shared_phone", "start_phone"]


@pytest.fixture(scope="module")
def shared_server(adb_key: AdbKey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbServer]:
    """One adb server for all tests of a module."""
    reason = available()
    if reason:
        pytest.skip(reason)
    with running_adb_server(adb_key, tmp_path_factory.mktemp("adb_home")) as server:
        yield server


@pytest.fixture(params=["tcp", "program"])
def reach(request: pytest.FixtureRequest, adb_key: AdbKey) -> Reach:
    """A way to make transports to a phone: adb-shell over TCP, and adb with a server."""
    if request.param == "tcp":
        return lambda phone, **how: over_tcp(phone, adb_key, **how)
    server: AdbServer = request.getfixturevalue("shared_server")
    return lambda phone, **how: over_program(phone, server, **how)


@pytest.fixture
def transport(shared_phone: Lookalike, reach: Reach) -> Iterator[PhoneTransport]:
    """The module's phone, reached in either way."""
    transport = reach(shared_phone)
    yield transport
    transport.close()
    assert is_clean(shared_phone)


@pytest.fixture(params=["local", "tcp", "program"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Every transport there is."""
    if request.param == "local":
        yield Place(LocalTransport(), str(tmp_path), None)
        return
    phone: Lookalike = request.getfixturevalue("shared_phone")
    key: AdbKey = request.getfixturevalue("adb_key")
    if request.param == "tcp":
        transport = over_tcp(phone, key)
    else:
        transport = over_program(phone, request.getfixturevalue("shared_server"))
    folder = f"/data/local/tmp/{request.param}"
    transport.run(("mkdir", "-p", folder), timeout_s=30)
    yield Place(transport, folder, phone)
    transport.run(("rm", "-rf", folder), timeout_s=30)
    transport.close()
    assert is_clean(phone)


@pytest.fixture
def tcp_transport(adb_key: AdbKey) -> Iterator[Callable[..., PhoneTransport]]:
    """Makes transports over TCP to any phone; all are closed after the test."""
    with ExitStack() as stack:

        def make(phone: Lookalike, **how: object) -> PhoneTransport:
            transport = over_tcp(phone, adb_key, **how)
            stack.callback(transport.close)
            return transport

        yield make
