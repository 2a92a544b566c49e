"""Images and labels from a function of the user's own, named `module:function`.

The function is called as function(resolution=, channels=), the form that the space asks for, and returns a mapping:

    train_images, train_labels   and, if there are any, test_images, test_labels and classes

Images are uint8 from 0 to 255, square, a NumPy array (memory-mapped ones stay on disk) or a torch tensor of shape
[N, H, W], [N, H, W, C] or [N, C, H, W], C being 1 or 3; in the form asked for, they are used as they are, in another
they are resized and their channels converted. Labels are N whole numbers from 0, or N texts; classes names the numbers.
Without test images a fifth of every class is drawn. Nothing is cached: every process that trains calls the function.
"""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pocketnas_base.errors import DataError
from search.data.dataset import ImageData
from search.data.fit import fit_images
from search.data.folder import TEST_FRACTION, draw_test_images
from search.user_function import call_user_function

if TYPE_CHECKING:
    import numpy as np
    import torch

REQUIRED = ("train_images", "train_labels")
OPTIONAL = ("test_images", "test_labels", "classes")
MAX_CLASSES = 65_536
_CHANNELS = (1, 3)


def read_function(spec: str, *, resolution: int, channels: int) -> ImageData:
    """The data set that the user's function returns. Raises DataError naming the part that is not as it must be."""
    returned = call_user_function(spec, "data", resolution=resolution, channels=channels)
    source = f"data {spec}"
    if not isinstance(returned, Mapping):
        raise DataError(f"{source} returned a {type(returned).__name__}; it must return a mapping with {_asked()}")
    unknown = [str(name) for name in returned if name not in (*REQUIRED, *OPTIONAL)]
    missing = [name for name in REQUIRED if name not in returned]
    if unknown or missing:
        what = f"has no {missing[0]}" if missing else f"has {unknown[0]!r}"
        raise DataError(f"{source} returned a mapping that {what}; it must have {_asked()}")
    if ("test_images" in returned) != ("test_labels" in returned):
        raise DataError(f"{source} returned one of test_images and test_labels; give both or neither")
    classes = _classes(source, returned)
    images = _images(source, "train_images", returned["train_images"], resolution, channels)
    labels = _labels(source, "train_labels", returned["train_labels"], classes)
    name = spec.partition(":")[2]
    if "test_images" in returned:
        test_images = _images(source, "test_images", returned["test_images"], resolution, channels)
        test_labels = _labels(source, "test_labels", returned["test_labels"], classes)
        return ImageData(name, classes, images, labels, test_images, test_labels, spec, None)
    if len(labels) != len(images):
        raise DataError(f"{source}: {len(images)} train_images need as many train_labels, not {len(labels)}")
    train, test = draw_test_images(labels, classes, source)
    spec += f" ({TEST_FRACTION:.0%} of every class drawn as test images)"
    return ImageData(name, classes, images[train], labels[train], images[test], labels[test], spec, None)


def _asked() -> str:
    return f"{' and '.join(REQUIRED)}, and may have {', '.join(OPTIONAL)}"


def _images(source: str, part: str, value: object, resolution: int, channels: int) -> "torch.Tensor":
    """uint8 [N, channels, resolution, resolution]; a view of the user's where it has that form."""
    import numpy as np
    import torch

    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        with warnings.catch_warnings():
            # A read-only array, as mapped files are: nothing here writes to images.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            # Mirrored axes, as of BGR turned to RGB by [..., ::-1], are none of torch's.
            tensor = torch.from_numpy(value.copy() if min(value.strides, default=0) < 0 else value)
    elif isinstance(value, torch.Tensor) and value.dtype == torch.uint8:
        tensor = value.detach().cpu()
    else:
        kind = getattr(value, "dtype", None) or type(value).__name__
        raise DataError(f"{source}: {part} must be an array or a tensor of uint8, from 0 to 255, not {kind}")
    shape = list(tensor.shape)
    if tensor.ndim == 3:
        tensor = tensor.unsqueeze(1)
    elif tensor.ndim == 4 and shape[1] not in _CHANNELS:
        tensor = tensor.permute(0, 3, 1, 2)
    if tensor.ndim != 4 or tensor.shape[1] not in _CHANNELS or tensor.shape[2] != tensor.shape[3] or 0 in shape:
        raise DataError(
            f"{source}: {part} must be square, [N, H, W], [N, H, W, C] or [N, C, H, W] with C 1 or 3, not {shape}"
        )
    if tensor.shape[1:] == (channels, resolution, resolution):
        return tensor
    return fit_images(tensor, resolution=resolution, channels=channels)


def _classes(source: str, returned: "Mapping[str, object]") -> tuple[str, ...]:
    import numpy as np

    if "classes" in returned:
        given = returned["classes"]
        if not isinstance(given, list | tuple) or not given or not all(isinstance(name, str) for name in given):
            raise DataError(f"{source}: classes must be a list of names")
        if len(set(given)) != len(given) or len(given) > MAX_CLASSES:
            raise DataError(f"{source}: classes must be different names, {MAX_CLASSES} at most")
        return tuple(given)
    labels = _array(source, "train_labels", returned["train_labels"])
    if labels.dtype.kind == "U":
        return tuple(str(name) for name in np.unique(labels))
    highest = int(labels.max())
    if not 0 <= highest < MAX_CLASSES:
        raise DataError(
            f"{source}: train_labels go up to {highest}; whole numbers from 0 to {MAX_CLASSES - 1} are read"
        )
    return tuple(str(number) for number in range(highest + 1))


def _labels(source: str, part: str, value: object, classes: tuple[str, ...]) -> "torch.Tensor":
    """int64 [N]"""
    import torch

    labels = _array(source, part, value)
    if labels.dtype.kind == "U":
        numbers = {name: number for number, name in enumerate(classes)}
        unknown = sorted({str(name) for name in labels} - numbers.keys())
        if unknown:
            raise DataError(f"{source}: {part} has {unknown[0]!r}, which is none of the {len(classes)} classes")
        return torch.tensor([numbers[str(name)] for name in labels], dtype=torch.int64)
    if int(labels.min()) < 0 or int(labels.max()) >= len(classes):
        raise DataError(
            f"{source}: {part} must lie within 0 and {len(classes) - 1}, the {len(classes)} classes; they go from "
            f"{int(labels.min())} to {int(labels.max())}"
        )
    return torch.tensor([int(label) for label in labels], dtype=torch.int64)


def _array(source: str, part: str, value: object) -> "np.ndarray[tuple[int, ...], np.dtype[np.generic]]":
    """Labels as whole numbers or texts [N]."""
    import numpy as np
    import torch

    plain = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
    try:
        labels = np.asarray(plain)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{source}: {part} are no list of labels: {error}") from error
    if labels.dtype.kind in "OT" and all(isinstance(label, str) for label in labels.flat):
        labels = labels.astype(np.str_)  # texts as pandas keeps them
    if labels.ndim != 1 or len(labels) == 0 or labels.dtype.kind not in "iuU":
        raise DataError(f"{source}: {part} must be whole numbers or texts [N], not {labels.dtype} {list(labels.shape)}")
    return labels
