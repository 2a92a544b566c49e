"""The fixtures that tests of the lookalike itself use."""

from lookalike.fixtures import adb_key, adb_server, phone, start_phone

__all__ = ["adb_key", "adb_server", "phone", "start_phone"]
