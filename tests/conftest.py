"""How properties are drawn: `make test` draws the same examples every time, `make test-all` new ones."""

from hypothesis import settings

# No deadline: how long an example takes says something of the machine, not of what is tested.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("exploring", derandomize=False, deadline=None, print_blob=True)
settings.load_profile("repeatable")
