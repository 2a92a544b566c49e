"""The lock on the phone: one host at a time, and never a phone that nobody can use."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lookalike.fixtures import AdbKey
from lookalike.lookalike import Lookalike
from reaching import Reach, over_tcp

from android_bench.adb.lock import PhoneLock, default_holder
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.errors import DamagedTransferError, DeviceBusyError, StorageFullError
from pocketnas_base.errors import DeviceError

LOCK = "/data/local/tmp/pocketnas/lock"
BOOT = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def phone(shared_phone: Lookalike) -> Iterator[Lookalike]:
    """The module's phone, cleaned up after each test."""
    yield shared_phone
    shared_phone.free()
    shutil.rmtree(shared_phone.path(LOCK).parent)


@pytest.fixture
def host(phone: Lookalike, tcp_transport: Callable[..., PhoneTransport]) -> Callable[..., PhoneLock]:
    """Makes a lock of another host's on the same phone."""

    def make(holder: str = "ann@desk.1", **how: float) -> PhoneLock:
        return PhoneLock(tcp_transport(phone, **how), "the phone", holder=holder)

    return make


def test_one_host_has_it_and_the_other_is_told_who(host: Callable[..., PhoneLock]) -> None:
    ann, ben = host("ann@desk.1"), host("ben@lab.2")
    assert ann.look().state == "free"
    ann.take()
    assert (ann.look().state, ben.look().state) == ("mine", "held")
    assert ben.look().holder == "ann@desk.1"
    assert 890 < ben.look().left_s <= 900
    with pytest.raises(
        DeviceBusyError,
        match=r"^the phone is being measured by ann@desk\.1 for at most (900|89\d) s more;"
        r" wait, or if that host is gone: pocketnas doctor -d the phone --unlock$",
    ):
        ben.take()
    ben.drop()
    assert ann.keep()
    ann.drop()
    ben.take()
    assert not ann.keep()
    assert ben.keep()


def test_taking_twice_is_taking_once(host: Callable[..., PhoneLock]) -> None:
    ann = host()
    ann.take(10)
    ann.take(500)
    assert ann.look().state == "mine"
    assert ann.look().left_s > 400
    ann.drop()
    ann.drop()
    assert ann.look().state == "free"


def test_every_way_to_the_phone_leads_to_the_same_lock(shared_phone: Lookalike, reach: Reach, adb_key: AdbKey) -> None:
    one, other = reach(shared_phone), over_tcp(shared_phone, adb_key)
    ann, ben = PhoneLock(one, "p", holder="ann@desk.1"), PhoneLock(other, "p", holder="ben@lab.2")
    ann.take()
    with pytest.raises(DeviceBusyError):
        ben.take()
    ann.drop()
    ben.take()
    ben.drop()
    one.close()
    other.close()


def test_of_many_at_once_one_has_it(phone: Lookalike, adb_key: AdbKey) -> None:
    transports = [over_tcp(phone, adb_key) for _ in range(6)]
    outcomes: list[str] = []
    ready = threading.Barrier(len(transports))

    def work(number: int) -> None:
        lock = PhoneLock(transports[number], "p", holder=f"host{number}@x.1")
        transports[number].run(("true",), timeout_s=10)
        ready.wait()
        try:
            lock.take()
        except DeviceBusyError as error:
            outcomes.append(str(error).split()[5])
        else:
            outcomes.append("taken by " + lock.look().state)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(transports))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for transport in transports:
        transport.close()
    assert outcomes.count("taken by mine") == 1
    assert len(outcomes) == 6
    assert len(set(outcomes)) == 2, "the others all name the one that has it"


def test_a_claim_runs_out(host: Callable[..., PhoneLock]) -> None:
    ann, ben = host("ann@desk.1"), host("ben@lab.2")
    ann.take(1)
    time.sleep(1.1)
    assert ben.look().state == "free"
    assert ann.keep(1), "it is still its owner's where nobody has taken it"
    time.sleep(1.1)
    ben.take()
    assert not ann.keep()
    ann.drop()
    assert ben.keep()


def test_a_reboot_frees_the_phone(phone: Lookalike, host: Callable[..., PhoneLock]) -> None:
    ann, ben = host("ann@desk.1", patience_s=1), host("ben@lab.2", patience_s=1)
    ann.take()
    phone.reboot()
    ann._transport.close()
    ben._transport.close()
    assert ben.look().state == "free"
    assert not ann.keep()
    ben.take()
    assert ben.keep()


def test_breaking_it_open_frees_it_for_anybody(host: Callable[..., PhoneLock]) -> None:
    ann, ben, eve = host("ann@desk.1"), host("ben@lab.2"), host("eve@home.3")
    ann.take()
    eve.break_open()
    assert eve.look().state == "free"
    assert not ann.keep()
    ben.take()
    assert ben.keep()
    assert not ann.keep()


def test_who_is_at_work_is_told_without_odd_characters(host: Callable[..., PhoneLock]) -> None:
    odd = host("$(id)`x` 'a' \"b\"\n\\n größe * ; rm -rf / " + "x" * 300)
    odd.take()
    holder = host("ben@lab.2").look().holder
    assert holder.startswith("__id__x___a___b___")
    assert len(holder) == 100
    assert set(holder) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@._-")


# Programs of this host that are gone


def other_process(*, alive: bool) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    if not alive:
        process.kill()
        process.wait()
    return process


def holder_with(process: int) -> str:
    return f"{default_holder().rpartition('.')[0]}.{process}"


def test_a_program_of_this_host_that_was_killed_no_longer_has_it(host: Callable[..., PhoneLock]) -> None:
    with other_process(alive=False) as gone:
        host(holder_with(gone.pid)).take()
        ben = host(default_holder())
        ben.take()
        assert ben.keep()


def test_a_program_of_this_host_that_runs_still_has_it(host: Callable[..., PhoneLock]) -> None:
    with other_process(alive=True) as running:
        host(holder_with(running.pid)).take()
        with pytest.raises(DeviceBusyError, match=rf"\.{running.pid} for at most"):
            host(default_holder()).take()


@pytest.mark.parametrize("kind", ["another host of that name", "another host", "another user", "no number"])
def test_what_another_host_has_is_never_taken_away(host: Callable[..., PhoneLock], kind: str) -> None:
    with other_process(alive=False) as gone:
        user = default_holder().partition("@")[0]
        holders = {
            "another host of that name": f"{user}@{socket.gethostname()}.{gone.pid}",
            "another host": f"{user}@elsewhere.{gone.pid}",
            "another user": f"somebody{holder_with(gone.pid)}",
            "no number": f"{holder_with(gone.pid)}x",
        }
        host(holders[kind]).take()
        with pytest.raises(DeviceBusyError):
            host(default_holder()).take()


def test_who_is_at_work_here_names_user_host_and_process() -> None:
    holder = default_holder()
    assert holder.endswith(f".{os.getpid()}")
    assert socket.gethostname().replace(" ", "_")[:20] in holder
    assert holder == default_holder()


# What may lie in its file

HOSTILE = {
    "empty": b"",
    "newline": b"\n",
    "words": b"hello world\n",
    "many words": b"a " * 5000 + b"\n",
    "no end": b"token 999999 " + BOOT.encode() + b" eve",
    "binary": bytes(range(256)),
    "zeroes": bytes(5000),
    "command": b"$(touch /data/local/tmp/pwned) `touch /data/local/tmp/pwned` " + BOOT.encode() + b" ;reboot\n",
    "arithmetic": b"token a[$(touch${IFS}/data/local/tmp/pwned)] " + BOOT.encode() + b" eve\n",
    "octal": b"token 0999 " + BOOT.encode() + b" eve\n",
    "overflow": b"token 99999999999999999999999 " + BOOT.encode() + b" eve\n",
    "just over": b"token 4294967297 " + BOOT.encode() + b" eve\n",
    "negative": b"token -5 " + BOOT.encode() + b" eve\n",
    "options": b"-n -e -c -f\n",
    "long": b"x" * 500_000,
}


@pytest.mark.parametrize("content", HOSTILE)
def test_whatever_lies_there_the_phone_can_be_taken(
    phone: Lookalike, host: Callable[..., PhoneLock], content: str
) -> None:
    ann = host()
    assert ann.look().state == "free"
    phone.boot_id = BOOT
    phone.path(LOCK).write_bytes(HOSTILE[content])
    assert ann.look().state == "free"
    ann.take()
    assert ann.keep()
    ann.drop()
    assert ann.look().state == "free"
    assert not phone.path("/data/local/tmp/pwned").exists()


@pytest.mark.parametrize(
    "holder",
    [
        "",
        "eve\\n\\033[2Jfree 0 x",
        "\x1b[2J",
        "größe",
        "x" * 5000,
        "a b  c",
        "$(touch /data/local/tmp/pwned)",
        "-n",
        "\\c",
    ],
)
def test_whoever_claims_to_have_it_is_told_in_one_line(
    phone: Lookalike, host: Callable[..., PhoneLock], holder: str
) -> None:
    ann = host()
    ann.look()
    phone.boot_id = BOOT
    uptime = int(float(Path("/proc/uptime").read_text().split()[0]))
    phone.path(LOCK).write_text(f"token {uptime + 500} {BOOT} {holder}\n")
    assert ann.look().state == "held"
    with pytest.raises(DeviceBusyError, match=r"is being measured by .* for at most \d+ s more") as caught:
        ann.take()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    ann.break_open()
    ann.take()
    assert not phone.path("/data/local/tmp/pwned").exists()


def test_a_claim_longer_than_any_is_none(phone: Lookalike, host: Callable[..., PhoneLock]) -> None:
    ann = host()
    ann.look()
    phone.boot_id = BOOT
    phone.path(LOCK).write_text(f"token 2000000000 {BOOT} eve\n")
    ann.take()
    assert ann.keep()


@pytest.mark.parametrize("name", ["lock", "lock.new"])
def test_a_folder_in_its_place_gives_way(host: Callable[..., PhoneLock], name: str) -> None:
    ann, ben = host("ann@desk.1"), host("ben@lab.2")
    ann.look()
    ann._transport.run(("mkdir", "-p", f"/data/local/tmp/pocketnas/{name}/deeper"), timeout_s=10)
    ann.take()
    assert ann.keep()
    with pytest.raises(DeviceBusyError):
        ben.take()


def test_a_phone_that_cannot_be_locked_is_named(host: Callable[..., PhoneLock]) -> None:
    ann = host()
    ann._transport.run(("mkdir", "-p", "/data/local/tmp/pocketnas/lock.guard"), timeout_s=10)
    with pytest.raises(DeviceError, match=r"the phone cannot be locked .*must be writable, and Android 8") as caught:
        ann.take()
    assert not isinstance(caught.value, DamagedTransferError)


@pytest.mark.parametrize("left_bytes", [0, 4096, 8192])
def test_a_full_phone_is_said_to_be_full_and_is_not_left_locked(
    phone: Lookalike, host: Callable[..., PhoneLock], left_bytes: int
) -> None:
    ann, ben = host("ann@desk.1"), host("ben@lab.2")
    ann.look()
    phone.fill(left_bytes)
    with pytest.raises(StorageFullError, match="no room left"):
        ann.take()
    phone.free()
    assert ben.look().state == "free"
    ben.take()


def test_a_phone_with_little_room_can_be_taken(phone: Lookalike, host: Callable[..., PhoneLock]) -> None:
    ann = host()
    ann.look()
    phone.fill(64 * 1024)
    ann.take()
    assert ann.keep()
