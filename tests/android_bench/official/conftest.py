"""Devices for official tools: this machine, and a phone lookalike with a real adbd."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lookalike.fixtures import AdbKey, adb_key, shared_phone
from lookalike.lookalike import Lookalike
from official_doubles import Bench

from android_bench.adb.phone import open_phone
from android_bench.device import Device
from android_bench.local import open_local
from android_bench.protocol import Protocol
from android_bench.store import SampleStore

__all__ = ["adb_key", "shared_phone"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SampleStore]:
    with SampleStore.open(tmp_path / "samples.sqlite") as opened:
        yield opened


@pytest.fixture
def phone_device(shared_phone: Lookalike, adb_key: AdbKey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """The module's phone, reached over TCP."""
    monkeypatch.setenv("ADB_VENDOR_KEYS", str(adb_key.private))
    device = open_phone(f"tcp:{shared_phone.serial}")
    yield device
    device.transport.close()


@pytest.fixture(params=["local", "phone"])
def bench(request: pytest.FixtureRequest, store: SampleStore, quick: Protocol, tmp_path: Path) -> Bench:
    """A device to measure on, and all that it takes."""
    if request.param == "local":
        return Bench(open_local(), None, store, quick, tmp_path)
    phone: Lookalike = request.getfixturevalue("shared_phone")
    return Bench(request.getfixturevalue("phone_device"), phone, store, quick, tmp_path)


@pytest.fixture
def here(store: SampleStore, quick: Protocol, tmp_path: Path) -> Bench:
    """This machine, for what does not depend on how a device is reached."""
    return Bench(open_local(), None, store, quick, tmp_path)
