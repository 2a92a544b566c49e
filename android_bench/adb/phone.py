"""A phone as a device: who it is, and how it is reached by the name that the user gave."""

import re
from collections.abc import Callable

from android_bench.adb.adb_program import AdbProgram, AdbProgramChannel
from android_bench.adb.channel import Channel
from android_bench.adb.phone_guard import PhoneGuard
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.adb.phone_workspace import PhoneWorkspace
from android_bench.device import Core, Device, DeviceInfo
from android_bench.errors import UnreadableOutputError
from android_bench.parsers.cpu import CPU_FILES, cpu_state
from android_bench.parsers.files import parse_files
from android_bench.parsers.getprop import PhoneIdentity, parse_identity
from android_bench.runner.abi import Abi
from pocketnas_base.errors import DeviceError, InputError

OLDEST_SDK = 26
_TIMEOUT_S = 30.0
_ABIS: tuple[Abi, ...] = ("arm64-v8a", "x86_64")


def open_channel(name: str, *, ask: Callable[[str], None] = lambda _: None) -> Channel:
    """The way to a phone: `tcp:HOST:PORT`, `usb` and `usb:SERIAL` do without an adb server; anything else is a serial
    that the server knows. ask: told when the phone's owner must consent. Raises InputError for a name that is none."""
    from android_bench.adb.adb_shell_channel import AdbShellChannel

    if name.startswith("tcp:"):
        host, port = parse_address(name)
        return AdbShellChannel.tcp(host, port, ask=ask)
    if name == "usb" or name.startswith("usb:"):
        return AdbShellChannel.usb(name[4:] or None, ask=ask)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:%()\[\] -]{0,200}", name):
        raise InputError(f"{name!r} is no device: give an adb serial, tcp:HOST:PORT, usb:SERIAL, or local")
    return AdbProgramChannel(AdbProgram(), name)


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
    transport = PhoneTransport(channel or open_channel(name, ask=say))
    identity = identify(transport)
    info = phone_info(transport, identity)
    workspace = PhoneWorkspace(transport, info.abi)
    return Device(name, info, transport, workspace, PhoneGuard(transport, identity, say=say))


def identify(transport: PhoneTransport) -> PhoneIdentity:
    """What a phone's properties say of it."""
    done = transport.run(("getprop",), timeout_s=_TIMEOUT_S)
    if done.exit_status != 0:
        raise DeviceError(f"{transport.name} has no getprop: it does not run Android")
    return parse_identity(done.stdout)


def phone_info(transport: PhoneTransport, identity: PhoneIdentity) -> DeviceInfo:
    """What latency depends on. Raises DeviceError for a phone that no runner exists for."""
    if identity.sdk is not None and identity.sdk < OLDEST_SDK:
        raise DeviceError(f"{transport.name} runs Android {identity.release}; Android 8 or newer is needed")
    abi = next((abi for abi in _ABIS if abi in identity.abis), None)
    if abi is None:
        told = ", ".join(identity.abis) or "it does not say which"
        raise DeviceError(f"{transport.name} runs programs for {told}; runners exist for {' and '.join(_ABIS)}")
    files = " ".join(CPU_FILES)
    done = transport.run(
        ("sh", "-c", f'uname -r; grep -m1 -E "^(Features|flags)" /proc/cpuinfo; echo; grep -s -H "" {files}'),
        timeout_s=_TIMEOUT_S,
    )
    head, separator, listing = done.stdout.partition(b"\n\n")
    if not separator:
        raise UnreadableOutputError(f"{transport.name} does not say what its cores are")
    kernel, _, features = head.decode(errors="replace").partition("\n")
    cores = cpu_state(parse_files(listing)).cores
    if not cores:
        raise DeviceError(f"{transport.name} lets nobody read which cores it has (/sys/devices/system/cpu)")
    return DeviceInfo(
        model=" ".join(word for word in (identity.manufacturer, identity.model) if word) or None,
        soc=" ".join(word for word in (identity.soc_manufacturer, identity.soc) if word) or None,
        abi=abi,
        os_version=f"Android {identity.release}" if identity.release else None,
        kernel=kernel.strip()[:200] or None,
        cpu_features=tuple(sorted(features.partition(":")[2].split())) or None,
        cores=tuple(Core(core.number, core.cpuinfo_max_freq_khz) for core in cores if core.online is not False),
        build=identity.fingerprint,
    )
