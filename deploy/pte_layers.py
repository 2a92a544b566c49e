"""Layers of a block as nodes of XNNPACK's graph, in float32 or int8, as ExecuTorch's exporter writes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deploy.pte_graph import Limits, Quantisation, XnnpackGraph
from deploy.pte_parts import RELU6, Part, gate_parts
from deploy.pte_quantisation import integer_weights

if TYPE_CHECKING:
    from torch import nn

    from search.operators import SqueezeExcite

# XNN_FLAGKEEP_DIMS of xnnpack.h.
KEEP_DIMS = 0x40


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the graph: its number, and what its integers stand for (None: it is float32).

    plain: number of the float32 value that it was just made of.
    """

    number: int
    quantisation: Quantisation | None
    plain: int | None = None


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant in XNNPACK's memory order. scales: what one step of its integers is, by channel along `axis`."""

    array: NDArray[np.generic]
    scales: NDArray[np.float32] | None = None
    axis: int = 0


class LayerWriter:
    """Writes layers one after another; `current` is the value that the next one takes.

    activations: what the values that layers make stand for, in their order; None: they are float32.
    """

    def __init__(self) -> None:
        self.graph = XnnpackGraph()
        self.activations: Iterator[Quantisation] | None = None
        self.current: Value

    def part(self, part: Part, dims: tuple[int, ...], *, last: bool) -> None:
        """dims: of what it makes."""
        from torch import nn

        from search.operators import SqueezeExcite

        if isinstance(part.layer, nn.Conv2d):
            self._convolution(part.layer, part.limits, dims, last=last)
        elif isinstance(part.layer, SqueezeExcite):
            self._squeeze_excite(part.layer, dims)
        else:
            self._activation(part.layer, dims, last=last)

    def _activation(self, layer: "nn.Module", dims: tuple[int, ...], *, last: bool) -> None:
        self.activate(layer, dims, last=last and self.activations is None)
        if self.activations is not None:
            self.quantise(dims, last=last)

    def activate(self, layer: "nn.Module", dims: tuple[int, ...], *, last: bool = False) -> None:
        """An activation that is no clamp, its output float32: XNNPACK has these in no other numbers."""
        from torch import nn

        make = self.graph.output if last else self.graph.value
        given = self.current.number
        if self.current.quantisation is not None:
            given = self.graph.value(dims)
            self.graph.dequantise(self.current.number, given, transposed=False)
        if isinstance(layer, nn.SiLU):
            share = self.graph.value(dims)
            self.graph.node("XNNSigmoid", input_id=given, output_id=share)
            result = make(dims)
            self.graph.node("XNNMultiply", of_last=True, input1_id=given, input2_id=share, output_id=result)
        else:
            result = make(dims)
            kind = "XNNHardswish" if isinstance(layer, nn.Hardswish) else "XNNSigmoid"
            self.graph.node(kind, input_id=given, output_id=result)
        self.current = Value(result, None)

    def _squeeze_excite(self, module: "SqueezeExcite", dims: tuple[int, ...]) -> None:
        from torch import nn

        source, channels = self.current, dims[-1]
        if self.pool(channels):
            self.quantise(image(channels, 1, channels_last=True))
        for part in gate_parts(module):
            if isinstance(part.layer, nn.Conv2d):
                channels = part.layer.out_channels
            self.part(part, image(channels, 1, channels_last=True), last=False)
        gates, result = self.current.number, self.made(dims, last=False)
        self.graph.node("XNNMultiply", input1_id=source.number, input2_id=gates, output_id=result.number)
        self.current = result

    def pool(self, channels: int) -> bool:
        """The mean of every channel, of the quantisation that they have; where they come from an activation in float32,
        the mean of that. Returns whether it has still to be quantised."""
        source = self.current if self.current.plain is None else Value(self.current.plain, None)
        pooled = self.graph.value(image(channels, 1, channels_last=True), source.quantisation)
        self.graph.node("XNNGlobalAvgPooling2d", input_id=source.number, output_id=pooled, flags=KEEP_DIMS)
        self.current = Value(pooled, source.quantisation)
        return self.activations is not None and source.quantisation is None

    def quantise(self, dims: tuple[int, ...], *, last: bool = False) -> None:
        """Go on with the current float32 value in integers."""
        plain = self.current.number
        made = self.made(dims, last=last)
        self.graph.quantise(plain, made.number)
        self.current = Value(made.number, made.quantisation, plain)

    def _convolution(self, layer: "nn.Conv2d", limits: Limits | None, dims: tuple[int, ...], *, last: bool) -> None:
        source = self.current
        # One input channel a group makes it depthwise for XNNPACK: [out, 1, kh, kw] becomes [1, kh, kw, out].
        depthwise = layer.weight.shape[1] == 1
        # [out, in, kh, kw] becomes [out, kh, kw, in].
        kept, bias = self.constants(layer, (1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
        weight = self.store(kept)
        # Of integers the exporter keeps convolution and ReLU6 apart; XNNPACK joins them when it loads them.
        apart = limits == RELU6 and source.quantisation is not None
        result = self.made(dims, last=last and not apart)
        kernel, stride, margin = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
        self.graph.node(
            "XNNDepthwiseConv2d" if depthwise else "XNNConv2d",
            clamp=None if apart else limits,
            padding_top=margin,
            padding_right=margin,
            padding_bottom=margin,
            padding_left=margin,
            kernel_height=kernel,
            kernel_width=kernel,
            subsampling_height=stride,
            subsampling_width=stride,
            dilation_height=layer.dilation[0],
            dilation_width=layer.dilation[0],
            group_input_channels=layer.in_channels // layer.groups,
            group_output_channels=layer.out_channels // layer.groups,
            groups=layer.groups,
            adjustment_height=0,
            adjustment_width=0,
            input1_id=source.number,
            filter_id=weight,
            bias_id=self.store(bias),
            output_id=result.number,
        )
        self.current = result
        if apart:
            make = self.graph.output if last else self.graph.value
            clamped = Value(make(dims, result.quantisation), result.quantisation)
            self.graph.clamp(result.number, clamped.number, RELU6)
            self.current = clamped

    def constants(self, layer: "nn.Conv2d | nn.Linear", order: tuple[int, ...]) -> tuple[Constant, Constant]:
        """A layer's weight, its axes in `order`, and its bias."""
        assert layer.bias is not None
        quantisation = self.current.quantisation
        if quantisation is None:
            weight = layer.weight.detach().permute(order).contiguous().numpy()
            return Constant(weight), Constant(layer.bias.detach().numpy())
        made = integer_weights(layer, quantisation.scale)
        weight = np.ascontiguousarray(made.weight.transpose(order))
        return Constant(weight, made.weight_scales, order.index(0)), Constant(made.bias, made.bias_scales)

    def store(self, constant: Constant) -> int:
        if constant.scales is None:
            return self.graph.constant(constant.array)
        return self.graph.integers(constant.array, constant.scales, constant.axis)

    def made(self, dims: tuple[int, ...], *, last: bool) -> Value:
        """What a layer makes: the program's output if `last`."""
        quantisation = self._next_quantisation()
        return Value((self.graph.output if last else self.graph.value)(dims, quantisation), quantisation)

    def transpose(self, dims: tuple[int, ...], order: tuple[int, ...], *, last: bool = False) -> None:
        """Bring the current value into another memory order."""
        source, quantisation = self.current.number, self.current.quantisation
        self.current = Value((self.graph.output if last else self.graph.value)(dims, quantisation), quantisation)
        self.graph.transpose(source, self.current.number, order)

    def _next_quantisation(self) -> Quantisation | None:
        return None if self.activations is None else next(self.activations)


def image(channels: int, resolution: int, channels_last: bool) -> tuple[int, int, int, int]:
    return (1, resolution, resolution, channels) if channels_last else (1, channels, resolution, resolution)
