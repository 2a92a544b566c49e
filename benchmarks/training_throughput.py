"""Images per second of the training loop, beside a bare torch loop over tensors that are ready on the device.

Both train the same network, batch and optimiser. The loop shuffles, gathers, augments, normalises, schedules and keeps
its curve; the bare one does forward, backward and step, again and again on one batch. Blocks of steps take turns, and
what is printed is the median of the blocks' ratios, with the range of their middle half.

    python benchmarks/training_throughput.py
    python benchmarks/training_throughput.py --recipe strong --space mobile --batch 8 --steps 4
    python benchmarks/training_throughput.py --device cuda --space mobile --batch 256 --mixed-precision
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional

from search.accelerator import accelerator_name, torch_device
from search.architecture import assemble
from search.augment import Augmentation
from search.data.batches import TrainingBatches
from search.data.dataset import ImageData
from search.network import Network, channels_last
from search.space import SearchSpace, load_space
from search.training import Training, TrainingSettings, weight_decay_groups

Step = Callable[[int], object]

STRONG = Augmentation(crop_scale=(0.08, 1.0), brightness=0.4, contrast=0.4)
IMAGES = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="demo")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=40, help="of a block")
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--recipe", choices=("default", "strong"), default="default", help="of augmentation")
    parser.add_argument("--average", action="store_true", help="with averaged weights")
    parser.add_argument("--mixed-precision", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    figures = compare(arguments)
    print(
        f"space {arguments.space}, batch {arguments.batch}, {arguments.recipe} augmentation, {figures['device']}, "
        f"{arguments.threads} threads of torch"
    )
    print(f"loop       {figures['images_per_s']:>10.0f} images/s")
    print(f"bare loop  {figures['bare_images_per_s']:>10.0f} images/s")
    print(f"ratio      {figures['ratio']:>10.3f}   (middle half {figures['low']:.3f} to {figures['high']:.3f})")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def compare(arguments: argparse.Namespace) -> dict[str, float | str]:
    """Medians over blocks, the first of each kind left out."""
    space, device = load_space(arguments.space), torch_device(arguments.device)
    augmentation = STRONG if arguments.recipe == "strong" else Augmentation()
    batches = TrainingBatches.of(
        images_for(space, arguments.batch), batch_size=arguments.batch, seed=0, augmentation=augmentation, device=device
    )
    settings = TrainingSettings(
        steps=10_000_000,
        batch_size=arguments.batch,
        mixed_precision=arguments.mixed_precision,
        ema_decay=0.999 if arguments.average else None,
    )
    architecture = assemble(space, [0] * len(space.edges), "first of every edge")
    training = Training(architecture, settings, batches)
    bare = bare_loop(channels_last(Network(architecture, dropout=settings.dropout)).to(device), settings, batches)
    rates: dict[str, list[float]] = {"loop": [], "bare": []}
    number = 0
    for block in range(arguments.blocks + 1):
        for name, step in (("loop", training.step), ("bare", bare)):
            seconds = timed(step, range(number, number + arguments.steps), device)
            if block:
                rates[name].append(arguments.steps * arguments.batch / seconds)
        number += arguments.steps
    ratios = sorted(loop / other for loop, other in zip(rates["loop"], rates["bare"], strict=True))
    return {
        "device": accelerator_name(device),
        "images_per_s": statistics.median(rates["loop"]),
        "bare_images_per_s": statistics.median(rates["bare"]),
        "ratio": statistics.median(ratios),
        "low": ratios[len(ratios) // 4],
        "high": ratios[-1 - len(ratios) // 4],
    }


def images_for(space: SearchSpace, batch: int) -> ImageData:
    """Noise in the space's form: what is in an image makes no difference to the time it takes."""
    form = (space.image_channels, space.resolution, space.resolution)
    classes = tuple(str(number) for number in range(space.classes))
    count = max(IMAGES, 4 * batch, len(classes))
    images = torch.randint(0, 256, (count, *form), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(count) % len(classes)
    return ImageData("noise", classes, images, labels, images[:1], labels[:1], "noise", None)


def bare_loop(network: Network, settings: TrainingSettings, batches: TrainingBatches) -> Step:
    """Forward, backward and step on one batch that lies ready."""
    images, labels = batches.at(0)
    optimizer = torch.optim.SGD(
        weight_decay_groups(network, settings.weight_decay),
        lr=1e-4,
        momentum=settings.momentum,
        nesterov=True,
    )
    network.train()

    def step(_number: int) -> None:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=settings.mixed_precision):
            logits = network(images)
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=settings.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def timed(step: Step, numbers: range, device: torch.device) -> float:
    """Seconds of these steps, the device's work done."""
    wait(device)
    started = time.perf_counter()
    for number in numbers:
        step(number)
    wait(device)
    return time.perf_counter() - started


def wait(device: torch.device) -> None:
    """Until the device has nothing left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
