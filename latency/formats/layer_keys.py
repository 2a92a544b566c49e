"""How ProxylessNAS and Once-for-All name a layer in their latency tables, and which operator it is here.

    Conv-input:224x224x3-output:112x112x32              the first convolution, 3x3
    expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:3-stride:2-idskip:0
    Conv_1-input:7x7x320-output:7x7x1280                1x1, before the pooling
    Logits-input:7x7x1280-output:1000                   pooling and linear layer

The kernel of `Conv` and `Conv_1` stands in the code that asks for them, not in the key (ProxylessNAS
`search/utils/latency_estimator.py`; Once-for-All `ofa/nas/efficiency_predictor/latency_lookup_table.py`). Tables of
Once-for-All's MobileNetV3 write `expand` in channels, add `-se:0-hs:0` to a block, and know further layers; their
convolutions outside of blocks have hard swish, blocks without it ReLU, and their squeeze-and-excitation is a quarter of
the expanded channels wide (`ofa/utils/layers.py`, `MBConvLayer`; `ofa/utils/pytorch_modules.py`, `SEModule`).
"""

import re
from dataclasses import dataclass

from latency.opspec import OpSpec
from pocketnas_base.errors import InputError

STEM_KERNEL = 3
_GATE_SHARE = 0.25

_SHAPE = r"(\d{1,5})x(\d{1,5})x(\d{1,5})"
_LAYER = re.compile(
    rf"([A-Za-z0-9_]{{1,40}})-input:{_SHAPE}-output:(?:{_SHAPE}|(\d{{1,5}}))(?:-(expand:[a-z0-9:-]{{1,99}}))?",
    re.ASCII,
)
_BLOCK = re.compile(
    r"expand:(\d{1,5})-kernel:(\d{1,3})-stride:(\d{1,2})-idskip:([01])(?:-se:([01])-hs:([01]))?", re.ASCII
)
_OF_MOBILENET_V3 = re.compile(r"-se:[01]-hs:[01]")


@dataclass(frozen=True, slots=True)
class Foreign:
    """A layer that no operator here is. reason: why, to follow `left out:`."""

    reason: str


def is_mobilenet_v3(key: str) -> bool:
    """Whether only a table of Once-for-All's MobileNetV3 has such a key."""
    return _OF_MOBILENET_V3.search(key) is not None


def operator_of_key(key: str, *, mobilenet_v3: bool) -> OpSpec | Foreign:
    """The operator that a key names. mobilenet_v3: whether the table is of Once-for-All's MobileNetV3.

    Raises InputError for a key that is none.
    """
    layer = _LAYER.fullmatch(key)
    if layer is None:
        raise InputError(f"{key[:120]!r} names no layer; a key reads TYPE-input:HxWxC-output:HxWxC")
    kind, height, width, in_channels, out_height, out_width, out_channels, flat, block = layer.groups()
    if height != width or out_height != out_width:
        return Foreign("not square")
    resolution, channels = int(height), int(in_channels)
    match kind:
        case "expanded_conv" if block is not None and flat is None:
            return _block(key, block, channels, int(out_channels), resolution, int(out_height), mobilenet_v3)
        case "Conv" | "Conv_1" if block is None and flat is None:
            activation = "hswish" if mobilenet_v3 else "relu6"
            kernel = STEM_KERNEL if kind == "Conv" else 1
            stride = max(1, round(resolution / max(1, int(out_height))))
            op = OpSpec("conv", channels, int(out_channels), kernel, 1, stride, resolution, activation=activation)
            return _as_large_as_said(key, op, int(out_height))
        case "Logits" if block is None and flat is not None:
            return OpSpec("classifier", channels, int(flat), 1, 1, 1, resolution)
        case _:
            return Foreign(f"a layer of type {kind}")


def _block(
    key: str, text: str, channels: int, out_channels: int, resolution: int, out_resolution: int, mobilenet_v3: bool
) -> OpSpec | Foreign:
    said = _BLOCK.fullmatch(text)
    if said is None:
        raise InputError(f"{key[:120]!r}: a block reads expand:E-kernel:K-stride:S-idskip:I")
    expand, kernel, stride, skip, squeeze, swish = (int(each) if each else 0 for each in said.groups())
    activation, share = "relu6", 0.0
    if mobilenet_v3:
        activation, share = "hswish" if swish else "relu", _GATE_SHARE * squeeze
        if channels == 0 or expand % channels:
            return Foreign("a block whose expansion is no whole number")
        expand //= channels
    op = OpSpec("mbconv", channels, out_channels, kernel, expand, stride, resolution, bool(skip), activation, share)
    return _as_large_as_said(key, op, out_resolution)


def _as_large_as_said(key: str, op: OpSpec, out_resolution: int) -> OpSpec:
    if out_resolution != op.out_resolution:
        raise InputError(f"{key[:120]!r}: stride {op.stride} at {op.resolution} px does not give {out_resolution} px")
    return op


def key_of_operator(op: OpSpec) -> str:
    """The key of an operator. Raises InputError for one that such a table cannot name."""
    if op.activation != "relu6" or op.squeeze_excite:
        raise InputError(f"{op.key} has no name in a table of ProxylessNAS, whose activations are all ReLU6")
    size, out = f"{op.resolution}x{op.resolution}", f"{op.out_resolution}x{op.out_resolution}"
    shapes = f"input:{size}x{op.in_channels}-output:{out}x{op.out_channels}"
    match op.kind, op.kernel, op.stride:
        case "mbconv", _, _:
            return (
                f"expanded_conv-{shapes}-expand:{op.expansion}-kernel:{op.kernel}-stride:{op.stride}"
                f"-idskip:{int(op.residual)}"
            )
        case "conv", 3, _:
            return f"Conv-{shapes}"
        case "conv", 1, 1:
            return f"Conv_1-{shapes}"
        case "classifier", _, _:
            return f"Logits-input:{size}x{op.in_channels}-output:{op.out_channels}"
        case _:
            raise InputError(f"{op.key} has no name in a table of ProxylessNAS")
