"""A fault campaign: what becomes of a measurement when anything between host and phone goes wrong."""

import sys
from pathlib import Path

# Started in the folder `tests` (`python -m faults.campaign`), its folder android_bench would hide the package.
_ROOT = str(Path(__file__).parents[2])
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)
