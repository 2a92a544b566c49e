"""A checkup of a phone: everything that can be read of it, and nothing changed on it."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from android_bench import health
from android_bench.adb.greeting import Greeting, greet
from android_bench.adb.lock import LockState, PhoneLock
from android_bench.adb.phone import supported_abi
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.adb.phone_workspace import BLOBS, BUNDLES
from android_bench.adb.quiet import Quiet
from android_bench.adb.streamed import StreamedTransport
from android_bench.batch import run_batch
from android_bench.checkup import (
    AndroidState,
    BundleOnPhone,
    Checkup,
    Finding,
    LockHolder,
    out_of_reach,
    system_state,
    uptime_of,
    without_runner,
)
from android_bench.errors import DeviceLostError, DeviceUnauthorizedError, UnreadableOutputError
from android_bench.fitness import unfit
from android_bench.health import HealthSnapshot
from android_bench.inventory import (
    PATIENCE_S,
    SeenDevice,
    held_by,
    how_to_unlock,
    impatient_channel,
    state_after,
    words_of,
)
from android_bench.parsers.cpu import CPUINFO, core_parts
from android_bench.parsers.getprop import PhoneIdentity
from android_bench.parsers.power import parse_device_idle
from android_bench.parsers.storage import Room, parse_df
from android_bench.parsers.text import name
from android_bench.runner.readiness import Readiness, runners_for_phone
from pocketnas_base.errors import DeviceError, MissingDependencyError

STORAGE = "/data/local/tmp"
# Less than that and not even a command's output finds room.
_LEAST_ROOM_KB = 1024
# Both bundles and some models.
_COMFORTABLE_ROOM_KB = 64 * 1024
_TIMEOUT_S = 15.0
# What a session does by itself before it measures (see `quiet`).
_SETTLED_BY_SESSION = frozenset({"screen-off", "battery-saver"})
_QUESTIONS = {
    "df": f"df -k {STORAGE}",
    "uptime": "cat /proc/uptime",
    "kernel": "uname -r",
    "cpuinfo": CPUINFO,
    "idle_state": "dumpsys deviceidle get deep 2>&1",
    "idle_enabled": "dumpsys deviceidle enabled 2>/dev/null",
    "bundles": (
        f'cd {BUNDLES} 2>/dev/null && for b in *; do [ -d "$b" ] || continue; set -- $(du -sk "$b"); r=-;'
        " [ -e $b/lib/libLiteRt.so ] && r=tflite; [ -e $b/lib/libexecutorch.so ] && r=executorch;"
        ' echo "$b $1 $r"; done'
    ),
    "models": f"[ -d {BLOBS} ] && du -sk {BLOBS}",
}
_BUNDLE = re.compile(r"([0-9a-f]{64}) (\d{1,12}) (tflite|executorch|-)")

T = TypeVar("T")


def examine_phone(seen: SeenDevice) -> Checkup:
    """Look at a phone that was seen. Whatever goes wrong is in the result."""
    if seen.state not in ("ready", "busy"):
        return out_of_reach(seen, seen.state, seen.advice)
    try:
        channel = impatient_channel(seen.id)
        try:
            return _Examination(seen, StreamedTransport(PhoneTransport(channel, patience_s=PATIENCE_S))).run(
                greet(channel, within_s=PATIENCE_S)
            )
        finally:
            with suppress(DeviceError):
                channel.close()
    except (DeviceError, MissingDependencyError) as error:
        return out_of_reach(seen, state_after(error), words_of(error))


class _Examination:
    """One phone, asked one thing after the other; what it does not answer is noted, and the rest asked nevertheless."""

    def __init__(self, seen: SeenDevice, transport: StreamedTransport) -> None:
        self._seen, self._transport = seen, transport
        self._unreadable: list[str] = []

    def run(self, greeting: Greeting) -> Checkup:
        transport, identity = self._transport, greeting.identity
        snapshot = health.snapshot(transport, android=True)
        phone = snapshot.phone
        assert phone is not None
        outputs = run_batch(transport, list(_QUESTIONS.values()), timeout_s=_TIMEOUT_S)
        answers = dict(zip(_QUESTIONS, outputs, strict=True))
        lock = self._attempt("lock", PhoneLock(transport, transport.name).look)
        pending = self._attempt("settings to restore", Quiet(transport, transport.name).pending) or {}
        room = self._attempt("free space", lambda: parse_df(answers["df"]))
        runners = runners_for_phone(supported_abi(self._seen.id, identity))
        android = AndroidState(
            battery=phone.battery,
            thermal=phone.thermal,
            power=phone.power,
            absent=phone.absent,
            battery_saver=phone.saving,
            idle_state=self._attempt("idle state", lambda: parse_device_idle(answers["idle_state"])),
            idle_enabled={b"1": True, b"0": False}.get(answers["idle_enabled"].strip()),
            fixed_performance_mode=None,
            lock_readable=lock is not None,
            lock=LockHolder(lock.holder or "somebody", lock.left_s) if lock and lock.state == "held" else None,
            to_restore=pending,
            bundles=self._attempt("bundles", lambda: _bundles(answers["bundles"], runners)),
            models_kb=_size_kb(answers["models"]),
            missing_tools=greeting.missing_tools,
        )
        system = system_state(
            snapshot,
            parts=self._attempt("kinds of cores", lambda: core_parts(answers["cpuinfo"])) or {},
            build=identity.fingerprint,
            kernel=name(answers["kernel"].decode(errors="replace")),
            uptime_s=uptime_of(answers["uptime"].decode(errors="replace")),
            room=room,
        )
        findings = _findings(self._seen.id, snapshot, identity, lock, room, runners)
        return Checkup(
            self._seen,
            system,
            android,
            runners,
            findings=tuple(findings),
            notes=tuple(_notes(self._seen.id, snapshot, android, room, findings)),
            unreadable=(*phone.unreadable, *self._unreadable),
        )

    def _attempt(self, what: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except (DeviceLostError, DeviceUnauthorizedError):
            raise
        except DeviceError as error:
            self._unreadable.append(f"{what}: {error}")
            return None


def _bundles(listing: bytes, runners: Sequence[Readiness]) -> tuple[BundleOnPhone, ...]:
    newest = {runner.runtime: runner.bundle_sha256 for runner in runners}
    found = []
    for line in listing.decode(errors="replace").splitlines():
        match = _BUNDLE.fullmatch(line.strip())
        if match is None:
            raise UnreadableOutputError(f"{BUNDLES} holds something else than bundles: {line.strip()[:60]!r}")
        runtime = match[3] if match[3] != "-" else None
        known = next((sha256 for own, sha256 in newest.items() if own == runtime), None)
        found.append(BundleOnPhone(match[1], runtime, int(match[2]), None if known is None else known != match[1]))
    return tuple(found)


def _size_kb(du: bytes) -> int | None:
    """What `du -sk` counted; 0 where there is no such folder."""
    if not du.strip():
        return 0
    found = re.match(rb"(\d{1,15})\s", du)
    return int(found[1]) if found else None


def _findings(
    id: str,
    snapshot: HealthSnapshot,
    identity: PhoneIdentity,
    lock: LockState | None,
    room: Room | None,
    runners: Sequence[Readiness],
) -> list[Finding]:
    found = []
    if lock is not None and lock.state == "held":
        found.append(Finding.obstacle("busy", held_by(lock), how_to_unlock(id)))
    if room is not None and room.free_kb < _LEAST_ROOM_KB:
        detail = f"{room.free_kb} KiB free in {STORAGE}"
        found.append(Finding.obstacle("storage-full", detail, f"free some, e.g.: pocketnas runner clean -d {id}"))
    if not snapshot.cores:
        detail = "it lets nobody read which cores it has"
        found.append(Finding.obstacle("no-cores", detail, "measure on another phone"))
    if (unbuildable := without_runner(runners)) is not None:
        found.append(unbuildable)
    return found + [Finding.of(reason) for reason in unfit(snapshot, identity)]


def _notes(
    id: str, snapshot: HealthSnapshot, android: AndroidState, room: Room | None, findings: Sequence[Finding]
) -> list[str]:
    notes = []
    settled = [finding.id for finding in findings if finding.id in _SETTLED_BY_SESSION]
    if settled:
        notes.append(f"a measuring session sets this right by itself, and puts it back: {', '.join(settled)}")
    if android.to_restore and android.lock is None:
        notes.append(
            "an earlier session was cut off before it put these settings back:"
            f" {', '.join(android.to_restore)}; the next one will, or: pocketnas doctor -d {id} --restore"
        )
    unjudged = [name for name in ("battery", "thermal", "power") if getattr(android, name) is None]
    if unjudged:
        notes.append(f"not judged, because the phone does not tell: {', '.join(unjudged)}")
    if snapshot.cores and all(core.hardware_max_khz is None or core.max_freq_khz is None for core in snapshot.cores):
        notes.append("not judged, because the phone does not tell: whether its clocks are capped")
    if room is not None and _LEAST_ROOM_KB <= room.free_kb < _COMFORTABLE_ROOM_KB:
        notes.append(f"{room.free_kb // 1024} MiB free in {STORAGE}: runners take about 30 MiB, models come on top")
    stale = [bundle for bundle in android.bundles or () if bundle.stale]
    if stale:
        size_mb = sum(bundle.size_kb for bundle in stale) / 1024
        notes.append(
            f"{len(stale)} runners on it ({size_mb:.0f} MiB) are not those last built here; to remove all:"
            f" pocketnas runner clean -d {id}"
        )
    return notes
