"""Who stands beside a device while it is measured: prepares it, looks at it before and after, and puts it back."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from android_bench import health
from android_bench.change import Change
from android_bench.errors import DeviceLostError
from android_bench.fitness import voids
from android_bench.health import HealthSnapshot
from android_bench.reasons import Reason
from android_bench.transport import Transport


class Guard(Protocol):
    """One device during one session. Every method raises DeviceError when the device cannot be reached."""

    def session(self) -> AbstractContextManager[None]:
        """From the first to the last process. Entering claims and prepares the device; leaving puts it back. Raises
        DeviceBusyError when somebody else measures on it."""
        ...

    def before(self, cores: Collection[int], tolerated: Collection[str]) -> HealthSnapshot:
        """Wait until the device is fit to measure. Raises DeviceError, with its reasons, when it does not become so."""
        ...

    def after(self) -> HealthSnapshot:
        """The device's state once a process has ended."""
        ...

    def judge(self, before: HealthSnapshot, after: HealthSnapshot, cores: Collection[int]) -> Sequence[Reason]:
        """Why what was measured in between should not be counted."""
        ...

    def recover(self, error: DeviceLostError) -> None:
        """Wait for a device that was lost. Raises the error when it does not come back."""
        ...

    @property
    def changes(self) -> Sequence[Change]:
        """What was changed on the device so far, for the record."""
        ...

    @property
    def most_drift(self) -> float | None:
        """How far the sentinel's latency may move within one process before all of it is void, as a share; None for a
        device that is noisy by nature, where drift is only divided out."""
        ...


class LocalGuard:
    """This machine. It is shared, noisy, and nobody's to quiet; only a reboot would void anything."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def session(self) -> AbstractContextManager[None]:
        return nullcontext()

    def before(self, cores: Collection[int], tolerated: Collection[str]) -> HealthSnapshot:
        del cores, tolerated
        return self.after()

    def after(self) -> HealthSnapshot:
        return health.snapshot(self._transport, android=False)

    def judge(self, before: HealthSnapshot, after: HealthSnapshot, cores: Collection[int]) -> Sequence[Reason]:
        del cores
        return [reason for reason in voids(before, after, ()) if reason.id == "rebooted"]

    def recover(self, error: DeviceLostError) -> None:
        raise error

    @property
    def changes(self) -> Sequence[Change]:
        return ()

    @property
    def most_drift(self) -> float | None:
        return None
