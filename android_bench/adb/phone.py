"""A phone as a device: who it is, and how it is reached by the name that the user gave."""

import re
from collections.abc import Callable
from typing import Literal

from android_bench.adb.adb_program import AdbProgram, AdbProgramChannel
from android_bench.adb.advice import is_network_serial
from android_bench.adb.channel import Channel
from android_bench.adb.greeting import greet
from android_bench.adb.phone_guard import PhoneGuard
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.adb.phone_workspace import PhoneWorkspace
from android_bench.device import Core, Device, DeviceInfo
from android_bench.errors import UnreadableOutputError
from android_bench.parsers.cpu import CPU_FILES, CPUINFO, core_parts, cpu_state
from android_bench.parsers.files import parse_files
from android_bench.parsers.getprop import PhoneIdentity, parse_identity
from android_bench.runner.abi import ABIS, Abi
from pocketnas_base.errors import DeviceError, InputError

OLDEST_SDK = 26
TransportKind = Literal["adb-usb", "adb-network", "tcp", "usb"]
"""Through the adb server, which reaches the phone over USB or the network; or without it, by adb-shell."""

_SERIAL = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9._:%()\[\] -]{0,200}")
_TIMEOUT_S = 30.0


def open_channel(name: str, *, ask: Callable[[str], None] = lambda _: None) -> Channel:
    """The way to a phone: `tcp:HOST:PORT`, `usb` and `usb:SERIAL` do without an adb server; anything else is a serial
    that the server knows. ask: told when the phone's owner must consent. Raises InputError for a name that is none."""
    from android_bench.adb.adb_shell_channel import AdbShellChannel

    match transport_kind(name):
        case "tcp":
            host, port = parse_address(name)
            return AdbShellChannel.tcp(host, port, ask=ask)
        case "usb":
            return AdbShellChannel.usb(name[4:] or None, ask=ask)
        case _:
            return AdbProgramChannel(AdbProgram(), name)


def transport_kind(name: str) -> TransportKind:
    """How a phone of that name is reached. Raises InputError for a name that is none."""
    if name.startswith("tcp:"):
        parse_address(name)
        return "tcp"
    if name == "usb" or name.startswith("usb:"):
        return "usb"
    if not _SERIAL.fullmatch(name):
        raise InputError(f"{name!r} is no device: give an adb serial, tcp:HOST:PORT, usb:SERIAL, or local")
    return "adb-network" if is_network_serial(name) else "adb-usb"


def parse_address(name: str) -> tuple[str, int]:
    """The host and port of `tcp:HOST:PORT`; an IPv6 host stands in brackets. Raises InputError."""
    found = re.fullmatch(r"tcp:(?:\[([0-9A-Fa-f:.%a-z]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", name)
    if found is None or not 0 < int(found[3]) < 65536:
        raise InputError(f"{name!r} is no address: give tcp:HOST:PORT, such as tcp:192.168.1.20:5555")
    return found[1] or found[2], int(found[3])


def open_phone(name: str, *, say: Callable[[str], None] = lambda _: None, channel: Channel | None = None) -> Device:
    """A phone, identified. say: told while one has to wait. channel: the way to it, where that is not in its name.

    Raises DeviceError when it cannot be reached or is too old, DeviceUnauthorizedError while its owner has not
    consented, InputError for a name that is none.
    """
    channel = channel or open_channel(name, ask=say)
    greeting = greet(channel, within_s=_TIMEOUT_S)
    # Before anything is written to it, since a transport keeps a folder there.
    supported_abi(name, greeting.identity)
    if greeting.missing_tools:
        raise DeviceError(f"{name} lacks {', '.join(greeting.missing_tools)}: Android 8 or newer is needed")
    transport = PhoneTransport(channel)
    identity = identify(transport)
    info = phone_info(transport, identity, say=say)
    workspace = PhoneWorkspace(transport, info.abi, say)
    return Device(name, info, transport, workspace, PhoneGuard(transport, identity, say=say))


def identify(transport: PhoneTransport) -> PhoneIdentity:
    """What a phone's properties say of it."""
    done = transport.run(("getprop",), timeout_s=_TIMEOUT_S)
    if done.exit_status != 0:
        raise DeviceError(f"{transport.name} has no getprop: it does not run Android")
    return parse_identity(done.stdout)


def full_model(identity: PhoneIdentity) -> str | None:
    """Maker and model."""
    return " ".join(word for word in (identity.manufacturer, identity.model) if word) or None


def full_soc(identity: PhoneIdentity) -> str | None:
    """Maker and model of the chip."""
    return " ".join(word for word in (identity.soc_manufacturer, identity.soc) if word) or None


def android_version(identity: PhoneIdentity) -> str | None:
    """Such as `Android 14`."""
    return f"Android {identity.release}" if identity.release else None


def supported_abi(name: str, identity: PhoneIdentity) -> Abi:
    """What runners for the phone `name` are built for. Raises DeviceError for a phone that no runner exists for."""
    if identity.sdk is not None and identity.sdk < OLDEST_SDK:
        raise DeviceError(f"{name} runs Android {identity.release}; Android 8 or newer is needed")
    # The phone names its own first, before those that it translates.
    for native in identity.abis:
        for abi in ABIS:
            if native == abi:
                return abi
    told = ", ".join(identity.abis) or "it does not say which"
    raise DeviceError(f"{name} runs programs for {told}; runners exist for {' and '.join(ABIS)}")


def phone_info(
    transport: PhoneTransport, identity: PhoneIdentity, *, say: Callable[[str], None] = lambda _: None
) -> DeviceInfo:
    """What latency depends on. say: told of cores that cannot be asked now, since they are offline. Raises DeviceError
    for a phone that no runner exists for."""
    abi = supported_abi(transport.name, identity)
    files = " ".join(CPU_FILES)
    done = transport.run(
        ("sh", "-c", f'uname -r; {CPUINFO}; echo; grep -s -H "" {files}'),
        timeout_s=_TIMEOUT_S,
    )
    head, separator, listing = done.stdout.partition(b"\n\n")
    if not separator:
        raise UnreadableOutputError(f"{transport.name} does not say what its cores are")
    kernel, _, cpuinfo = head.decode(errors="replace").partition("\n")
    features = next((line for line in cpuinfo.splitlines() if line.startswith(("Features", "flags"))), "")
    parts = core_parts(cpuinfo)
    state = cpu_state(parse_files(listing))
    if not state.cores:
        raise DeviceError(f"{transport.name} lets nobody read which cores it has (/sys/devices/system/cpu)")
    if state.offline:
        say(
            f"{transport.name} has cores {', '.join(map(str, state.offline))} offline, maybe its fastest: they are not"
            " used, and it counts as another device than with them; wake it, and call again"
        )
    return DeviceInfo(
        model=full_model(identity),
        soc=full_soc(identity),
        abi=abi,
        os_version=android_version(identity),
        kernel=kernel.strip()[:200] or None,
        cpu_features=tuple(sorted(features.partition(":")[2].split())) or None,
        cores=tuple(
            Core(core.number, core.cpuinfo_max_freq_khz, parts.get(core.number))
            for core in state.cores
            if core.online is not False
        ),
        build=identity.fingerprint,
    )
