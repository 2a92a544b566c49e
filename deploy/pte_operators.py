"""One operator as a .pte file, with an input and the output that is right for it."""

from pathlib import Path

from deploy.executorch_export import takes_channels_last
from deploy.pte_quantisation import quantised, to_integers
from deploy.pte_reference import integer_output
from deploy.pte_writer import write_pte
from deploy.samples import OperatorSample, operator_sample, store_tensors
from latency.opspec import OpSpec
from pocketnas_base.artifact import Precision


def write_operator(op: OpSpec, seed: int, precision: Precision, path: Path) -> None:
    """Write the operator with its sample weights to `path`, and input and reference beside it.

    precision: fp32; or int8, whose ranges are those that the operator's values have on its input, and which takes and
    gives int8: that is what operators pass on inside a network, where only the two ends convert.
    Not synced one by one: whoever reads the files compares their hashes.
    """
    sample, channels_last = operator_sample(op, seed), takes_channels_last(op)
    if precision == "fp32":
        path.write_bytes(write_pte([op], [sample.module], channels_last=channels_last))
    else:
        numbers = quantised([op], [sample.module], sample.input, integer_surface=True)
        path.write_bytes(write_pte([op], [sample.module], channels_last=channels_last, quantised=numbers))
        integers = to_integers(sample.input, numbers.activations[0])
        output = integer_output([op], [sample.module], numbers, integers)
        sample = OperatorSample(sample.module, integers, output)
    store_tensors(sample, path.parent, channels_last=channels_last)
