"""`pocketnas doctor`: everything about a device, whether it is fit to measure, and what to do where it is not."""

import importlib.metadata
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from android_bench.adb.adb_program import AdbProgram
from android_bench.adb.lock import PhoneLock
from android_bench.adb.phone import open_channel
from android_bench.adb.phone_checkup import examine_phone
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.adb.quiet import Quiet
from android_bench.adb.streamed import StreamedTransport
from android_bench.change import Change
from android_bench.checkup import Checkup
from android_bench.device import LOCAL
from android_bench.inventory import SeenDevice, attached_phones, see, take_inventory
from android_bench.local_checkup import examine_local
from android_bench.runner.readiness import cross_compiler
from pocketnas.checkup_text import cluster_rows, facts, told
from pocketnas.commands.devices import TRANSPORTS
from pocketnas.console import print_json, print_words, say
from pocketnas.device_names import check_known, names_in, resolve_device
from pocketnas_base.errors import DeviceError, InputError, MissingDependencyError

_MOST_AT_ONCE = 8
_VERSION_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class DoctorOptions:
    """What the command line asked for. device: None for all of them. config: the file with names for devices."""

    device: str | None
    config: Path | None
    restore: bool
    unlock: bool
    as_json: bool


def doctor(options: DoctorOptions) -> int:
    """Examine a device, or all. Returns the exit status: 0 when all that were examined are fit to measure, else 1.

    Raises InputError for a device that is none, DeviceError where what was asked to be changed cannot be.
    """
    names = names_in(options.config)
    repaired = _repair(options, names) if options.restore or options.unlock else {}
    seen, adb_problem = _look(options, names)
    if adb_problem is not None:
        say(f"phones cannot be looked for: {adb_problem}")
    with ThreadPoolExecutor(max_workers=_MOST_AT_ONCE) as pool:
        checkups = list(pool.map(_examine, seen))
    fit = all(checkup.fit for checkup in checkups)
    host = _host(adb_problem)
    if options.as_json:
        devices = [checkup.to_dict() for checkup in checkups]
        print_json({"fit": fit, "devices": devices, "host": host, **repaired})
    else:
        for checkup in checkups:
            _print(checkup)
        _print_host(host)
    return 0 if fit and not _failed(repaired) else 1


def _look(options: DoctorOptions, names: Mapping[str, str]) -> tuple[Sequence[SeenDevice], str | None]:
    if options.device is None and not (options.restore or options.unlock):
        inventory = take_inventory(names)
        return inventory.devices, inventory.adb_problem
    id = resolve_device(options.device, names)
    check_known(id)
    return [see(id, attached_phones(), names)], None


def _examine(seen: SeenDevice) -> Checkup:
    return examine_local(seen) if seen.id == LOCAL else examine_phone(seen)


def _repair(options: DoctorOptions, names: Mapping[str, str]) -> dict[str, object]:
    """Break a lock, put settings back; what was done, also said on stderr as it happens."""
    id = resolve_device(options.device, names)
    if id == LOCAL:
        raise InputError("this machine has neither a lock nor settings to put back: name a phone")
    check_known(id)
    transport = PhoneTransport(open_channel(id, ask=say))
    done: dict[str, object] = {}
    try:
        if options.unlock:
            done["unlocked"] = _unlock(PhoneLock(StreamedTransport(transport), id), id)
        if options.restore:
            lock = PhoneLock(transport, id)
            lock.take()  # the settings of somebody's session are not to be put back under their hands
            try:
                changes = Quiet(transport, id).put_right()
            finally:
                lock.drop()
            done["restored"] = [asdict(change) for change in changes]
            _tell(id, changes)
    finally:
        transport.close()
    return done


def _unlock(lock: PhoneLock, id: str) -> dict[str, object] | None:
    """Break the lock. Returns who had it; None when nobody had."""
    found = lock.look()
    if found.state != "held":
        say(f"{id} was not locked")
        return None
    lock.break_open()
    say(f"{id} was locked by {found.holder or 'somebody'} for {found.left_s} s more; the lock is broken")
    return {"holder": found.holder or None, "left_s": found.left_s}


def _tell(id: str, changes: Sequence[Change]) -> None:
    if not changes:
        say(f"{id} has no settings to be put back")
    for change in changes:
        said = f" ({change.detail})" if change.detail else ""
        say(f"{id}: {change.setting} {change.outcome}: {change.wanted}{said}")


def _failed(repaired: Mapping[str, object]) -> bool:
    restored = repaired.get("restored", [])
    assert isinstance(restored, list)
    return any(change["outcome"] != "restored" for change in restored)


def _host(adb_problem: str | None) -> dict[str, str | None]:
    """What of this machine's matters to every phone."""
    path = version = None
    try:
        program = AdbProgram()
        path, version = program.path, _version(program.call("version", timeout_s=_VERSION_TIMEOUT_S).stdout)
    except (MissingDependencyError, DeviceError) as error:
        adb_problem = adb_problem or str(error)
    return {
        "adb_path": path,
        "adb_version": version,
        "adb_problem": adb_problem,
        "adb_shell_version": importlib.metadata.version("adb-shell"),
        "arm64_compiler": cross_compiler(),
    }


def _version(said: bytes) -> str | None:
    """The package's version, of what `adb version` prints; that of the protocol stands a line above."""
    found = re.search(r"^Version ([\w.+-]{1,60})", said.decode(errors="replace"), re.MULTILINE)
    return found[1] if found else None


def _print(checkup: Checkup) -> None:
    device = checkup.device
    called = f" ({device.name})" if device.name else ""
    print(f"{device.id}{called}: {device.state}, transport {TRANSPORTS[device.transport]}")
    if checkup.system is not None:
        print_words(["what", "how it is"], facts(checkup, checkup.system), whole=("what",))
        print_words(
            ["cores", "mask", "part", "at most MHz", "allowed MHz", "now MHz", "governor", ""],
            cluster_rows(checkup.system.clusters),
            whole=("cores", "mask"),
        )
    for complaint in checkup.unreadable:
        print(f"unreadable: {complaint}")
    for note in checkup.notes:
        print(f"note: {note}")
    if checkup.fit:
        print(f"{device.id} is fit to measure")
    else:
        print(f"{device.id} is not fit to measure:")
        rows = [[finding.id, finding.detail, finding.remedy] for finding in checkup.findings]
        print_words(["reason", "what was seen", "what to do"], rows, whole=("reason",))
    print()


def _print_host(host: Mapping[str, str | None]) -> None:
    adb = f"adb {told(host['adb_version'])} ({host['adb_path']})" if host["adb_path"] else "no adb program"
    compiler = host["arm64_compiler"] or "none; most phones need one (Debian: apt install g++-aarch64-linux-gnu)"
    print(f"this machine: {adb}, adb-shell {host['adb_shell_version']}; compiler for arm64-v8a: {compiler}")
