"""How properties are drawn: `make test` draws the same examples every time, `make test-all` new ones. And which files
come first: those that take minutes."""

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says something of the machine, not of what is tested; a folder may serve many examples.
_LENIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.register_profile("repeatable", _LENIENT, derandomize=True)
settings.register_profile("exploring", _LENIENT, derandomize=False, print_blob=True)
settings.load_profile("repeatable")

# `--dist loadfile` hands out whole files. Begun late, one of these would run alone at the end, the other core idle.
LONGEST_FILES = (
    "test_circle.py",
    "test_export_model.py",
    "test_run.py",
    "test_bench.py",
    "test_faults.py",
    "test_bad_input.py",
    "test_export_command.py",
    "test_doctor.py",
    "test_copies.py",
    "test_export_network.py",
    "test_phone_session.py",
    "test_pte_blocks.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: number for number, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: order.get(item.path.name, len(LONGEST_FILES)))
