"""What a search's settings choose between, by name.

Apart from what bears the names, so that a configuration is read, and refused, without torch.
"""

from typing import Literal

Start = Literal["even", "target"]
"""Of the probabilities: search.start."""
WarmupPaths = Literal["sampled", "fair", "fair-without-zero"]
"""Of the weight steps: search.path_order."""
LossKind = Literal["add#linear", "mul#log", "none"]
"""Of latency: search.latency_loss."""
UpdateMode = Literal["two-path", "one-path", "all-paths", "reinforce", "tunas"]
"""Of the architecture parameters: search.updates."""
REWARD_MODES: tuple[UpdateMode, ...] = ("reinforce", "tunas")
