"""OpSpec: everything the latency of one operator depends on."""

from dataclasses import asdict, dataclass, fields
from typing import Literal, Self, get_args

from latency.cells import CELL_KINDS, CellKind, cell_choice, cell_macs, cell_parameters, check_cell_operator
from pocketnas_base.errors import InputError

ChainKind = Literal["conv", "mbconv", "classifier", "zero", "empty"]
OpKind = ChainKind | CellKind
OP_KINDS = (*get_args(ChainKind), *get_args(CellKind))

MAX_DIMENSION = 65_536


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
    activation: after every convolution but a block's last, linear one.
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

    def __post_init__(self) -> None:
        if self.kind not in OP_KINDS:
            raise InputError(f"unknown operator kind {self.kind!r}; known: {', '.join(OP_KINDS)}")
        for name in ("in_channels", "out_channels", "kernel", "expansion", "stride", "resolution"):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= MAX_DIMENSION:
                raise InputError(f"{self.kind}: {name} must be a whole number from 1 to {MAX_DIMENSION}, not {value!r}")
        if self.kernel % 2 == 0:
            raise InputError(f"{self.kind}: kernel must be odd, not {self.kernel}")
        if type(self.residual) is not bool:
            raise InputError(f"{self.kind}: residual must be true or false, not {self.residual!r}")
        if self.residual and (self.stride != 1 or self.in_channels != self.out_channels):
            raise InputError(f"{self.key}: a residual needs stride 1 and as many channels out as in")
        if self.activation != "relu6":
            raise InputError(f"{self.kind}: unknown activation {self.activation!r}; known: relu6")
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
    def choice(self) -> str:
        """What was chosen, apart from where: `mb6_5x5`, `zero`."""
        if self.kind == "mbconv":
            return f"mb{self.expansion}_{self.kernel}x{self.kernel}"
        if self.in_cell:
            return cell_choice(self)
        return f"conv_{self.kernel}x{self.kernel}" if self.kind == "conv" else self.kind

    @property
    def key(self) -> str:
        """A name that is unique per OpSpec and safe as a file name: `mb6_5x5_s2_24-40_r28`."""
        name = f"{self.choice}_s{self.stride}_{self.in_channels}-{self.out_channels}_r{self.resolution}"
        return name + ("_res" if self.residual else "")

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
                return expand + depthwise + self.mid_channels * self.out_channels * out_pixels
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
                mid = self.mid_channels
                expand = self.in_channels * mid + 2 * mid if self.expansion > 1 else 0
                return expand + self.kernel**2 * mid + 2 * mid + mid * self.out_channels + 2 * self.out_channels
            case "classifier":
                return (self.in_channels + 1) * self.out_channels
            case _:
                return cell_parameters(self)

    def to_dict(self) -> dict[str, str | int | bool]:
        """Plain fields, for JSON and table columns."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: object) -> Self:
        """Inverse of `to_dict`. Raises InputError on a missing, unknown or ill-typed field."""
        names = {field.name for field in fields(cls)}
        if not isinstance(value, dict) or set(value) != names:
            found = sorted(map(str, value)) if isinstance(value, dict) else type(value).__name__
            raise InputError(f"an operator needs exactly the fields {sorted(names)}, found {found}")
        return cls(**value)


def zero(in_channels: int, resolution: int) -> OpSpec:
    """The operator that leaves a skippable block out: its output is its input, at no cost."""
    return OpSpec("zero", in_channels, in_channels, 1, 1, 1, resolution)


EMPTY = OpSpec("empty", 1, 1, 1, 1, 1, 1)
"""The model without work: its latency is what each invocation of a runtime costs before any operator runs."""
