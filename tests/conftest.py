"""How properties are drawn: `make test` draws the same examples every time, `make test-all` new ones."""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
settings.register_profile("exploring", derandomize=False, print_blob=True)
settings.load_profile("repeatable")
