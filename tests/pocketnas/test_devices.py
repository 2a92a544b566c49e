"""`pocketnas devices`, and which device a name stands for."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from calling import Caller, config_with
from command_line import program, refused
from lookalike.fixtures import AdbServer
from lookalike.lookalike import Lookalike
from sample_tables import table_info
from tiny_tflite import conv_model, write_model

from latency.opspec import EMPTY
from latency.table import LatencyTable, TableRow
from pocketnas.device_names import devices_by_name, resolve_device
from pocketnas.measuring import open_device
from pocketnas_base.errors import DeviceError, InputError
from search.space import load_space

StartPhone = Callable[..., Lookalike]


@pytest.fixture
def pocketnas(adb_server: AdbServer, tmp_path: Path) -> Caller:
    return Caller.beside(adb_server, tmp_path / "cache")


@pytest.fixture
def server(adb_server: AdbServer, monkeypatch: pytest.MonkeyPatch) -> AdbServer:
    """An adb server that this process talks to."""
    for name, value in adb_server.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ADB", str(adb_server.program))
    return adb_server


def connect_stranger(server: AdbServer, phone: Lookalike) -> None:
    server.adb("connect", phone.serial, check=False)
    assert server.state(phone) == "unauthorized"


def test_phones_are_listed_with_what_to_do(
    pocketnas: Caller, adb_server: AdbServer, start_phone: StartPhone, tmp_path: Path
) -> None:
    phone, stranger = start_phone(), start_phone(keys=[])
    adb_server.connect(phone)
    connect_stranger(adb_server, stranger)
    done = pocketnas("devices", "--config", config_with(tmp_path / "mine.toml", {"pixel": phone.serial}))
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert all(len(line) <= 100 for line in lines if stranger.serial not in line)
    assert lines[1].split() == ["device", "model", "processor", "system", "ABI", "transport", "state"]
    (row,) = (line for line in lines if line.startswith(f" {phone.serial} (pixel) "))
    assert row.split()[-4:] == ["x86_64", "adb", "(network)", "ready"]
    (row,) = (line for line in lines if line.startswith(f" {stranger.serial} "))
    assert row.split()[1:] == ["-", "-", "-", "-", "adb", "(network)", "unauthorized"]
    assert lines[-1].startswith(f"{stranger.serial}: unlock it and accept `Allow USB debugging?`")
    assert any(line.startswith(" local ") and line.rstrip().endswith("ready") for line in lines)


def test_devices_as_json(pocketnas: Caller, adb_server: AdbServer, start_phone: StartPhone, tmp_path: Path) -> None:
    phone = start_phone()
    adb_server.connect(phone)
    config = config_with(tmp_path / "mine.toml", {"far": "tcp:127.0.0.1:1"})
    said = pocketnas.json("devices", "-c", config)
    assert said["adb_problem"] is None
    local, attached, far = said["devices"]
    keys = {"id", "name", "transport", "state", "advice", "model", "soc", "os_version", "abi"}
    assert set(local) == set(attached) == set(far) == keys
    assert (local["id"], local["state"], local["transport"]) == ("local", "ready", "local")
    assert attached == {
        "id": phone.serial,
        "name": None,
        "transport": "adb-network",
        "state": "ready",
        "advice": "",
        "model": "PocketNAS Lookalike",
        "soc": "PocketNAS LK1",
        "os_version": "Android 14",
        "abi": "x86_64",
    }
    assert (far["id"], far["name"], far["state"]) == ("tcp:127.0.0.1:1", "far", "unreachable")


def test_help_starts_at_once(pocketnas: Caller) -> None:
    def seconds() -> float:
        began = time.monotonic()
        assert "devices" in pocketnas("--help").out
        return time.monotonic() - began

    assert min(seconds() for _ in range(3)) < 0.5


def test_with_no_phone_the_way_to_one_is_shown(pocketnas: Caller) -> None:
    done = pocketnas("devices")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "no phone is attached: see README, Connect a phone"


def test_without_adb_the_way_out_is_on_stderr(pocketnas: Caller, tmp_path: Path) -> None:
    without = pocketnas.but(ADB=None, PATH=str(tmp_path))
    done = without("devices")
    assert done.status == 0
    assert done.err.startswith("phones cannot be looked for: the program adb was not found; install it")
    assert len(done.err.splitlines()) == 1
    assert " local " in done.out
    assert "no phone is attached" not in done.out
    said = without.json("devices")
    assert [device["id"] for device in said["devices"]] == ["local"]
    assert said["adb_problem"].startswith("the program adb was not found")


def test_the_only_phone_needs_no_name(
    server: AdbServer, start_phone: StartPhone, capsys: pytest.CaptureFixture[str]
) -> None:
    phone, stranger = start_phone(), start_phone(keys=[])
    server.connect(phone)
    connect_stranger(server, stranger)
    assert resolve_device(None, {"pixel": "tcp:127.0.0.1:1"}) == phone.serial
    captured = capsys.readouterr()
    assert captured.err == f"device: {phone.serial}, the only phone that is attached\n"
    assert captured.out == ""


def test_several_phones_are_listed_for_choice(server: AdbServer, start_phone: StartPhone) -> None:
    phones = [start_phone(), start_phone()]
    for phone in phones:
        server.connect(phone)
    with pytest.raises(InputError, match="2 phones are attached: name one with -d: ") as caught:
        resolve_device(None, {})
    assert all(phone.serial in str(caught.value) for phone in phones)


def test_no_phone_is_said_with_the_way_out(server: AdbServer, start_phone: StartPhone) -> None:
    with pytest.raises(InputError) as caught:
        resolve_device(None, {})
    assert str(caught.value) == (
        "no phone is attached: connect one (README, Connect a phone), or measure this machine: -d local"
    )
    stranger = start_phone(keys=[])
    connect_stranger(server, stranger)
    with pytest.raises(
        InputError, match=rf"no phone is ready: {stranger.serial} is unauthorized \(`pocketnas devices`"
    ):
        resolve_device(None, {})


def test_without_adb_no_phone_can_be_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADB", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(InputError, match=r"the program adb was not found.*; or measure this machine: -d local"):
        resolve_device(None, {})
    with pytest.raises(InputError, match="unknown device 'R58M12', and adb cannot be asked for it: the program adb"):
        open_device("R58M12")


def test_a_name_stands_for_a_device() -> None:
    names = {"pixel": "tcp:192.168.1.20:5555", "desk": "local"}
    assert resolve_device("pixel", names) == "tcp:192.168.1.20:5555"
    assert resolve_device("desk", names) == resolve_device("local", names) == "local"
    assert resolve_device("R58M12ABCDE", names) == "R58M12ABCDE"
    with pytest.raises(InputError, match="'tcp:nowhere' is no address"):
        resolve_device("tcp:nowhere", names)


def test_names_of_a_configuration_stand_for_devices_of_a_benchmark(tmp_path: Path) -> None:
    config = config_with(tmp_path / "mine.toml", {"desk": "local", "pixel": "tcp:127.0.0.1:1"})
    assert devices_by_name(["pixel", "desk", "tcp:127.0.0.1:1", "R58M12"], config) == [
        "tcp:127.0.0.1:1",
        "local",
        "R58M12",
    ]
    assert devices_by_name(None, config) == devices_by_name([], None) == []
    model = tmp_path / "conv.tflite"
    write_model(model, conv_model(np.ones((4, 3), np.float32), (1, 8, 8, 3)))
    done = program("bench", model, "-d", "desk", "-c", config, "--processes", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["device"]["id"] == "local"
    assert "tcp:127.0.0.1:1 failed" in refused("bench", model, "-d", "pixel", "-c", config, status=1)
    assert "unknown device 'desk'" in refused("bench", model, "-d", "desk")
    assert "config none.toml does not exist" in refused("bench", model, "-d", "desk", "-c", "none.toml")


def test_names_of_a_configuration_stand_for_devices_of_tables(tmp_path: Path) -> None:
    config = config_with(tmp_path / "mine.toml", {"pixel": "tcp:127.0.0.1:1"})
    out = tmp_path / "t.parquet"
    build = ("table", "build", "--space", "demo", "--out", out, "-d", "pixel")
    assert "tcp:127.0.0.1:1 failed" in refused(*build, "-c", config, status=1)
    assert "unknown device 'pixel'" in refused(*build)
    space = load_space("demo")
    rows = {op: TableRow(1.0, 1.0, 1.0, 1.0, 1.0, 9, 3) for op in (EMPTY, *space.op_specs())}
    LatencyTable(table_info(space), rows).save(out)
    assert "tcp:127.0.0.1:1 failed" in refused("table", "calibrate", out, "-d", "pixel", "-c", config, status=1)
    assert "give either a run or --space" in refused("table", "build", config, "-c", config)


def test_a_phone_is_opened_by_serial_address_and_name(server: AdbServer, start_phone: StartPhone) -> None:
    phone = start_phone()
    server.connect(phone)
    address = f"tcp:127.0.0.1:{phone.port}"
    by_serial = open_device(phone.serial)
    by_name = open_device("pixel", {"pixel": address})
    assert (by_serial.id, by_name.id) == (phone.serial, address)
    assert by_serial.info == by_name.info
    assert by_serial.info.model == "PocketNAS Lookalike"
    assert not by_name.is_local
    by_name.transport.close()
    assert open_device("desk", {"desk": "local"}).is_local


def test_a_device_that_is_none_is_refused(server: AdbServer, start_phone: StartPhone) -> None:
    phone = start_phone()
    server.connect(phone)
    with pytest.raises(InputError, match=rf"unknown device 'pixel': .* nor a phone that adb knows \({phone.serial}\)"):
        open_device("pixel", {"other": phone.serial})
    with pytest.raises(InputError, match="'tcp:here' is no address"):
        open_device("tcp:here")
    phone.distrust()
    server.disconnect(phone)
    with pytest.raises(DeviceError, match=r"tcp:127\.0\.0\.1:1 failed"):
        open_device("tcp:127.0.0.1:1")


def test_the_run_of_a_configuration_finds_its_named_device(
    pocketnas: Caller, adb_server: AdbServer, start_phone: StartPhone, tmp_path: Path
) -> None:
    phone = start_phone()
    config = config_with(tmp_path / "mine.toml", {"pixel": phone.serial}, device="pixel")
    done = pocketnas("table", "build", config, "--runs", tmp_path / "runs")
    assert done.status == 2
    assert f"unknown device '{phone.serial}'" in done.err
    assert not (tmp_path / "runs").exists()
    adb_server.connect(phone)
    done = pocketnas("search", config, "--runs", tmp_path / "runs")
    assert done.status == 2, "there is no table yet; the environment comes first"
    environment = json.loads((tmp_path / "runs" / "named" / "environment.json").read_text())
    assert environment["device"]["id"] == phone.serial
    assert environment["device"]["model"] == "PocketNAS Lookalike"
