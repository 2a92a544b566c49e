"""A lock on the phone: two hosts that measure at once would measure each other.

It is one line in a file on the phone, changed only under `flock`: whose it is, until when, and in which boot. The clock
is the phone's uptime, since wall clocks differ between hosts and jump; a reboot frees the phone.
"""

import getpass
import os
import re
import secrets
import socket
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from android_bench.adb.supervisor import DEVICE_FOLDER
from android_bench.errors import DamagedTransferError, DeviceBusyError, StorageFullError
from android_bench.transport import Transport
from pocketnas_base.errors import DeviceError
from pocketnas_base.files import sha256_bytes

LEASE_S = 900
_LONGEST_LEASE_S = 86400
_COMMAND_TIMEOUT_S = 30.0
# mksh hands descriptor 9 to no other program, so flock gets it as its standard input: the lock belongs to the open
# file, which the shell keeps. A claim that has run out, but that nobody else has taken, is still its owner's.
# Arguments: what to do (take, keep, drop, look or break), token, lease in seconds, holder, and the
# holder who is known to be gone. What the file holds is only believed where it can be one of ours.
_SCRIPT = rf"""
mkdir -p {DEVICE_FOLDER} && cd {DEVICE_FOLDER} || exit 9
exec 9>lock.guard || exit 9
flock 0 <&9 || exit 8
read up x </proc/uptime; up=${{up%.*}}; read boot </proc/sys/kernel/random/boot_id
token=; until=0; was=; holder=
for f in lock lock.new; do [ -d $f ] && rm -rf $f; done
[ -f lock ] && read -r token until was holder <lock
case $until in *[!0-9]*|''|??????????*) until=0;; esac
[ "$until" -gt $((up+{_LONGEST_LEASE_S})) ] && until=0
case $holder in *[!A-Za-z0-9@._-]*) holder=;; esac; holder=${{holder:0:100}}
if [ -n "$token" ] && [ "$was" = "$boot" ] && [ "$until" -gt "$up" ]; then state=held; else state=free; fi
[ -n "$token" ] && [ "$token" = "$2" ] && [ "$was" = "$boot" ] && state=mine
[ $state = held ] && [ -n "$5" ] && [ "$holder" = "$5" ] && state=free
case $1/$state in
  look/*) ;;
  break/*) rm -f lock; state=free;;
  take/free|take/mine|keep/mine)
    echo "$2 $((up+$3)) $boot $4" >lock.new && mv -f lock.new lock && state=mine || exit 9;;
  keep/*) state=lost;;
  drop/mine) rm -f lock; state=free;;
esac
echo "$state $((until-up)) $holder"
"""


@dataclass(frozen=True, slots=True)
class LockState:
    """Who holds the phone. state: free, held (by somebody else), mine, or lost (was mine). left_s: for how long yet."""

    state: str
    left_s: int
    holder: str


class PhoneLock:
    """This host's claim on one phone. holder: told to whoever finds the phone locked."""

    def __init__(self, transport: Transport, name: str, *, holder: str | None = None) -> None:
        self._transport, self._name = transport, name
        self._token = secrets.token_hex(16)
        self._holder = re.sub(r"[^A-Za-z0-9@._-]", "_", holder or default_holder())[:100]

    def take(self, lease_s: int = LEASE_S) -> None:
        """Claim the phone. Raises DeviceBusyError, naming the holder, while somebody else has it. A process of this
        host that was killed no longer has it."""
        try:
            found = self._do("take", lease_s)
        except StorageFullError:
            # The claim may have found its place, and the answer none.
            with suppress(DeviceError):
                self.drop()
            raise
        if found.state == "held" and _is_dead(found.holder):
            found = self._do("take", lease_s, instead_of=found.holder)
        if found.state != "mine":
            raise DeviceBusyError(
                f"{self._name} is being measured by {found.holder or 'somebody'} for at most {found.left_s} s more;"
                f" wait, or if that host is gone: pocketnas doctor -d {self._name} --unlock"
            )

    def keep(self, lease_s: int = LEASE_S) -> bool:
        """Extend the claim. False when it is lost: somebody broke it, or took the phone after it had run out."""
        return self._do("keep", lease_s).state == "mine"

    def drop(self) -> None:
        """Give the phone back. A lock that is no longer this host's stays as it is."""
        self._do("drop", 0)

    def look(self) -> LockState:
        """Who has the phone now."""
        return self._do("look", 0)

    def break_open(self) -> None:
        """Free the phone, whoever holds it."""
        self._do("break", 0)

    def _do(self, verb: str, lease_s: int, *, instead_of: str = "") -> LockState:
        argv = ("sh", "-c", _SCRIPT, "lock", verb, self._token, str(lease_s), self._holder, instead_of)
        done = self._transport.run(argv, timeout_s=_COMMAND_TIMEOUT_S)
        if done.exit_status != 0:
            raise DeviceError(
                f"{self._name} cannot be locked (status {done.exit_status}): {DEVICE_FOLDER} must be writable, and"
                " Android 8 or newer is needed"
            )
        found = re.fullmatch(rb"(free|held|mine|lost) (-?\d{1,12}) ?([ -~]{0,200})\n", done.stdout)
        if found is None:
            raise DamagedTransferError(f"{self._name} answered for its lock with {done.stdout[:100]!r}")
        return LockState(found[1].decode(), int(found[2]), found[3].decode())


def default_holder() -> str:
    """Who is at work here: user, host and process. Hosts of one name are told apart."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "uid" + str(os.getuid())
    name = re.sub(r"[^A-Za-z0-9@._-]", "_", f"{user}@{socket.gethostname()}")
    return f"{name[:70]}-{_host_mark()}.{os.getpid()}"


def _host_mark() -> str:
    """What process numbers on this host are counted within: its boot, and the container."""
    told = []
    with suppress(OSError):
        told.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        told.append(str(Path("/proc/self/ns/pid").readlink()))
    return sha256_bytes(" ".join(told or [str(uuid.getnode())]).encode())[:8]


def _is_dead(holder: str) -> bool:
    """Whether `holder` was a process of this user on this host that runs no more."""
    name, _, process = holder.rpartition(".")
    if name != default_holder().rpartition(".")[0] or not process.isdecimal():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False
