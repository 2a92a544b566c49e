"""A .pte file written straight from torch modules, in milliseconds, as ExecuTorch's exporter would make it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deploy.folding import folded
from deploy.pte_graph import TO_CHANNELS_LAST, TO_CONTIGUOUS, Quantisation, XnnpackGraph
from deploy.pte_program import TensorShape, write_program
from deploy.pte_quantisation import Quantised, integer_weights
from latency.opspec import OpSpec
from pocketnas_base.errors import InputError

if TYPE_CHECKING:
    from torch import nn

RELU6 = (0.0, 6.0)
# XNN_FLAG_KEEP_DIMS of xnnpack.h.
_KEEP_DIMS = 0x40


@dataclass(frozen=True, slots=True)
class _Value:
    """A value of the graph: its number, and what its integers stand for (None: it is float32)."""

    number: int
    quantisation: Quantisation | None


@dataclass(frozen=True, slots=True)
class _Constant:
    """A constant in XNNPACK's memory order. scales: what one step of its integers is, by channel along `axis`."""

    array: NDArray[np.generic]
    scales: NDArray[np.float32] | None = None
    axis: int = 0


def write_pte(
    ops: Sequence[OpSpec],
    modules: "Sequence[nn.Module]",
    *,
    channels_last: bool,
    quantised: Quantised | None = None,
) -> bytes:
    """A program (batch 1) of a chain of operators, wholly delegated to XNNPACK: float32, or int8 if `quantised`.

    modules: parallel to `ops`, as `search.operators.build_operator` makes them; batch norms are folded in float64.
    channels_last: whether input and output lie as [1, H, W, C] in memory, else as [1, C, H, W].
    A lone `empty` becomes one ReLU6 on a 1x1x1x1 tensor. `zero` adds nothing.
    Raises InputError when nothing is left to compute.
    """
    chain = [(op, module) for op, module in zip(ops, modules, strict=True) if op.kind != "zero"]
    if not chain:
        raise InputError("a program of nothing but Zero computes nothing and cannot be written")
    return _write([chain], channels_last, None if quantised is None else [quantised])


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
    return _write([[(op, module)] for module in modules], channels_last, quantised)


def _write(
    branches: "Sequence[list[tuple[OpSpec, nn.Module]]]", channels_last: bool, quantised: Sequence[Quantised] | None
) -> bytes:
    """A program of chains side by side, on one input and with equal shapes at both ends."""
    first, last = branches[0][0][0], branches[0][-1][0]
    writer = _Writer(quantised)
    if first.kind == "empty":
        writer.empties(len(branches))
    else:
        writer.begin(first, channels_last, layers=sum(_layers(op) for chain in branches for op, _ in chain))
        for number, chain in enumerate(branches):
            writer.branch(number)
            for index, (op, module) in enumerate(chain, start=1):
                writer.operator(op, folded(module), ends=index == len(chain) and channels_last)
            writer.end(last, channels_last)
    integers = quantised is not None and quantised[0].integer_surface
    source = TensorShape((1, first.in_channels, first.resolution, first.resolution), channels_last, integers)
    if last.kind == "classifier":
        target = TensorShape((1, last.out_channels), False, integers)
    else:
        size = last.out_resolution
        target = TensorShape((1, last.out_channels, size, size), channels_last, integers)
    return write_program(writer.graph.finish(), source, [target] * len(branches))


class _Writer:
    """Writes operators one after another; `current` is the value that the next one takes. quantised: of each branch."""

    def __init__(self, quantised: Sequence[Quantised] | None) -> None:
        self.graph = XnnpackGraph()
        self._quantised = quantised
        self._activations: Iterator[Quantisation] = iter(())
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
        dims = _image(op.in_channels, op.resolution, channels_last)
        quantisation = None if self._quantised is None else self._quantised[0].activations[0]
        if self._quantised is not None:
            self.graph.skip(layers)  # the exporter's graph begins with a dequantisation of each weight
        self.current = _Value(self.graph.input(dims, quantisation if self._direct else None), quantisation)
        if not self._direct:
            integers = self.graph.value(dims, quantisation)
            self.graph.quantise(self.current.number, integers)
            self.current = _Value(integers, quantisation)
        if not channels_last:
            self._transpose(_image(op.in_channels, op.resolution, channels_last=True), TO_CHANNELS_LAST)
        self._source = self.current

    def branch(self, number: int) -> None:
        """Go on at the input, with what the values of a branch stand for."""
        self.current = self._source
        if self._quantised is not None:
            self._activations = iter(self._quantised[number].activations[1:])

    def operator(self, op: OpSpec, plain: "nn.Module", *, ends: bool) -> None:
        """One operator, its batch norms folded. ends: whether its last node's output is the program's."""
        if op.kind == "classifier":
            self._classifier(op, plain)
        else:
            self._block(op, plain, ends=ends and self._direct)

    def end(self, op: OpSpec, channels_last: bool) -> None:
        """The output, from where `op` left it."""
        dims: tuple[int, ...] = (1, op.out_channels)
        transposed = op.kind != "classifier" and not channels_last
        if op.kind != "classifier":
            dims = _image(op.out_channels, op.out_resolution, channels_last)
        if transposed:
            self._transpose(dims, TO_CONTIGUOUS, last=self._direct)
        if not self._direct:
            self.graph.dequantise(self.current.number, self.graph.output(dims), transposed=transposed)

    def _block(self, op: OpSpec, plain: "nn.Module", *, ends: bool) -> None:
        from torch import nn

        body = plain.body
        assert isinstance(body, nn.Sequential)
        layers = list(body)
        source, resolution = self.current, op.resolution
        places = [index for index, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
        for index in places:
            layer = layers[index]
            assert isinstance(layer, nn.Conv2d)
            activated = index + 1 < len(layers) and isinstance(layers[index + 1], nn.ReLU6)
            resolution = -(-resolution // layer.stride[0])
            last = ends and index == places[-1] and not op.residual
            self._convolution(layer, activated, _image(layer.out_channels, resolution, channels_last=True), last=last)
        if op.residual:
            total = self._made(_image(op.out_channels, resolution, channels_last=True), last=ends)
            number = self.current.number
            self.graph.node("XNNAdd", input1_id=source.number, input2_id=number, output_id=total.number)
            self.current = total

    def _convolution(self, layer: "nn.Conv2d", activated: bool, dims: tuple[int, ...], *, last: bool) -> None:
        source = self.current
        # One input channel a group makes it depthwise for XNNPACK: [out, 1, kh, kw] becomes [1, kh, kw, out].
        depthwise = layer.weight.shape[1] == 1
        # [out, in, kh, kw] becomes [out, kh, kw, in].
        kept, bias = self._constants(layer, (1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
        weight = self._store(kept)
        fused = activated and source.quantisation is None
        result = self._made(dims, last=last and (fused or not activated))
        kernel, stride, margin = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
        self.graph.node(
            "XNNDepthwiseConv2d" if depthwise else "XNNConv2d",
            clamp=RELU6 if fused else None,
            padding_top=margin,
            padding_right=margin,
            padding_bottom=margin,
            padding_left=margin,
            kernel_height=kernel,
            kernel_width=kernel,
            subsampling_height=stride,
            subsampling_width=stride,
            dilation_height=1,
            dilation_width=1,
            group_input_channels=layer.in_channels // layer.groups,
            group_output_channels=layer.out_channels // layer.groups,
            groups=layer.groups,
            adjustment_height=0,
            adjustment_width=0,
            input1_id=source.number,
            filter_id=weight,
            bias_id=self._store(bias),
            output_id=result.number,
        )
        self.current = result
        if activated and not fused:
            # Of integers the exporter keeps convolution and activation apart; XNNPACK joins them when it loads them.
            make = self.graph.output if last else self.graph.value
            clamped = _Value(make(dims, result.quantisation), result.quantisation)
            self.graph.clamp(result.number, clamped.number, RELU6)
            self.current = clamped

    def _classifier(self, op: OpSpec, plain: "nn.Module") -> None:
        from torch import nn

        linear = plain.linear
        assert isinstance(linear, nn.Linear)
        source = self.current
        pooled = self.graph.value(_image(op.in_channels, 1, channels_last=True), source.quantisation)
        self.graph.node("XNNGlobalAvgPooling2d", input_id=source.number, output_id=pooled, flags=_KEEP_DIMS)
        self.current = _Value(pooled, source.quantisation)
        self._transpose(_image(op.in_channels, 1, channels_last=False), TO_CONTIGUOUS)
        flat = self.graph.value((1, op.in_channels), source.quantisation)
        self.graph.reshape(self.current.number, flat, (1, op.in_channels))
        self.current = _Value(flat, source.quantisation)
        weight, bias = (self._store(constant) for constant in self._constants(linear, (0, 1)))
        result = self._made((1, op.out_channels), last=self._direct)
        self.graph.skip(1)  # torch transposes the weights first, which XNNPACK's node does not need
        self.graph.node("XNNFullyConnected", input1_id=flat, filter_id=weight, bias_id=bias, output_id=result.number)
        self.current = result

    def _constants(self, layer: "nn.Conv2d | nn.Linear", order: tuple[int, ...]) -> tuple[_Constant, _Constant]:
        """A layer's weight, its axes in `order`, and its bias."""
        assert layer.bias is not None
        quantisation = self.current.quantisation
        if quantisation is None:
            weight = layer.weight.detach().permute(order).contiguous().numpy()
            return _Constant(weight), _Constant(layer.bias.detach().numpy())
        made = integer_weights(layer, quantisation.scale)
        weight = np.ascontiguousarray(made.weight.transpose(order))
        return _Constant(weight, made.weight_scales, order.index(0)), _Constant(made.bias, made.bias_scales)

    def _store(self, constant: _Constant) -> int:
        if constant.scales is None:
            return self.graph.constant(constant.array)
        return self.graph.integers(constant.array, constant.scales, constant.axis)

    def _made(self, dims: tuple[int, ...], *, last: bool) -> _Value:
        """What a layer makes: the program's output if `last`."""
        quantisation = self._next_quantisation()
        return _Value((self.graph.output if last else self.graph.value)(dims, quantisation), quantisation)

    def _transpose(self, dims: tuple[int, ...], order: tuple[int, ...], *, last: bool = False) -> None:
        """Bring the current value into another memory order."""
        source, quantisation = self.current.number, self.current.quantisation
        self.current = _Value((self.graph.output if last else self.graph.value)(dims, quantisation), quantisation)
        self.graph.transpose(source, self.current.number, order)

    def _next_quantisation(self) -> Quantisation | None:
        return None if self._quantised is None else next(self._activations)


def _layers(op: OpSpec) -> int:
    """How many layers with weights an operator has."""
    match op.kind:
        case "mbconv":
            return 3 if op.expansion > 1 else 2
        case "conv" | "classifier":
            return 1
        case _:
            return 0


def _image(channels: int, resolution: int, channels_last: bool) -> tuple[int, int, int, int]:
    return (1, resolution, resolution, channels) if channels_last else (1, channels, resolution, resolution)
