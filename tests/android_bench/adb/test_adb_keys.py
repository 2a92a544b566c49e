"""Keys: where they come from, who may read them, and that adb itself agrees."""

import base64
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from lookalike.fixtures import AdbKey, make_adb_key, running_adb_server
from lookalike.lookalike import Lookalike, available
from lookalike.testbed import adb_program
from reaching import over_program, tcp_channel

from android_bench.adb.adb_shell_channel import AdbShellChannel, TcpSocket
from android_bench.adb.keys import MAX_KEY_BYTES, adb_keys, make_key
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.errors import DeviceUnauthorizedError
from pocketnas_base.errors import DeviceError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def other_key(tmp_path_factory: pytest.TempPathFactory) -> AdbKey:
    """A key that no phone trusts."""
    return make_adb_key(tmp_path_factory.mktemp("other"))


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def pem(key: object, *, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)  # type: ignore[attr-defined]


# Where they come from


def test_a_key_is_made_where_there_is_none_and_kept(home: Path) -> None:
    (made,) = adb_keys({"HOME": str(home)})
    assert made.path == home / ".android" / "adbkey"
    assert made.private.startswith("-----BEGIN PRIVATE KEY-----")
    assert len(base64.b64decode(made.public.split(" ")[0])) == 524
    assert (mode(made.path), mode(made.path.parent)) == (0o600, 0o700)
    assert {file.name for file in made.path.parent.iterdir()} == {"adbkey", "adbkey.pub"}
    assert adb_keys({"HOME": str(home)}) == [made]


@pytest.mark.usefixtures("no_umask")
def test_a_key_is_its_owners_alone_whatever_the_umask(home: Path) -> None:
    (made,) = adb_keys({"HOME": str(home)})
    assert (mode(made.path), mode(made.path.parent)) == (0o600, 0o700)
    assert mode(made.path.with_name("adbkey.pub")) & 0o022 == 0


def test_the_folder_of_keys_can_be_named(home: Path, tmp_path: Path) -> None:
    (made,) = adb_keys({"HOME": str(home), "ANDROID_USER_HOME": str(tmp_path / "elsewhere")})
    assert made.path == tmp_path / "elsewhere" / "adbkey"
    assert list(home.iterdir()) == []


def test_two_that_start_at_once_agree_on_one_key(home: Path) -> None:
    make_key(home / "adbkey")
    first = (home / "adbkey").read_bytes(), (home / "adbkey.pub").read_text().split(" ")[0]
    make_key(home / "adbkey")
    assert ((home / "adbkey").read_bytes(), (home / "adbkey.pub").read_text().split(" ")[0]) == first


def test_keys_of_other_programs_are_files_and_folders(home: Path, tmp_path: Path, other_key: AdbKey) -> None:
    folder = tmp_path / "vendor"
    folder.mkdir()
    for name in ("b", "a"):
        make_key(folder / f"{name}.adb_key")
    (folder / "readme").write_text("not a key")
    found = adb_keys({"HOME": str(home), "ADB_VENDOR_KEYS": f"{other_key.private}:{folder}::"})
    assert [key.path for key in found] == [other_key.private, folder / "a.adb_key", folder / "b.adb_key"]
    assert not (home / ".android").exists(), "no key of its own where others are given"


def test_the_users_own_key_comes_first_and_none_twice(home: Path, other_key: AdbKey) -> None:
    make_key(home / ".android" / "adbkey")
    vendor = f"{other_key.private}:{home / '.android' / 'adbkey'}:{other_key.private}"
    found = adb_keys({"HOME": str(home), "ADB_VENDOR_KEYS": vendor})
    assert [key.path for key in found] == [home / ".android" / "adbkey", other_key.private]


@pytest.mark.parametrize("there", ["missing", "anothers"])
def test_the_public_key_is_always_the_private_keys_own(home: Path, other_key: AdbKey, there: str) -> None:
    (made,) = adb_keys({"HOME": str(home)})
    public = made.path.with_name("adbkey.pub")
    public.unlink()
    if there == "anothers":
        public.write_bytes(other_key.public.read_bytes())
    (found,) = adb_keys({"HOME": str(home)})
    assert found.public.split(" ")[0] == made.public.split(" ")[0]


# What is no key


GARBAGE: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"not a key",
    "binary": lambda: bytes(range(256)) * 4,
    "huge": lambda: b"-----BEGIN PRIVATE KEY-----\n" + b"A" * MAX_KEY_BYTES,
    "cut off": lambda: pem(rsa.generate_private_key(65537, 2048))[:800],
    "no base64": lambda: b"-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n",
    "no ASN.1": lambda: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    "another kind": lambda: pem(ec.generate_private_key(ec.SECP256R1())),
    "another size": lambda: pem(rsa.generate_private_key(65537, 1024)),
    "locked": lambda: pem(rsa.generate_private_key(65537, 2048), password=b"secret"),
}


@pytest.mark.parametrize("kind", GARBAGE)
@pytest.mark.parametrize("with_public", [True, False])
def test_what_is_no_key_is_named_in_one_line(home: Path, other_key: AdbKey, kind: str, with_public: bool) -> None:
    (home / "adbkey").write_bytes(GARBAGE[kind]())
    if with_public:
        (home / "adbkey.pub").write_bytes(other_key.public.read_bytes())
    with pytest.raises(DeviceError, match=r"the adb key .*/home/adbkey cannot be (read|used)") as caught:
        adb_keys({"ANDROID_USER_HOME": str(home)})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("kind", ["missing", "folder instead"])
def test_a_key_that_cannot_be_read_is_named_in_one_line(home: Path, kind: str) -> None:
    path = home / "adbkey"
    if kind == "folder instead":
        path.mkdir()
        environ = {"ANDROID_USER_HOME": str(home)}
    else:
        environ = {"HOME": str(home), "ADB_VENDOR_KEYS": str(path)}
    with pytest.raises(DeviceError, match=r"the adb key .*/home/adbkey cannot be read: ") as caught:
        adb_keys(environ)
    assert "\n" not in str(caught.value)


def test_a_key_of_an_old_adb_is_a_key(phone: Lookalike, home: Path) -> None:
    """They stood in PKCS #1, as `BEGIN RSA PRIVATE KEY`."""
    make_key(home / "adbkey")
    key = load_pem_private_key((home / "adbkey").read_bytes(), None)
    old = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert old.startswith(b"-----BEGIN RSA PRIVATE KEY-----")
    (home / "adbkey").write_bytes(old)
    phone.trust(home / "adbkey.pub")
    transport = PhoneTransport(tcp_channel(phone, AdbKey(home / "adbkey", home / "adbkey.pub")))
    assert transport.run(("echo", "hello"), timeout_s=30).stdout == b"hello\n"
    transport.close()


def test_a_folder_where_no_key_can_be_made_is_named(home: Path) -> None:
    (home / "file").write_text("in the way")
    with pytest.raises(DeviceError, match=r"the adb key .*/file/adbkey cannot be made: .*/file is no folder"):
        adb_keys({"ANDROID_USER_HOME": str(home / "file")})


@pytest.mark.parametrize("kind", ["text", "another kind", "locked"])
def test_what_is_no_key_is_named_when_a_phone_is_reached(shared_phone: Lookalike, home: Path, kind: str) -> None:
    (home / "adbkey").write_bytes(GARBAGE[kind]())
    environ = {"ANDROID_USER_HOME": str(home)}
    channel = AdbShellChannel(
        "phone", lambda: TcpSocket(shared_phone.host, shared_phone.port), keys=lambda: adb_keys(environ)
    )
    with pytest.raises(DeviceError, match=r"the adb key .*/home/adbkey cannot be"):
        PhoneTransport(channel).run(("true",), timeout_s=5)


# What a phone makes of them


def test_a_wrong_key_is_told_in_time_and_the_owner_asked(phone: Lookalike, other_key: AdbKey) -> None:
    asked: list[str] = []
    channel = tcp_channel(phone, other_key, ask=asked.append, consent_timeout_s=1.0)
    started = time.monotonic()
    with pytest.raises(DeviceUnauthorizedError, match=r"tcp:.* waits for its owner's consent: unlock it, accept"):
        PhoneTransport(channel).run(("true",), timeout_s=30)
    assert 0.9 < time.monotonic() - started < 5
    assert len(asked) == 1
    assert "accept `Allow USB debugging?`" in asked[0]
    assert asked[0].startswith(f"tcp:127.0.0.1:{phone.port} ")


def test_consent_that_comes_later_is_enough(phone: Lookalike, other_key: AdbKey) -> None:
    asked: list[str] = []
    transport = PhoneTransport(tcp_channel(phone, other_key, ask=asked.append, consent_timeout_s=0.5))
    with pytest.raises(DeviceUnauthorizedError):
        transport.run(("true",), timeout_s=30)
    phone.trust(other_key.public)
    assert transport.run(("echo", "hello"), timeout_s=30).stdout == b"hello\n"
    transport.close()
    phone.distrust()
    with pytest.raises(DeviceUnauthorizedError):
        transport.run(("true",), timeout_s=30)
    assert len(asked) == 2


def test_any_of_several_keys_is_enough_and_nobody_is_asked(
    phone: Lookalike, adb_key: AdbKey, other_key: AdbKey, home: Path
) -> None:
    asked: list[str] = []
    environ = {"HOME": str(home), "ADB_VENDOR_KEYS": f"{other_key.private}:{adb_key.private}"}
    channel = AdbShellChannel(
        "phone", lambda: TcpSocket(phone.host, phone.port), keys=lambda: adb_keys(environ), ask=asked.append
    )
    transport = PhoneTransport(channel)
    assert transport.run(("echo", "hello"), timeout_s=30).stdout == b"hello\n"
    assert asked == []
    transport.close()


def test_adb_takes_the_key_that_we_made(phone: Lookalike, home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (made,) = adb_keys({"HOME": str(home)})
    own = AdbKey(made.path, made.path.with_name("adbkey.pub"))
    phone.distrust()
    phone.trust(own.public)
    transport = PhoneTransport(tcp_channel(phone, own))
    assert transport.run(("echo", "we"), timeout_s=30).stdout == b"we\n"
    transport.close()
    with running_adb_server(own, tmp_path_factory.mktemp("server")) as server:
        server.connect(phone)
        assert over_program(phone, server).run(("echo", "adb"), timeout_s=30).stdout == b"adb\n"


def test_we_take_the_key_that_adb_made(phone: Lookalike, home: Path) -> None:
    (home / ".android").mkdir()
    path = home / ".android" / "adbkey"
    subprocess.run([adb_program(), "keygen", path], env={"HOME": str(home)}, check=True, capture_output=True)
    (key,) = adb_keys({"HOME": str(home)})
    assert key.public == path.with_name("adbkey.pub").read_text().strip()
    phone.distrust()
    phone.trust(path.with_name("adbkey.pub"))
    transport = PhoneTransport(tcp_channel(phone, AdbKey(path, path.with_name("adbkey.pub"))))
    assert transport.run(("echo", "hello"), timeout_s=30).stdout == b"hello\n"
    transport.close()


def test_the_public_key_is_what_adb_says_it_is(home: Path) -> None:
    reason = available()
    if reason:
        pytest.skip(reason)
    (made,) = adb_keys({"HOME": str(home)})
    said = subprocess.run(
        [adb_program(), "pubkey", made.path], env={"HOME": str(home)}, check=True, capture_output=True, text=True
    )
    assert said.stdout.split(" ")[0].strip() == made.public.split(" ")[0]
