"""How properties are drawn: `make test` draws the same examples every time, `make test-all` new ones."""

from hypothesis import HealthCheck, settings

# How long an example takes says something of the machine, not of what is tested; a folder may serve many examples.
_LENIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.register_profile("repeatable", _LENIENT, derandomize=True)
settings.register_profile("exploring", _LENIENT, derandomize=False, print_blob=True)
settings.load_profile("repeatable")
