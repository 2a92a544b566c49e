"""One hierarchy of errors. The message says what happened, to which device or file, and what to do next."""


class PocketNASError(Exception):
    """The work failed. The command line prints the message as one line and exits with `exit_code`."""

    exit_code = 1


class InputError(PocketNASError):
    """What the user gave cannot be used: an option, a configuration, a file, a name."""

    exit_code = 2


class DataError(InputError):
    """A data set is missing, unreadable or not what it claims to be."""


class DeviceError(PocketNASError):
    """A device cannot be reached, or is not fit to measure."""


class MeasurementError(PocketNASError):
    """A measurement could not be taken, or its outcome cannot be trusted."""


class ExportError(PocketNASError):
    """A model could not be converted, or the converted file does not compute what the model computes."""


class MissingDependencyError(PocketNASError):
    """A library or a program that this step needs is not installed."""
