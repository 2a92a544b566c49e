"""The whole circle on Fashion-MNIST with budgets too small to mean anything, through the command line."""

import subprocess
import sys
from pathlib import Path

from real_images import need_fashion_mnist

_CONFIG = """
name = "NAME"
space = "SPACE"
host_threads = 1
WHERE
[data]
source = "fashion-mnist"
holdout = 10000

[table]
processes = PROCESSES

[search]
target_ratio = RATIO
warmup_steps = 6
steps = 8
batch_size = 32
arch_learning_rate = 0.05
arch_every = 1
hold_target = true
derive = "target"

[train]
steps = 40
batch_size = 64
learning_rate = 0.1

[baseline]
multipliers = MULTIPLIERS

[export]
EXPORT

[rebench]
processes = PROCESSES
"""


def write_config(
    folder: Path,
    *,
    name: str = "tiny",
    space: str = "demo",
    where: str = "",
    processes: int = 3,
    calibration: int | None = 7,
    ratio: float = 0.6,
    multipliers: str = "[0.5, 1.0]",
    export: str = "",
) -> Path:
    """The configuration NAME.toml in `folder`; skips the test where there are no images. where: of the device, lines at
    the top. calibration: networks; None leaves them to the run. export: lines of its section."""
    need_fashion_mnist()
    text = _CONFIG if calibration is None else _CONFIG.replace("[search]", f"calibration = {calibration}\n\n[search]")
    for word, value in (
        ("NAME", name),
        ("SPACE", space),
        ("WHERE", where),
        ("PROCESSES", processes),
        ("RATIO", ratio),
        ("MULTIPLIERS", multipliers),
        ("EXPORT", export),
    ):
        text = text.replace(word, str(value))
    (folder / f"{name}.toml").write_text(text)
    return folder / f"{name}.toml"


def command(*words: str | Path) -> list[str]:
    """A call of the command line in a process of its own."""
    return [sys.executable, "-c", "from pocketnas.cli import main; main()", *map(str, words)]


def pocketnas(*words: str | Path, timeout_s: float = 400) -> subprocess.CompletedProcess[str]:
    """One call, to its end."""
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=timeout_s, check=False)
