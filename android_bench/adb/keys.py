"""The RSA keys by which a phone knows this host, kept where adb itself keeps them."""

import base64
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pocketnas_base.errors import DeviceError

MAX_KEY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class AdbKey:
    """One key pair. public: as adb sends it to a phone, which shows it to its owner."""

    path: Path
    private: str
    public: str


def adb_keys(environ: Mapping[str, str] | None = None) -> list[AdbKey]:
    """The user's own key first, then those of $ADB_VENDOR_KEYS: files, or folders of `*.adb_key` files.

    The user's key is `adbkey` in $ANDROID_USER_HOME, else in ~/.android. It is made when there is none at all, with
    mode 0600, so that `adb` and PocketNAS are one host to a phone. Raises DeviceError for a key that cannot be read.
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
            _public_path(made).replace(_public_path(path))
            # A hard link fails where a key exists: two programs that start at once agree on the first one's.
            os.link(made, path)
    except FileExistsError:
        _public_path(path).write_text(_public_of(path))
    except OSError as error:
        raise DeviceError(f"the adb key {path} cannot be made: {error.strerror}") from error


def _in(place: Path) -> list[Path]:
    return sorted(place.glob("*.adb_key")) if place.is_dir() else [place]


def _load(path: Path) -> AdbKey:
    try:
        private = _read(path)
        public_path = _public_path(path)
        public = _read(public_path).strip() if public_path.exists() else _public_of(path)
    except (OSError, ValueError) as error:
        raise DeviceError(f"the adb key {path} cannot be read: {error}") from error
    return AdbKey(path, private, public)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(MAX_KEY_BYTES + 1)
    if len(content) > MAX_KEY_BYTES:
        raise ValueError(f"{path} is too large for a key")
    return content.decode()


def _public_of(path: Path) -> str:
    from adb_shell.auth.keygen import encode_pubkey, get_user_info

    return base64.b64encode(encode_pubkey(str(path))).decode() + str(get_user_info())


def _public_path(path: Path) -> Path:
    return path.with_name(path.name + ".pub")
