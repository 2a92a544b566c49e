"""What can go wrong between this host and a device. All are `DeviceError`s: one line, and what to do about it."""

from pocketnas_base.errors import DeviceError, MeasurementError


class UnreadableOutputError(DeviceError):
    """A device or a tool printed something else than what it is known to print."""


class DeviceLostError(DeviceError):
    """The connection died, or the device fell silent. The same may succeed once the device is back."""


class DeviceSilentError(DeviceLostError):
    """The connection may stand, but nothing was heard for longer than agreed."""


class DeviceUnauthorizedError(DeviceError):
    """The device's owner has not allowed this host yet."""


class DeviceBusyError(DeviceError):
    """Somebody else is measuring on the device."""


class TookTooLongError(DeviceError):
    """A program outlived its time and was stopped; the device is there."""


class StorageFullError(DeviceError):
    """The device has no room left where measurements are made."""


class DamagedTransferError(DeviceError):
    """What arrived is not what was sent."""


class MarkerMissingError(DeviceLostError):
    """A program's output ended without word of how the program ended."""


class DamagedLineError(MeasurementError):
    """A line of a runner whose checksum is missing or wrong."""
