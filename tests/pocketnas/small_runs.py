"""A run that compares searches within a test: a tiny space, noise for images, a table made up for it."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from sample_tables import row, table_info

from latency.opspec import OpSpec
from latency.table import LatencyTable
from search.space import SearchSpace, load_space
from search.zoo import mobilenet_v2_family

SPACE = """
name = "tiny"
resolution = 16
image_channels = 1
classes = 4
kernels = [3, 5]
expansions = [3, 6]
zero = true
stem = { width = 8, kernel = 3, stride = 2 }
first = { width = 8, kernel = 3, expansion = 1 }
stages = [{ width = 8, cells = 2, stride = 1 }, { width = 16, cells = 2, stride = 2 }]
head = { width = 16 }
"""
MINI = """
name = "mini"
resolution = 16
image_channels = 1
classes = 4
kernels = [3]
expansions = [3]
zero = true
stem = { width = 4, kernel = 3, stride = 2 }
first = { width = 4, kernel = 3, expansion = 1 }
stages = [{ width = 4, cells = 1, stride = 1 }, { width = 8, cells = 1, stride = 2 }]
head = { width = 8 }
"""
CONFIG = """
name = "small"
space = "SPACE"
host_threads = 1
[data]
source = "DATA"
holdout = 16
[table]
use = "TABLE"
[search]
target_ratio = 0.9
warmup_steps = 2
steps = 4
batch_size = 8
arch_every = 2
[train]
steps = 4
batch_size = 8
learning_rate = 0.1
[baseline]
multipliers = [0.5, 1.0, 1.5, 2.0]
[compare]
evaluations = 4
population = 2
candidates = 2
candidate_steps = 2
per_update = 1
recalibration_images = 16
scoring_images = 16
"""


def write_images(folder: Path) -> None:
    """Noise in four classes of brightness: something that a few steps can learn."""
    drawn = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 6)):
        for label in range(4):
            place = folder / part / f"class{label}"
            place.mkdir(parents=True)
            for number in range(count):
                pixels = (drawn.integers(0, 80, (16, 16)) + 55 * label).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")


def made_up_table(space: SearchSpace, extra: Iterable[OpSpec] = (), *, slope: float = 1.0) -> LatencyTable:
    """A table of a machine that is not this one, whose times follow the operators' work."""
    ops = dict.fromkeys([*space.op_specs(), *extra])
    return LatencyTable(table_info(space), {op: row(0.01 + slope * op.macs / 2e6) for op in ops})


def write_run(folder: Path, *, with_family: bool = True, config: str = CONFIG) -> Path:
    """Space, images, table and configuration in `folder`; returns the configuration's path."""
    (folder / "tiny.toml").write_text(SPACE)
    space = load_space(str(folder / "tiny.toml"))
    write_images(folder / "images")
    family = mobilenet_v2_family(space, [0.5, 1.0, 1.5, 2.0]) if with_family else []
    made_up_table(space, [op for net in family for op in net.ops]).save(folder / "table.parquet")
    made_up_table(space, slope=2.0).save(folder / "slow.parquet")
    text = config.replace("SPACE", str(folder / "tiny.toml")).replace("DATA", str(folder / "images"))
    (folder / "config.toml").write_text(text.replace("TABLE", str(folder / "table.parquet")))
    return folder / "config.toml"
