"""The guard of a phone: lock, quiet, gate, health."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from android_bench import health
from android_bench.adb.lock import PhoneLock
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.adb.quiet import FIXED_PERFORMANCE, Quiet
from android_bench.change import Change
from android_bench.errors import DamagedTransferError, DeviceBusyError, DeviceLostError, DeviceUnauthorizedError
from android_bench.fitness import PASSING, UNBOUNDED, Bounds, lowered, unfit, voids
from android_bench.health import HealthSnapshot, PhoneHealth
from android_bench.parsers.getprop import PhoneIdentity
from android_bench.reasons import Reason
from pocketnas_base.errors import DeviceError

# A phone that is merely warm is given this long to cool down, in steps (Jetpack's benchmark library sleeps 90 s).
COOLING_S = 270.0
COOLING_STEP_S = 30.0
# A phone that reboots has started all of its services within two minutes or so; a cable is put back within them too.
RETURN_S = 180.0
RETURN_STEP_S = 2.0
# A quiet phone's sentinel repeats within a few percent; a tenth is another clock.
MOST_DRIFT = 0.10
# A snapshot this young still tells how the device is.
_FRESH_S = 2.0


class PhoneGuard:
    """See `guard.Guard`. say: told while one has to wait."""

    def __init__(
        self,
        transport: PhoneTransport,
        identity: PhoneIdentity,
        *,
        say: Callable[[str], None] = lambda _: None,
        cooling_s: float = COOLING_S,
        cooling_step_s: float = COOLING_STEP_S,
        return_s: float = RETURN_S,
        return_step_s: float = RETURN_STEP_S,
    ) -> None:
        self._transport, self._identity, self._say = transport, identity, say
        self._cooling_s, self._cooling_step_s = cooling_s, cooling_step_s
        self._return_s, self._return_step_s = return_s, return_step_s
        self._lock = PhoneLock(transport, transport.name)
        self._quiet = Quiet(transport, transport.name)
        self._latest: tuple[float, HealthSnapshot] | None = None
        self._bounds: Bounds = UNBOUNDED
        self._lock_lost = False
        self._told: set[str] = set()

    @property
    def changes(self) -> Sequence[Change]:
        return tuple(self._quiet.changes)

    @property
    def most_drift(self) -> float | None:
        return MOST_DRIFT

    @contextmanager
    def session(self) -> Iterator[None]:
        self._claim()
        self._lock_lost = False
        self._quiet.changes.clear()
        self._told.clear()
        try:
            self._quiet.put_right()
            found = self._look()
            self._quiet.begin(asleep=found.phone is not None and found.phone.awake is False)
            self._bounds = self._bounds_since(found)
            self._latest = None  # some of what was asked for may take a moment longer to show
            yield
        finally:
            self._put_back()

    def before(self, cores: Collection[int], tolerated: Collection[str]) -> HealthSnapshot:
        if self._lock_lost:
            self._lock.take()
            self._lock_lost = False
        deadline = time.monotonic() + self._cooling_s
        while True:
            latest = self._latest
            state = latest[1] if latest and time.monotonic() - latest[0] < _FRESH_S else self._look()
            if state.phone is not None and state.phone.awake is False:
                # On its battery a phone's screen goes off after half an hour, whatever runs on it.
                self._quiet.wake()
                state = self._look()
            reasons = [r for r in unfit(state, self._identity, cores, self._bounds) if r.id not in tolerated]
            if not reasons:
                return state
            lasting = [reason for reason in reasons if reason.id not in PASSING]
            if lasting or time.monotonic() >= deadline:
                told = "; ".join(map(str, lasting or reasons))
                raise DeviceError(
                    f"{self._transport.name} is not fit to measure: {told}; or --tolerate a reason by name"
                )
            self._say(f"{self._transport.name} waits to cool down: {reasons[0]}")
            time.sleep(self._cooling_step_s)
            self._latest = None

    def after(self) -> HealthSnapshot:
        state = self._look()
        if not self._lock.keep():
            self._lock_lost = True
        return state

    def judge(self, before: HealthSnapshot, after: HealthSnapshot, cores: Collection[int]) -> Sequence[Reason]:
        found = voids(before, after, cores, self._bounds)
        if self._lock_lost:
            found.append(Reason("lock-lost", "the lock on the phone had run out or was broken"))
        return found

    def recover(self, error: DeviceLostError) -> None:
        self._say(f"{error}; waiting for it to come back")
        deadline = time.monotonic() + self._return_s
        while True:
            self._transport.close()
            try:
                self._await_services()
                # A reboot frees the lock; whoever took it meanwhile has it. It also locks the screen and undoes some of
                # what quiets the phone.
                self._lock.take()
                self._quiet.again()
            except (DeviceLostError, DeviceUnauthorizedError) as problem:
                # A phone that has just come back may not have looked for this host's key yet.
                if time.monotonic() >= deadline:
                    raise (problem if isinstance(problem, DeviceUnauthorizedError) else error) from None
                time.sleep(self._return_step_s)
            else:
                self._latest = None
                return

    def _await_services(self) -> None:
        """Raise DeviceLostError while the phone is still starting: adbd is there long before what quiets and judges it
        is, and the rest of the start would be measured."""
        done = self._transport.run(("getprop", "sys.boot_completed"), timeout_s=10.0)
        if done.stdout.strip() != b"1":
            raise DeviceLostError(f"{self._transport.name} has not finished starting")

    def _bounds_since(self, found: HealthSnapshot) -> Bounds:
        """The clocks to which fixed-performance mode has held cores since then: below the hardware's, on purpose."""
        state = self._look()
        entered = any(c.setting == FIXED_PERFORMANCE and c.outcome == "changed" for c in self._quiet.changes)
        return lowered(found, state) if entered else UNBOUNDED

    def _look(self) -> HealthSnapshot:
        state = health.snapshot(self._transport, android=True)
        self._latest = (time.monotonic(), state)
        if state.phone is not None:
            self._tell_unjudged(state.phone)
        return state

    def _tell_unjudged(self, phone: PhoneHealth) -> None:
        """Say once a session what the phone does not tell, since it passes every test that asks for it."""
        for complaint in (*phone.unreadable, *(f"there is no service {name}" for name in phone.absent)):
            kind = ": ".join(complaint.split(": ")[:2])  # without the words of this moment
            if kind not in self._told:
                self._told.add(kind)
                self._say(f"{self._transport.name}: not judged, because the phone does not tell: {complaint}")

    def _claim(self) -> None:
        try:
            self._lock.take()
        except DeviceBusyError:
            raise
        except DeviceError:
            # The phone may have been claimed all the same, and only the answer was lost.
            with suppress(DeviceError):
                self._lock.drop()
            raise

    def _put_back(self) -> None:
        """Also after a failure: then a phone that is gone must not hide it, and its journal puts it right next time."""
        try:
            for step in (self._quiet.end, self._lock.drop):
                self._insist(step)
        finally:
            with suppress(DeviceError):
                self._transport.close()

    def _insist(self, step: Callable[[], None]) -> None:
        """Once more, over a new connection, where one was lost."""
        try:
            try:
                step()
            except (DeviceLostError, DamagedTransferError):
                step()
        except DeviceError as error:
            self._say(
                f"{self._transport.name} was not put back ({error});"
                f" its settings are kept on it: pocketnas doctor -d {self._transport.name} --restore"
            )
