"""Phones for tests of the command line."""

from lookalike.fixtures import adb_key, adb_server, phone, start_phone  # noqa: F401
