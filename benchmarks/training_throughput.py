"""Images per second of the training loop, beside a bare torch loop over tensors that are ready on the device.

Both train the same network, batch and optimiser. The loop shuffles, gathers, augments, normalises, schedules and keeps
its curve; the bare one does forward, backward and step, again and again on one batch. Blocks of steps take turns, and
what is printed is the median of the blocks' ratios, with the range of their middle half.

With --compressed the loop's images come from Parquet files of JPEG or PNG images, read as the product reads them: all
of them are decoded once, before the first step. Printed as well is how long that takes, and how many images per second
the batches alone deliver afterwards (gathered, augmented, normalised), beside those that the loop trains.

    python benchmarks/training_throughput.py
    python benchmarks/training_throughput.py --recipe strong --space mobile --batch 8 --steps 4
    python benchmarks/training_throughput.py --compressed JPEG --encoded-pixels 400 --space mobile --batch 8 --steps 4
    python benchmarks/training_throughput.py --device cuda --space mobile --batch 256 --mixed-precision
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from compressed import ENCODINGS, Decoded, decoded_images
from record import write_figures
from torch.nn import functional

from search.accelerator import accelerator_name, torch_device
from search.architecture import assemble
from search.augment import Augmentation
from search.data.batches import TrainingBatches
from search.data.dataset import ImageData
from search.network import Network, channels_last
from search.space import Space, load_space
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
    parser.add_argument("--compressed", choices=ENCODINGS, help="decode the images from Parquet files of these")
    parser.add_argument("--images", type=int, default=IMAGES, help="at least so many")
    parser.add_argument("--encoded-pixels", type=int, help="with --compressed, their size; left out, the space's")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    space = load_space(arguments.space)
    with images_for(space, arguments) as (data, decoded):
        figures = compare(arguments, space, data)
        if decoded:
            figures |= beside_decoding(arguments, data, decoded, float(figures["images_per_s"]))
    print(
        f"space {arguments.space}, batch {arguments.batch}, {arguments.recipe} augmentation, {figures['device']}, "
        f"{arguments.threads} threads of torch"
    )
    print(f"loop       {figures['images_per_s']:>10.0f} images/s")
    print(f"bare loop  {figures['bare_images_per_s']:>10.0f} images/s")
    print(f"ratio      {figures['ratio']:>10.3f}   (middle half {figures['low']:.3f} to {figures['high']:.3f})")
    if arguments.compressed:
        show_decoding(figures)
    if arguments.json:
        write_figures(arguments.json, figures)


def compare(arguments: argparse.Namespace, space: Space, data: ImageData) -> dict[str, float | str]:
    """Medians over blocks, the first of each kind left out."""
    device, batches = torch_device(arguments.device), batches_of(arguments, data)
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


def batches_of(arguments: argparse.Namespace, data: ImageData) -> TrainingBatches:
    """The batches of the recipe, from the first on."""
    augmentation = STRONG if arguments.recipe == "strong" else Augmentation()
    device = torch_device(arguments.device)
    return TrainingBatches.of(data, batch_size=arguments.batch, seed=0, augmentation=augmentation, device=device)


@contextmanager
def images_for(space: Space, arguments: argparse.Namespace) -> Iterator[tuple[ImageData, Decoded | None]]:
    """Made-up images in the space's form, in memory; decoded from files with --compressed."""
    count = max(arguments.images, 4 * arguments.batch, space.classes)
    if arguments.compressed is None:
        yield noise(space, count), None
        return
    pixels = arguments.encoded_pixels or space.resolution
    with decoded_images(space, count, arguments.compressed, pixels) as decoded:
        yield decoded.data, decoded


def noise(space: Space, count: int) -> ImageData:
    """What is in an image makes no difference to the time that its training takes."""
    form = (space.image_channels, space.resolution, space.resolution)
    classes = tuple(str(number) for number in range(space.classes))
    images = torch.randint(0, 256, (count, *form), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(count) % len(classes)
    return ImageData("noise", classes, images, labels, images[:1], labels[:1], "noise", None)


def beside_decoding(
    arguments: argparse.Namespace, data: ImageData, decoded: Decoded, trained_per_s: float
) -> dict[str, float | str]:
    """What it took to decode, what the batches alone deliver, and how that compares with what the loop trains."""
    delivered = delivered_per_s(arguments, data)
    return {
        "encoding": arguments.compressed,
        "encoded_pixels": arguments.encoded_pixels or data.resolution,
        "images": decoded.count,
        "file_mib": decoded.file_bytes / 2**20,
        "decode_workers": os.cpu_count() or 1,
        "decode_s": decoded.decode_s,
        "decoded_images_per_s": decoded.decoded_per_s,
        "cached_s": decoded.cached_s,
        "delivered_images_per_s": delivered,
        "first_epoch_images_per_s": 1 / (1 / decoded.decoded_per_s + 1 / delivered),
        "delivered_over_trained": delivered / trained_per_s,
    }


def delivered_per_s(arguments: argparse.Namespace, data: ImageData) -> float:
    """Images per second of the batches with nobody training on them: the median over blocks, the first left out."""
    batches, device = batches_of(arguments, data), torch_device(arguments.device)
    rates = []
    for block in range(arguments.blocks + 1):
        numbers = range(block * arguments.steps, (block + 1) * arguments.steps)
        seconds = timed(batches.at, numbers, device)
        rates.append(arguments.steps * arguments.batch / seconds)
    return statistics.median(rates[1:])


def show_decoding(figures: dict[str, float | str]) -> None:
    """What is printed of `beside_decoding`."""
    print(
        f"decoded    {figures['decoded_images_per_s']:>10.0f} images/s, once: {figures['images']} "
        f"{figures['encoding']} images of {figures['encoded_pixels']} pixels ({figures['file_mib']:.0f} MiB) in "
        f"{figures['decode_s']:.2f} s by {figures['decode_workers']} workers; from the cache in "
        f"{figures['cached_s']:.2f} s"
    )
    print(
        f"delivered  {figures['delivered_images_per_s']:>10.0f} images/s by the batches alone, "
        f"{figures['delivered_over_trained']:.1f} times what the loop trains"
    )
    print(f"first epoch{figures['first_epoch_images_per_s']:>10.0f} images/s decoded and delivered")


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
