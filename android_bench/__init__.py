"""Devices, the on-device runner, the measurement protocol and its raw samples. Knows nothing of operators or torch."""
