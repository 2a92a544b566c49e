"""Which device the user means: by what `-d` says, by a name of the configuration, or because there is only one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from android_bench.adb.phone import transport_kind
from android_bench.device import LOCAL
from android_bench.inventory import Attached, attached_phones
from pocketnas.console import say
from pocketnas_base.errors import InputError

_NONE = "no phone is attached: connect one (README, Connect a phone), or measure this machine: -d local"


def resolve_device(name: str | None, names: Mapping[str, str]) -> str:
    """The device's id: `local`, an adb serial, tcp:HOST:PORT or usb:SERIAL.

    names: the configuration's own names, each with such an id. With `name` left out, the only phone that is attached
    and ready, which is said on stderr. Raises InputError when there is none or more than one, and for a name that
    cannot be any device's.
    """
    if name is None:
        return _only_phone(attached_phones())
    id = names.get(name, name)
    if id != LOCAL:
        transport_kind(id)
    return id


def names_in(config: Path | None) -> Mapping[str, str]:
    """The names that a configuration gives to devices. Raises InputError."""
    if config is None:
        return {}
    from pocketnas.config import load_config

    return load_config(config)[0].devices


def devices_by_name(asked: Sequence[str] | None, config: Path | None) -> list[str]:
    """What several `-d` mean, each device once; none stays none. Raises InputError as `resolve_device` does, and for a
    configuration that cannot be read."""
    names = names_in(config)
    return list(dict.fromkeys(resolve_device(name, names) for name in asked or ()))


def check_known(id: str) -> None:
    """Raise InputError for a serial that the adb server does not list; other ids are not looked up."""
    if id == LOCAL or not transport_kind(id).startswith("adb"):
        return
    attached = attached_phones()
    if attached.find(id) is not None:
        return
    if attached.problem is not None:
        raise InputError(f"unknown device {id!r}, and adb cannot be asked for it: {attached.problem}")
    known = ", ".join(phone.serial for phone in attached.phones) or "none"
    raise InputError(
        f"unknown device {id!r}: it is neither `local`, nor tcp:HOST:PORT, nor a phone that adb knows ({known})"
    )


def _only_phone(attached: Attached) -> str:
    usable = [phone for phone in attached.phones if phone.state == "device"]
    if len(usable) == 1:
        phone = usable[0]
        model = f" ({phone.model.replace('_', ' ')})" if phone.model else ""
        say(f"device: {phone.serial}{model}, the only phone that is attached")
        return phone.serial
    if usable:
        listed = ", ".join(phone.serial for phone in usable)
        raise InputError(f"{len(usable)} phones are attached: name one with -d: {listed}")
    if attached.problem is not None:
        raise InputError(f"no phone can be looked for: {attached.problem}; or measure this machine: -d local")
    if attached.phones:
        listed = ", ".join(f"{phone.serial} is {phone.state}" for phone in attached.phones)
        raise InputError(
            f"no phone is ready: {listed} (`pocketnas devices` says what to do); or measure this machine: -d local"
        )
    raise InputError(_NONE)
