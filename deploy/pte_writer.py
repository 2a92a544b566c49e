"""A .pte file written straight from torch modules, in milliseconds, as ExecuTorch's exporter would make it."""

import math
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

RELU6, RELU = (0.0, 6.0), (0.0, math.inf)
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
    if connections is None:
        connections = [(number,) for number in range(len(ops))]
    parts = [_Part(*each) for each in zip(ops, modules, connections, strict=True)]
    return _write([_without_zero(parts)], channels_last, None if quantised is None else [quantised])


def _without_zero(parts: Sequence[_Part]) -> list[_Part]:
    """The parts that compute something, their values numbered anew: Zero's output is what it takes."""
    kept: list[_Part] = []
    values = [0]
    for part in parts:
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
        writer.begin(first, channels_last, layers=sum(_layers(part.op) for parts in branches for part in parts))
        for number, parts in enumerate(branches):
            writer.branch(number)
            values = [writer.current]
            for index, part in enumerate(parts, start=1):
                writer.current, *others = (values[value] for value in part.taken)
                writer.operator(part.op, folded(part.module), others, ends=index == len(parts) and channels_last)
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

    def operator(self, op: OpSpec, plain: "nn.Module", others: Sequence[_Value] = (), *, ends: bool) -> None:
        """One operator, its batch norms folded. others: what it takes besides the current value. ends: whether its last
        node's output is the program's."""
        last = ends and self._direct
        match op.kind:
            case "classifier":
                self._classifier(op, plain)
            case "avgpool" | "maxpool":
                self._pool(op.kind, op.in_channels, op.resolution, op.kernel, 1, last=last)
            case "add":
                self._add(op, others, last=last)
            case _:
                self._block(op, plain, ends=last)

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
            clamp = _limits(layers[index + 1]) if index + 1 < len(layers) else None
            resolution = -(-resolution // layer.stride[0])
            last = ends and index == places[-1] and not op.residual
            self._convolution(layer, clamp, _image(layer.out_channels, resolution, channels_last=True), last=last)
        if op.residual:
            total = self._made(_image(op.out_channels, resolution, channels_last=True), last=ends)
            number = self.current.number
            self.graph.node("XNNAdd", input1_id=source.number, input2_id=number, output_id=total.number)
            self.current = total

    def _pool(self, kind: str, channels: int, resolution: int, size: int, stride: int, *, last: bool) -> None:
        margin = size // 2 if stride == 1 else 0
        source = self.current
        result = self._made(_image(channels, resolution // stride, channels_last=True), last=last)
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
            flags=_KEEP_DIMS,
        )
        self.current = result

    def _add(self, op: OpSpec, others: Sequence[_Value], *, last: bool) -> None:
        if op.stride > 1:
            self._pool("avgpool", op.in_channels, op.resolution, op.stride, op.stride, last=False)
        dims = _image(op.out_channels, op.out_resolution, channels_last=True)
        if op.out_channels > op.in_channels:
            padded = self._made(dims, last=False)
            self.graph.pad_channels(self.current.number, padded.number, op.out_channels - op.in_channels)
            self.current = padded
        other = others[0] if others else self.current
        total = self._made(dims, last=last)
        self.graph.node("XNNAdd", input1_id=self.current.number, input2_id=other.number, output_id=total.number)
        self.current = total

    def _convolution(
        self, layer: "nn.Conv2d", limits: tuple[float, float] | None, dims: tuple[int, ...], *, last: bool
    ) -> None:
        source = self.current
        # One input channel a group makes it depthwise for XNNPACK: [out, 1, kh, kw] becomes [1, kh, kw, out].
        depthwise = layer.weight.shape[1] == 1
        # [out, in, kh, kw] becomes [out, kh, kw, in].
        kept, bias = self._constants(layer, (1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
        weight = self._store(kept)
        fused = limits if source.quantisation is None else None
        result = self._made(dims, last=last and limits == fused)
        kernel, stride, margin = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
        dilation = layer.dilation[0]
        self.graph.node(
            "XNNDepthwiseConv2d" if depthwise else "XNNConv2d",
            clamp=fused,
            padding_top=margin,
            padding_right=margin,
            padding_bottom=margin,
            padding_left=margin,
            kernel_height=kernel,
            kernel_width=kernel,
            subsampling_height=stride,
            subsampling_width=stride,
            dilation_height=dilation,
            dilation_width=dilation,
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
        if limits is not None and fused is None:
            # Of integers the exporter keeps convolution and activation apart; XNNPACK joins them when it loads them.
            make = self.graph.output if last else self.graph.value
            clamped = _Value(make(dims, result.quantisation), result.quantisation)
            self.graph.clamp(result.number, clamped.number, limits)
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


def _limits(layer: "nn.Module") -> tuple[float, float] | None:
    from torch import nn

    if isinstance(layer, nn.ReLU6):
        return RELU6
    return RELU if isinstance(layer, nn.ReLU) else None


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
