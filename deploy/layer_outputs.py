"""The outputs of a .tflite file's layers beside torch's: where a file that computes otherwise begins to."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.layer_match import Match, Sample, arranged, joined, matched, sample_of
from deploy.parity import THRESHOLDS, Difference, Parity, difference_of, parity_of
from deploy.subject import Subject, deployed_module
from deploy.tflite_tensors import FilledTensor, ObservedFile
from pocketnas_base.artifact import Artifact, Precision
from pocketnas_base.errors import ExportError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from deploy.torch_layers import TorchLayer

COMPARED_IMAGES = 4
"""On how many of the images that files are checked on layers are compared: enough for figures, and cheap."""


@dataclass(frozen=True, slots=True)
class LayerOutput:
    """One tensor of a file beside torch's.

    layer: torch's operation that gives it; shape: its output of one image, as torch has it. computes: the names of all
    operations since the last one that was compared, `layer` among them: converters make one operator of several, which
    then have no tensors of their own. tensor: its name in the file.
    """

    layer: str
    operation: str
    computes: tuple[str, ...]
    shape: tuple[int, ...]
    tensor: str
    parity: Parity

    def describe(self) -> str:
        """Its name, and how far off it is, for a person."""
        if self.parity.relative_error is None:
            off = "not all finite numbers"
        elif self.parity.snr_db is None:
            off = "no difference"
        else:
            off = f"signal to noise {self.parity.snr_db:.1f} dB over {self.parity.images} images"
        return f"{' + '.join(self.computes)} ({off})"

    def to_dict(self) -> dict[str, object]:
        """Plain fields, for JSON."""
        names = ("max_abs_error", "output_scale", "relative_error", "cosine", "snr_db", "passed")
        return {
            "layer": self.layer,
            "operation": self.operation,
            "computes": list(self.computes),
            "shape": list(self.shape),
            "tensor": self.tensor,
            **{name: getattr(self.parity, name) for name in names},
        }


@dataclass(frozen=True, slots=True)
class LayerReport:
    """The layers of one file, in torch's order of computation.

    operations: how many torch ran. compared: those of them that the file has a tensor of. problem: why there are none,
    if the file could not be observed.
    """

    artifact: Artifact
    images: int
    operations: int
    compared: tuple[LayerOutput, ...]
    problem: str | None = None

    @property
    def first_off(self) -> LayerOutput | None:
        """The first that does not keep what a file's output must keep in its precision; None: all do."""
        return next((output for output in self.compared if not output.parity.passed), None)

    def describe(self) -> str:
        """Where the file begins to be off, to be appended to what is wrong with it; nothing where that is not known."""
        if self.first_off is not None:
            return f", first in {self.first_off.describe()}"
        if not self.compared:
            return ""
        return f", though without its delegate none of the {len(self.compared)} layers compared is off"

    def to_dict(self) -> dict[str, object]:
        """Plain fields, for JSON."""
        threshold = THRESHOLDS[self.artifact.precision]
        return {
            "file": self.artifact.path.name,
            "sha256": self.artifact.sha256,
            "precision": self.artifact.precision,
            "images": self.images,
            "operations": self.operations,
            "compared": len(self.compared),
            "tolerance": threshold.relative_error,
            "min_snr_db": threshold.snr_db,
            "first_off": None if self.first_off is None else self.first_off.layer,
            "problem": self.problem,
            "layers": [output.to_dict() for output in self.compared],
        }


def layers_path(file: Path) -> Path:
    """Where the figures of a file's layers lie: beside it."""
    return file.with_name(file.name + ".layers.json")


class LayerComparison:
    """Compares the layers of files that were all made of one float32 conversion.

    Which tensor is which layer's is found once, in the float32 conversion, whose values are nearly torch's; files of
    other precisions keep its tensors' names.
    """

    def __init__(self, subject: Subject, float32: bytes) -> None:
        self._subject, self._float32 = subject, float32
        self._images = subject.taken(subject.images[:COMPARED_IMAGES])

    def of_file(self, artifact: Artifact) -> LayerReport:
        """Run a file and torch on a few images, and compare every layer that has a tensor in the file."""
        try:
            return self._compared(artifact)
        except ExportError as error:
            return LayerReport(artifact, 0, 0, (), str(error))

    def _compared(self, artifact: Artifact) -> LayerReport:
        from deploy.torch_layers import run_layers

        layers, tensor_of = self._known
        file = ObservedFile(artifact.path.read_bytes(), artifact.path.name)
        named = {(tensor.name, tensor.shape): tensor for tensor in reversed(file.filled)}
        wanted = {
            place: (named[known.name, known.shape], match)
            for place, (known, match) in tensor_of.items()
            if (known.name, known.shape) in named
        }
        differences: dict[int, list[Difference]] = {place: [] for place in wanted}

        def compare(place: int, _layer: "TorchLayer", output: "Tensor") -> None:
            if place in wanted:
                tensor, match = wanted[place]
                expected = arranged(output.numpy(), channels_last=match.channels_last)
                differences[place].append(difference_of(expected.reshape(1, -1), file.value(tensor).reshape(1, -1)))

        for index in range(len(self._images)):
            image = self._images[index : index + 1]
            file.run(image.numpy())
            run_layers(self._module, image.float(), compare)
        precision: Precision = artifact.precision
        compared = []
        done = 0
        for place in sorted(wanted):
            layer, names = layers[place], tuple(each.name for each in layers[done : place + 1])
            parity = parity_of(differences[place], precision)
            compared.append(LayerOutput(layer.name, layer.operation, names, layer.shape, wanted[place][0].name, parity))
            done = place + 1
        return LayerReport(artifact, len(self._images), len(layers), tuple(compared))

    @cached_property
    def _module(self) -> "nn.Module":
        return deployed_module(self._subject, from_pixels=self._subject.uint8_input)

    @cached_property
    def _known(self) -> "tuple[list[TorchLayer], dict[int, tuple[FilledTensor, Match]]]":
        """torch's operations, and by their places the tensors of the float32 conversion that hold their outputs."""
        from deploy.torch_layers import run_layers

        file = ObservedFile(self._float32, "the float32 conversion")
        layers: dict[int, TorchLayer] = {}
        of_layers: dict[tuple[int, bool], list[Sample]] = defaultdict(list)
        of_tensors: dict[int, list[Sample]] = defaultdict(list)

        def keep(place: int, layer: "TorchLayer", output: "Tensor") -> None:
            layers[place] = layer
            for channels_last in (False, True):
                of_layers[place, channels_last].append(sample_of(arranged(output.numpy(), channels_last=channels_last)))

        for index in range(len(self._images)):
            image = self._images[index : index + 1].float()
            file.run(image.numpy())
            run_layers(self._module, image, keep)
            for number, tensor in enumerate(file.filled):
                of_tensors[number].append(sample_of(file.value(tensor)))
        matches = matched(
            [(joined(of_layers[place, False]), joined(of_layers[place, True])) for place in layers],
            [joined(samples) for samples in of_tensors.values()],
        )
        return list(layers.values()), {match.place: (file.filled[match.tensor], match) for match in matches}
