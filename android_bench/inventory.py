"""Every device that can be seen: this machine, the phones that the adb server knows, and those that the user named."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from android_bench.adb.adb_program import AdbProgram
from android_bench.adb.advice import advice, is_network_serial
from android_bench.adb.channel import Channel
from android_bench.adb.greeting import Greeting, greet
from android_bench.adb.lock import LockState, PhoneLock
from android_bench.adb.phone import (
    TransportKind,
    android_version,
    full_model,
    full_soc,
    open_channel,
    parse_address,
    supported_abi,
    transport_kind,
)
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.adb.streamed import StreamedTransport
from android_bench.device import LOCAL
from android_bench.errors import DeviceLostError, DeviceUnauthorizedError
from android_bench.local import local_info
from android_bench.parsers.adb_devices import AdbDevice, parse_adb_devices
from android_bench.parsers.text import name as printable
from pocketnas_base.errors import DeviceError, InputError, MissingDependencyError

# How long a phone may take to connect, to say who it is, and to ask its owner. A list must not wait for one of many.
PATIENCE_S = 5.0
_MOST_AT_ONCE = 16
_MOST_WORDS = 1000


@dataclass(frozen=True, slots=True)
class SeenDevice:
    """One device. id: what `-d` takes. name: the user's own name for it. transport: how it is reached.

    state: `ready`; `busy` while somebody measures on it; `unreachable`; `unsupported`; `failed`; `not connected`; or
    adb's word, such as `unauthorized` or `offline`. advice: in one line, what is the matter and what to do about it; ""
    for a device that is ready. model, soc, os_version, abi: None while it does not say.
    """

    id: str
    name: str | None
    transport: TransportKind | Literal["local"]
    state: str
    advice: str = ""
    model: str | None = None
    soc: str | None = None
    os_version: str | None = None
    abi: str | None = None

    @property
    def is_ready(self) -> bool:
        return self.state == "ready"


@dataclass(frozen=True, slots=True)
class Attached:
    """The phones that the adb server lists. problem: why it cannot be asked, and what to do about that."""

    phones: tuple[AdbDevice, ...]
    problem: str | None = None

    def find(self, serial: str) -> AdbDevice | None:
        """The phone of that serial, where the server lists it."""
        return next((phone for phone in self.phones if phone.serial == serial), None)


@dataclass(frozen=True, slots=True)
class Inventory:
    """All devices, this machine first. adb_problem: see `Attached`."""

    devices: tuple[SeenDevice, ...]
    adb_problem: str | None


def attached_phones() -> Attached:
    """Ask the adb server, and start it where none runs."""
    try:
        return Attached(parse_adb_devices(AdbProgram().devices()))
    except (DeviceError, MissingDependencyError) as error:
        return Attached((), words_of(error))


def take_inventory(names: Mapping[str, str]) -> Inventory:
    """Look for every device; phones are asked side by side. names: the user's own, each with what `-d` takes."""
    attached = attached_phones()
    ids = dict.fromkeys([LOCAL, *(phone.serial for phone in attached.phones), *names.values()])
    with ThreadPoolExecutor(max_workers=_MOST_AT_ONCE) as pool:
        devices = pool.map(lambda id: see(id, attached, names), ids)
        return Inventory(tuple(devices), attached.problem)


def see(id: str, attached: Attached, names: Mapping[str, str]) -> SeenDevice:
    """Look at one device. Raises InputError for an id that is none."""
    name = next((name for name, named in names.items() if named == id), None)
    if id == LOCAL:
        return _see_local(name)
    phone = attached.find(id)
    if phone is not None:
        by_adb: TransportKind = "adb-network" if is_network_serial(id) else "adb-usb"
        if phone.state == "device":
            return _see_phone(id, name, by_adb)
        return SeenDevice(id, name, by_adb, phone.state, advice(phone), model=phone.model)
    transport = transport_kind(id)
    if transport in ("tcp", "usb"):
        return _see_phone(id, name, transport)
    return SeenDevice(id, name, transport, "not connected", attached.problem or "adb knows no such phone; connect it")


def impatient_channel(id: str) -> Channel:
    """The way to a phone, for a look that must not take long."""
    if not id.startswith("tcp:"):
        return open_channel(id)
    from android_bench.adb.adb_shell_channel import AdbShellChannel, TcpSocket

    host, port = parse_address(id)
    return AdbShellChannel(
        id, lambda: TcpSocket(host, port), consent_timeout_s=PATIENCE_S, connect_timeout_s=PATIENCE_S
    )


def _see_local(name: str | None) -> SeenDevice:
    try:
        info = local_info()
    except MissingDependencyError as error:
        return SeenDevice(LOCAL, name, "local", "unsupported", str(error))
    return SeenDevice(LOCAL, name, "local", "ready", "", info.model, info.soc, info.os_version, info.abi)


def _see_phone(id: str, name: str | None, transport: TransportKind) -> SeenDevice:
    try:
        channel = impatient_channel(id)
    except (DeviceError, InputError, MissingDependencyError) as error:
        return SeenDevice(id, name, transport, state_after(error), words_of(error))
    try:
        greeting = greet(channel, within_s=PATIENCE_S)
        state, advice = _judge(channel, greeting)
    except (DeviceError, MissingDependencyError) as error:
        return SeenDevice(id, name, transport, state_after(error), words_of(error))
    finally:
        with suppress(DeviceError):
            channel.close()
    identity = greeting.identity
    return SeenDevice(
        id=id,
        name=name,
        transport=transport,
        state=state,
        advice=advice,
        model=full_model(identity),
        soc=full_soc(identity),
        os_version=android_version(identity),
        abi=next(iter(identity.abis), None),
    )


def state_after(error: Exception) -> str:
    """The word for a phone that failed like that."""
    if isinstance(error, DeviceUnauthorizedError):
        return "unauthorized"
    return "unreachable" if isinstance(error, DeviceLostError) else "failed"


def words_of(error: Exception) -> str:
    """An error in one line that can be shown: a device may have had its word in it."""
    return printable(str(error), _MOST_WORDS) or type(error).__name__


def unsupported(id: str, greeting: Greeting) -> str | None:
    """Why PocketNAS cannot measure on a phone; None where it can."""
    if greeting.missing_tools:
        return f"it lacks {', '.join(greeting.missing_tools)}, which Android 8 and newer bring"
    try:
        supported_abi(id, greeting.identity)
    except DeviceError as error:
        return str(error)
    return None


def _judge(channel: Channel, greeting: Greeting) -> tuple[str, str]:
    """The state of a phone that answers, and what to do about it."""
    reason = unsupported(channel.name, greeting)
    if reason is not None:
        return "unsupported", reason
    transport = StreamedTransport(PhoneTransport(channel, patience_s=PATIENCE_S))
    holder = PhoneLock(transport, channel.name).look()
    if holder.state == "held":
        return "busy", f"{held_by(holder)}; {how_to_unlock(channel.name)}"
    return "ready", ""


def held_by(lock: LockState) -> str:
    """Who measures on a phone that is locked."""
    return f"{lock.holder or 'somebody'} measures on it, for at most {lock.left_s} s more"


def how_to_unlock(id: str) -> str:
    """What to do about a phone that is locked."""
    return f"wait, or if that host is gone: pocketnas doctor -d {id} --unlock"
