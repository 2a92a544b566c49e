"""OpSpec: everything the latency of one operator depends on."""

from dataclasses import asdict, dataclass, fields
from typing import Literal, Self, get_args

from latency.cells import CELL_KINDS, CellKind, cell_choice, cell_macs, cell_parameters, check_cell_operator
from pocketnas_base.errors import InputError
from pocketnas_base.rounding import make_divisible

ChainKind = Literal["conv", "mbconv", "classifier", "zero", "empty"]
OpKind = ChainKind | CellKind
OP_KINDS = (*get_args(ChainKind), *get_args(CellKind))
Activation = Literal["relu6", "relu", "hswish", "swish"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
"""hswish: x ReLU6(x + 3) / 6 (MobileNetV3, arXiv 1905.02244, section 5.2). swish: x sigmoid(x), also called SiLU."""

MAX_DIMENSION = 65_536

LATER_FIELDS = {"squeeze_excite": 0.0}
"""Fields that plain data leaves out while they have these values, so that what was written before them stays valid."""


@dataclass(frozen=True, slots=True, order=True)
class OpSpec:
    """One operator at one place of a network, at batch 1.

    kind: `conv` (convolution, batch norm, activation), `mbconv` (inverted residual block: 1x1 expansion unless
      `expansion` is 1, depthwise kernel x kernel, linear 1x1), `classifier` (global average pool and a linear
      layer), `zero` (the block is left out: what goes in comes out), `empty` (no work: what one invocation of the
      runtime costs), and those of tree cells (`latency.cells.CellKind`).
    kernel: height and width of the (depthwise) kernel. expansion: mbconv only, else 1.
    resolution: input height and width in pixels; the output has ceil(resolution / stride).
    residual: the block's input is added to its output (needs stride 1 and equal channels).
    activation: after every convolution but a block's last, linear one; `relu6` where there is none.
    squeeze_excite: mbconv only: behind the depthwise convolution's activation the mean of every channel passes two 1x1
      convolutions with bias, first to `squeeze_channels`, then back, and multiplies its channel: `squeeze_excite` is
      their width as a share of the depthwise convolution's, 0: there are none.
    """

    kind: OpKind
    in_channels: int
    out_channels: int
    kernel: int
    expansion: int
    stride: int
    resolution: int
    residual: bool = False
    activation: str = "relu6"
    squeeze_excite: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in OP_KINDS:
            raise InputError(f"unknown operator kind {self.kind!r}; known: {', '.join(OP_KINDS)}")
        for name in ("in_channels", "out_channels", "kernel", "expansion", "stride", "resolution"):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= MAX_DIMENSION:
                raise InputError(f"{self.kind}: {name} must be a whole number from 1 to {MAX_DIMENSION}, not {value!r}")
        check_squeeze_excite(self.squeeze_excite)
        if self.kernel % 2 == 0:
            raise InputError(f"{self.kind}: kernel must be odd, not {self.kernel}")
        if type(self.residual) is not bool:
            raise InputError(f"{self.kind}: residual must be true or false, not {self.residual!r}")
        if self.residual and (self.stride != 1 or self.in_channels != self.out_channels):
            raise InputError(f"{self.key}: a residual needs stride 1 and as many channels out as in")
        if self.activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise InputError(f"{self.kind}: unknown activation {self.activation!r}; known: {known}")
        if self.activation != "relu6" and self.kind not in ("conv", "mbconv"):
            raise InputError(f"{self.kind} takes no activation, so it cannot be {self.activation}")
        if self.squeeze_excite and self.kind != "mbconv":
            raise InputError(f"{self.kind}: squeeze_excite is for an mbconv alone")
        if self.in_cell:
            check_cell_operator(self)

    @property
    def in_cell(self) -> bool:
        """Whether it is an operator of tree cells."""
        return self.kind in CELL_KINDS

    @property
    def out_resolution(self) -> int:
        """Output height and width in pixels (padding kernel // 2)."""
        return 1 if self.kind == "classifier" else -(-self.resolution // self.stride)

    @property
    def mid_channels(self) -> int:
        """Channels of an mbconv's depthwise convolution."""
        return self.in_channels * self.expansion

    @property
    def squeeze_channels(self) -> int:
        """Channels between the two convolutions of squeeze-and-excitation: a multiple of 8, or 0 without it.

        As in MobileNetV3's released code: a share of the expanded channels, which are what is gated.
        """
        return make_divisible(self.mid_channels * self.squeeze_excite) if self.squeeze_excite else 0

    @property
    def choice(self) -> str:
        """What was chosen, apart from where: `mb6_5x5`, `mb6_5x5_se0.25`, `zero`."""
        if self.kind == "mbconv":
            gate = f"_se{self.squeeze_excite:g}" if self.squeeze_excite else ""
            return f"mb{self.expansion}_{self.kernel}x{self.kernel}{gate}"
        if self.in_cell:
            return cell_choice(self)
        return f"conv_{self.kernel}x{self.kernel}" if self.kind == "conv" else self.kind

    @property
    def key(self) -> str:
        """A name that is unique per OpSpec and safe as a file name: `mb6_5x5_s2_24-40_r28`, `..._res_hswish`."""
        name = f"{self.choice}_s{self.stride}_{self.in_channels}-{self.out_channels}_r{self.resolution}"
        activation = "" if self.activation == "relu6" else f"_{self.activation}"
        return name + ("_res" if self.residual else "") + activation

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference at batch 1, batch norm folded, bias not counted."""
        out_pixels = self.out_resolution**2
        match self.kind:
            case "conv":
                return self.kernel**2 * self.in_channels * self.out_channels * out_pixels
            case "mbconv":
                expand = self.in_channels * self.mid_channels * self.resolution**2 if self.expansion > 1 else 0
                depthwise = self.kernel**2 * self.mid_channels * out_pixels
                gate = 2 * self.mid_channels * self.squeeze_channels
                return expand + depthwise + gate + self.mid_channels * self.out_channels * out_pixels
            case "classifier":
                return self.in_channels * self.out_channels
            case _:
                return cell_macs(self)

    @property
    def parameters(self) -> int:
        """Learnable parameters, batch norm's scale and shift counted, its running statistics not."""
        match self.kind:
            case "conv":
                return self.kernel**2 * self.in_channels * self.out_channels + 2 * self.out_channels
            case "mbconv":
                mid, squeezed = self.mid_channels, self.squeeze_channels
                expand = self.in_channels * mid + 2 * mid if self.expansion > 1 else 0
                gate = 2 * mid * squeezed + squeezed + mid if squeezed else 0
                depthwise = self.kernel**2 * mid + 2 * mid
                return expand + depthwise + gate + mid * self.out_channels + 2 * self.out_channels
            case "classifier":
                return (self.in_channels + 1) * self.out_channels
            case _:
                return cell_parameters(self)

    def to_dict(self) -> dict[str, str | float | bool]:
        """Plain fields, for JSON and table columns; those of `LATER_FIELDS` only where they say something."""
        return {name: value for name, value in asdict(self).items() if LATER_FIELDS.get(name) != value}

    @classmethod
    def from_dict(cls, value: object) -> Self:
        """Inverse of `to_dict`. Raises InputError on a missing, unknown or ill-typed field."""
        names = {field.name for field in fields(cls)}
        needed = names - set(LATER_FIELDS)
        if not isinstance(value, dict) or not needed <= set(value) <= names:
            found = sorted(map(str, value)) if isinstance(value, dict) else type(value).__name__
            raise InputError(f"an operator needs exactly the fields {sorted(needed)}, found {found}")
        return cls(**value)


def check_squeeze_excite(share: object) -> None:
    """Raise InputError for what is no share of channels: 0, or above 0 and at most 1 with at most four decimals."""
    if not isinstance(share, int | float) or isinstance(share, bool) or not 0 <= share <= 1 or round(share, 4) != share:
        raise InputError(f"squeeze_excite must be a share from 0 to 1 with at most four decimals, not {share!r}")


def zero(in_channels: int, resolution: int) -> OpSpec:
    """The operator that leaves a skippable block out: its output is its input, at no cost."""
    return OpSpec("zero", in_channels, in_channels, 1, 1, 1, resolution)


EMPTY = OpSpec("empty", 1, 1, 1, 1, 1, 1)
"""The model without work: its latency is what each invocation of a runtime costs before any operator runs."""
