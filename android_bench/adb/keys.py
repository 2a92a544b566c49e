"""The RSA keys by which a phone knows this host, kept where adb itself keeps them."""

import base64
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pocketnas_base.errors import DeviceError

MAX_KEY_BYTES = 64 * 1024
_KEY_BITS = 2048


@dataclass(frozen=True, slots=True)
class AdbKey:
    """One key pair. public: as adb sends it to a phone, which shows it to its owner."""

    path: Path
    private: str
    public: str


def adb_keys(environ: Mapping[str, str] | None = None) -> list[AdbKey]:
    """The user's own key first, then those of $ADB_VENDOR_KEYS: files, or folders of `*.adb_key` files.

    The user's key is `adbkey` in $ANDROID_USER_HOME, else in ~/.android. It is made when there is none at all, with
    mode 0600, so that `adb` and PocketNAS are one host to a phone. Raises DeviceError for a key that cannot be used.
    """
    environ = os.environ if environ is None else environ
    home = Path(environ.get("ANDROID_USER_HOME") or Path(environ.get("HOME") or Path.home()) / ".android")
    own = home / "adbkey"
    vendor = [path for place in environ.get("ADB_VENDOR_KEYS", "").split(":") if place for path in _in(Path(place))]
    if not own.exists() and not vendor:
        make_key(own)
    paths = [own] if own.exists() else []
    return [_load(path) for path in dict.fromkeys([*paths, *vendor])]


def make_key(path: Path) -> None:
    """Make a key pair at `path` and `path`.pub, unless another program has just done so."""
    from adb_shell.auth.keygen import keygen

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adbkey-", dir=path.parent) as scratch:  # mkdtemp's mode is 0700
            made = Path(scratch) / "adbkey"
            keygen(str(made))
            made.chmod(0o600)
            _public_path(made).chmod(0o644)
            # A hard link fails where a key exists: two programs that start at once agree on the first one's.
            with suppress(FileExistsError):
                os.link(made, path)
                _public_path(made).replace(_public_path(path))
    except FileExistsError:
        raise DeviceError(f"the adb key {path} cannot be made: {path.parent} is no folder") from None
    except OSError as error:
        raise DeviceError(f"the adb key {path} cannot be made: {error.strerror}") from error


def _in(place: Path) -> list[Path]:
    return sorted(place.glob("*.adb_key")) if place.is_dir() else [place]


def _load(path: Path) -> AdbKey:
    """The public half is made of the private one, as adb does it: the file beside it may be another key's."""
    from adb_shell.auth.keygen import get_user_info
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    try:
        key = load_pem_private_key(_read(path), None)
        if not isinstance(key, RSAPrivateKey) or key.key_size != _KEY_BITS:
            raise ValueError(f"it is no RSA key of {_KEY_BITS} bits")
        public = _public_of(path)
        beside = _public_path(path)
        told = _read(beside).decode(errors="replace").strip() if beside.is_file() else ""
    except OSError as error:
        raise DeviceError(f"the adb key {path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # The library's own words have several lines.
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise DeviceError(f"the adb key {path} cannot be used: {reason}") from error
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return AdbKey(path, private, told if told.partition(" ")[0] == public else public + str(get_user_info()))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_KEY_BYTES + 1)
    if len(content) > MAX_KEY_BYTES:
        raise ValueError(f"{path} is too large for a key")
    return content


def _public_of(path: Path) -> str:
    from adb_shell.auth.keygen import encode_pubkey

    return base64.b64encode(encode_pubkey(str(path))).decode()


def _public_path(path: Path) -> Path:
    return path.with_name(path.name + ".pub")
