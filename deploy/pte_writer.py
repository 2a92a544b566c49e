"""A .pte file written straight from torch modules, in milliseconds, as ExecuTorch's exporter would make it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.folding import folded
from deploy.pte_graph import TO_CHANNELS_LAST, TO_CONTIGUOUS
from deploy.pte_layers import KEEP_DIMS, LayerWriter, Value, image
from deploy.pte_parts import RELU6, parts, pooled_in_float
from deploy.pte_program import TensorShape, write_program
from deploy.pte_quantisation import Quantised
from latency.opspec import OpSpec
from pocketnas_base.errors import InputError
from search.layout import chain_inputs

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class _Part:
    """An operator, its module, and the values that it takes: 0 the input, n what the n-th part gives."""

    op: OpSpec
    module: "nn.Module"
    taken: Sequence[int]


def write_pte(
    ops: Sequence[OpSpec],
    modules: "Sequence[nn.Module]",
    connections: Sequence[Sequence[int]] | None = None,
    *,
    channels_last: bool,
    quantised: Quantised | None = None,
) -> bytes:
    """A program (batch 1) of operators, wholly delegated to XNNPACK: float32, or int8 if `quantised`, of a chain.

    modules: parallel to `ops`, as `search.operators.build_operator` makes them; batch norms are folded in float64.
    connections: the values that each operator takes, 0 the input, n what the n-th one gives; None: a chain. An `add` of
    one value adds it to itself.
    channels_last: whether input and output lie as [1, H, W, C] in memory, else as [1, C, H, W].
    A lone `empty` becomes one ReLU6 on a 1x1x1x1 tensor. `zero` adds nothing.
    Raises InputError when nothing is left to compute.
    """
    if all(op.kind == "zero" for op in ops):
        raise InputError("a program of nothing but Zero computes nothing and cannot be written")
    connections = connections or chain_inputs(len(ops))
    chain = [_Part(*each) for each in zip(ops, modules, connections, strict=True)]
    return _write([_without_zero(chain)], channels_last, None if quantised is None else [quantised])


def _without_zero(network: Sequence[_Part]) -> list[_Part]:
    """The parts that compute something, their values numbered anew: Zero's output is what it takes."""
    kept: list[_Part] = []
    values = [0]
    for part in network:
        taken = [values[value] for value in part.taken]
        if part.op.kind == "zero":
            values.append(taken[0])
        else:
            kept.append(_Part(part.op, part.module, taken))
            values.append(len(kept))
    return kept


def write_copies(
    op: OpSpec,
    modules: "Sequence[nn.Module]",
    *,
    channels_last: bool,
    quantised: Sequence[Quantised] | None = None,
) -> bytes:
    """A program of one operator so often, each on the one input and with an output of its own, in their order.

    modules, quantised: of each copy, as `write_pte` takes them; the input is quantised alike for all.
    """
    return _write([[_Part(op, module, (0,))] for module in modules], channels_last, quantised)


def _write(branches: Sequence[Sequence[_Part]], channels_last: bool, quantised: Sequence[Quantised] | None) -> bytes:
    """A program of networks side by side, on one input and with equal shapes at both ends."""
    first, last = branches[0][0].op, branches[0][-1].op
    writer = _Writer(quantised)
    if first.kind == "empty":
        writer.empties(len(branches))
    else:
        writer.begin(first, channels_last, layers=sum(_layers(part.op) for chain in branches for part in chain))
        for number, chain in enumerate(branches):
            writer.branch(number)
            values = [writer.current]
            for index, part in enumerate(chain, start=1):
                writer.current, *others = (values[value] for value in part.taken)
                following = chain[index].op if index < len(chain) else None
                writer.operator(part.op, folded(part.module), following, others, channels_last=channels_last)
                values.append(writer.current)
            writer.end(last, channels_last)
    integers = quantised is not None and quantised[0].integer_surface
    source = TensorShape((1, first.in_channels, first.resolution, first.resolution), channels_last, integers)
    if last.kind == "classifier":
        target = TensorShape((1, last.out_channels), False, integers)
    else:
        size = last.out_resolution
        target = TensorShape((1, last.out_channels, size, size), channels_last, integers)
    return write_program(writer.graph.finish(), source, [target] * len(branches))


class _Writer(LayerWriter):
    """Writes operators one after another. quantised: of each branch."""

    def __init__(self, quantised: Sequence[Quantised] | None) -> None:
        super().__init__()
        self._quantised = quantised
        # Whether the last node gives the caller's own value, with no conversion after it.
        self._direct = quantised is None or quantised[0].integer_surface

    def empties(self, count: int) -> None:
        """So many times a ReLU6 of the one number that comes in."""
        quantisation = self._quantised[0].activations[0] if self._quantised and self._direct else None
        source: int | None = None
        for _ in range(count):
            result = self.graph.output((1, 1, 1, 1), quantisation)
            if source is None:
                source = self.graph.input((1, 1, 1, 1), quantisation)
            self.graph.clamp(source, result, RELU6)

    def begin(self, op: OpSpec, channels_last: bool, *, layers: int) -> None:
        """The input, up to where `op` takes it. layers: how many weights all branches have."""
        dims = image(op.in_channels, op.resolution, channels_last)
        quantisation = None if self._quantised is None else self._quantised[0].activations[0]
        if self._quantised is not None:
            self.graph.skip(layers)  # the exporter's graph begins with a dequantisation of each weight
        self.current = Value(self.graph.input(dims, quantisation if self._direct else None), quantisation)
        if not self._direct:
            integers = self.graph.value(dims, quantisation)
            self.graph.quantise(self.current.number, integers)
            self.current = Value(integers, quantisation)
        if not channels_last:
            self.transpose(image(op.in_channels, op.resolution, channels_last=True), TO_CHANNELS_LAST)
        self._source = self.current

    def branch(self, number: int) -> None:
        """Go on at the input, with what the values of a branch stand for."""
        self.current = self._source
        if self._quantised is not None:
            self.activations = iter(self._quantised[number].activations[1:])

    def operator(
        self,
        op: OpSpec,
        plain: "nn.Module",
        following: OpSpec | None,
        others: Sequence[Value] = (),
        *,
        channels_last: bool,
    ) -> None:
        """One operator, its batch norms folded. following: the one behind it, if any. others: what it takes besides the
        current value. channels_last: of the program's output."""
        last = following is None and channels_last and self._direct
        match op.kind:
            case "classifier":
                self._classifier(op, plain)
            case "avgpool" | "maxpool":
                self._window(op.kind, op.in_channels, op.resolution, op.kernel, 1, last=last)
            case "add":
                self._add(op, others, last=last)
            case _:
                self._block(op, plain, ends=last, pooled=pooled_in_float(op, following))

    def end(self, op: OpSpec, channels_last: bool) -> None:
        """The output, from where `op` left it."""
        dims: tuple[int, ...] = (1, op.out_channels)
        transposed = op.kind != "classifier" and not channels_last
        if op.kind != "classifier":
            dims = image(op.out_channels, op.out_resolution, channels_last)
        if transposed:
            self.transpose(dims, TO_CONTIGUOUS, last=self._direct)
        if not self._direct:
            self.graph.dequantise(self.current.number, self.graph.output(dims), transposed=transposed)

    def _block(self, op: OpSpec, plain: "nn.Module", *, ends: bool, pooled: bool) -> None:
        """ends: whether its last node's output is the program's. pooled: see `pooled_in_float`."""
        from torch import nn

        body = plain.body
        assert isinstance(body, nn.Sequential)
        source, resolution, channels = self.current, op.resolution, op.in_channels
        chain = parts(body)
        for number, part in enumerate(chain, start=1):
            if isinstance(part.layer, nn.Conv2d):
                resolution, channels = -(-resolution // part.layer.stride[0]), part.layer.out_channels
            dims, last = image(channels, resolution, channels_last=True), number == len(chain)
            if last and pooled:
                self.activate(part.layer, dims)
            else:
                self.part(part, dims, last=last and ends and not op.residual)
        if op.residual:
            total = self.made(image(op.out_channels, resolution, channels_last=True), last=ends)
            number = self.current.number
            self.graph.node("XNNAdd", input1_id=source.number, input2_id=number, output_id=total.number)
            self.current = total

    def _window(self, kind: str, channels: int, resolution: int, size: int, stride: int, *, last: bool) -> None:
        margin = size // 2 if stride == 1 else 0
        source = self.current
        result = self.made(image(channels, resolution // stride, channels_last=True), last=last)
        self.graph.node(
            "XNNAvgPooling2d" if kind == "avgpool" else "XNNMaxPooling2d",
            padding_top=margin,
            padding_right=margin,
            padding_bottom=margin,
            padding_left=margin,
            pooling_height=size,
            pooling_width=size,
            stride_height=stride,
            stride_width=stride,
            # An average has none, and the exporter says 0.
            dilation_height=int(kind == "maxpool"),
            dilation_width=int(kind == "maxpool"),
            input_id=source.number,
            output_id=result.number,
            flags=KEEP_DIMS,
        )
        self.current = result

    def _add(self, op: OpSpec, others: Sequence[Value], *, last: bool) -> None:
        if op.stride > 1:
            self._window("avgpool", op.in_channels, op.resolution, op.stride, op.stride, last=False)
        dims = image(op.out_channels, op.out_resolution, channels_last=True)
        if op.out_channels > op.in_channels:
            padded = self.made(dims, last=False)
            self.graph.pad_channels(self.current.number, padded.number, op.out_channels - op.in_channels)
            self.current = padded
        other = others[0] if others else self.current
        total = self.made(dims, last=last)
        self.graph.node("XNNAdd", input1_id=self.current.number, input2_id=other.number, output_id=total.number)
        self.current = total

    def _classifier(self, op: OpSpec, plain: "nn.Module") -> None:
        from torch import nn

        linear = plain.linear
        assert isinstance(linear, nn.Linear)
        in_float = self.pool(op.in_channels)
        self.transpose(image(op.in_channels, 1, channels_last=False), TO_CONTIGUOUS)
        flat = self.graph.value((1, op.in_channels), self.current.quantisation)
        self.graph.reshape(self.current.number, flat, (1, op.in_channels))
        self.current = Value(flat, self.current.quantisation)
        self.graph.skip(1)  # torch transposes the weights first, which XNNPACK's node does not need
        if in_float:
            self.quantise((1, op.in_channels))
        source = self.current.number
        weight, bias = (self.store(constant) for constant in self.constants(linear, (0, 1)))
        result = self.made((1, op.out_channels), last=self._direct)
        self.graph.node("XNNFullyConnected", input1_id=source, filter_id=weight, bias_id=bias, output_id=result.number)
        self.current = result


def _layers(op: OpSpec) -> int:
    """How many layers with weights an operator has."""
    match op.kind:
        case "mbconv":
            return (3 if op.expansion > 1 else 2) + (2 if op.squeeze_excite else 0)
        case "conv" | "classifier":
            return 1
        case _:
            return 0
