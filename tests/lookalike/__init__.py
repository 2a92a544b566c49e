"""A phone lookalike for tests: a real adbd in an Android-shaped root, see `lookalike.py`."""
