"""One operator as a .pte file, with an input and the output that is right for it."""

from pathlib import Path

from deploy.executorch_export import takes_channels_last
from deploy.pte_quantisation import quantised, to_integers
from deploy.pte_reference import integer_output
from deploy.pte_writer import write_copies
from deploy.samples import operator_copies, store_tensors
from latency.opspec import OpSpec
from pocketnas_base.artifact import Precision


def write_operator(op: OpSpec, seed: int, precision: Precision, path: Path, copies: int = 1) -> None:
    """Write the operator with its sample weights to `path`, and input and references beside it.

    precision: fp32; or int8, whose ranges are those that the operator's values have on its input, and which takes and
    gives int8: that is what operators pass on inside a network, where only the two ends convert.
    copies: how many of it the program holds side by side, each with weights and an output of its own.
    Not synced one by one: whoever reads the files compares their hashes.
    """
    samples, channels_last = operator_copies(op, seed, copies), takes_channels_last(op)
    image, outputs = samples[0].input, [sample.output for sample in samples]
    modules, numbers = [sample.module for sample in samples], None
    if precision == "int8":
        numbers = [quantised([op], [module], image, integer_surface=True) for module in modules]
        image = to_integers(image, numbers[0].activations[0])
        outputs = [integer_output([op], [module], each, image) for module, each in zip(modules, numbers, strict=True)]
    path.write_bytes(write_copies(op, modules, channels_last=channels_last, quantised=numbers))
    store_tensors(image, outputs, path.parent, channels_last=channels_last)
