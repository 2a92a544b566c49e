"""What whole networks show that a sum of operators leaves out: the record of a calibration, and how it is applied."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from latency.opspec import OpSpec
from pocketnas_base.errors import InputError

CorrectionKind = Literal["sum", "scale", "affine", "kernels", "resolutions", "memory"]

MAX_NETWORKS = 1000
MAX_TERMS = 64

Ms = Annotated[float, Field(gt=0, le=600_000, allow_inf_nan=False)]
Finite = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class CalibrationNetwork(BaseModel):
    """A whole network of the space, measured on the table's device with made-up weights.

    ops: keys of its operators, in order. sum_ms: what the table's rows add up to. left_out_ms: what a calibration
    without this network predicts for it; None for the cheapest and the dearest, which are in every fit. measured_ms,
    high_ms: as in a table's row, the device's drift since the table's time divided out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    ops: tuple[Name, ...] = Field(min_length=1, max_length=10_000)
    sum_ms: Ms
    left_out_ms: Ms | None
    measured_ms: Ms
    high_ms: Ms | None


class Calibration(BaseModel):
    """How a table's sums become the latencies of whole networks.

    kind: which correction earned its place (see `operator_terms`). coefficients: one per term of it.
    residual_percent: root mean square of the relative errors on networks that were left out of the fit, one by one.
    half_width_percent: half of the 95 % interval of a prediction, relative to it; what the device's state may differ by
    is in it.
    tried: the same residual for every kind of correction that was tried. drift_percent: how much slower (+) than at
    the table's time the device was when the networks were measured.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: CorrectionKind
    coefficients: dict[Name, Finite] = Field(min_length=1, max_length=MAX_TERMS)
    residual_percent: Percent
    half_width_percent: Percent
    tried: dict[CorrectionKind, Percent]
    networks: tuple[CalibrationNetwork, ...] = Field(min_length=1, max_length=MAX_NETWORKS)
    drift_percent: Finite | None
    date_utc: str

    @model_validator(mode="after")
    def _terms_belong_to_the_kind(self) -> "Calibration":
        strange = [name for name in self.coefficients if not _is_term_of(self.kind, name)]
        if strange:
            raise ValueError(f"a correction of kind {self.kind} has no term {strange[0]!r}")
        return self

    @property
    def found(self) -> str:
        """What it came to, in a sentence."""
        kind = "no correction" if self.kind == "sum" else f"correction {self.kind}"
        return (
            f"{kind}, from {len(self.networks)} networks: off by {self.residual_percent:.2f} % where left out"
            f" (the plain sum {self.tried['sum']:.2f} %), 95 % interval \u00b1{self.half_width_percent:.1f} %"
        )

    def operator_ms(self, op: OpSpec, own_ms: float) -> float:
        """What `op` adds to a network. own_ms: what the table says that it adds."""
        return self._weighed(operator_terms(self.kind, op, own_ms))

    def constant_ms(self, invocation_ms: float) -> float:
        """What a network costs beside its operators. invocation_ms: the empty model's row."""
        return self._weighed(constant_terms(self.kind, invocation_ms))

    def _weighed(self, terms: Mapping[str, float]) -> float:
        missing = sorted(set(terms) - set(self.coefficients))
        if missing:
            raise InputError(f"the table's calibration has no coefficient for {missing[0]}; calibrate the table again")
        return sum(self.coefficients[name] * value for name, value in terms.items())


_SHARES = {"sum": ("sum",), "scale": ("sum",), "affine": ("sum",), "memory": ("sum",)}
_REST = "rest"
_BESIDES: dict[CorrectionKind, tuple[str, ...]] = {
    "affine": ("offset_ms",),
    "memory": ("parameters_m", "activations_m", "operators"),
}


def operator_terms(kind: CorrectionKind, op: OpSpec, own_ms: float) -> dict[str, float]:
    """An operator's value in each term of a correction; a term that is missing is 0. Zero has none: it is no operator.

    scale: its share. kernels, resolutions: its share, under the kernel or the output resolution of an mbconv.
    memory: besides, millions of parameters, millions of activations read and written, and 1.
    """
    if op.kind == "zero":
        return {share_term(kind, op): own_ms} if own_ms else {}
    terms = {share_term(kind, op): own_ms}
    if kind == "memory":
        read, written = op.in_channels * op.resolution**2, op.out_channels * op.out_resolution**2
        terms |= {"parameters_m": op.parameters / 1e6, "activations_m": (read + written) / 1e6, "operators": 1.0}
    return terms


def constant_terms(kind: CorrectionKind, invocation_ms: float) -> dict[str, float]:
    """A network's value in each term, apart from its operators."""
    terms = {_SHARES.get(kind, (_REST,))[0]: invocation_ms}
    return terms | {"offset_ms": 1.0} if kind == "affine" else terms


def share_term(kind: CorrectionKind, op: OpSpec) -> str:
    """The term that weighs an operator's share."""
    if kind in _SHARES:
        return "sum"
    if op.kind != "mbconv":
        return _REST
    return f"kernel_{op.kernel}" if kind == "kernels" else f"resolution_{op.out_resolution}"


def share_terms(kind: CorrectionKind, ops: Iterable[OpSpec]) -> list[str]:
    """The terms that weigh shares of these operators and of an invocation, each once."""
    rest = [] if kind in _SHARES else [_REST]
    return list(dict.fromkeys([*rest, *(share_term(kind, op) for op in ops)]))


def other_terms(kind: CorrectionKind) -> Sequence[str]:
    """The terms that are no shares: without evidence their weight is 0, a share's is 1."""
    return _BESIDES.get(kind, ())


def _is_term_of(kind: CorrectionKind, name: str) -> bool:
    prefix = {"kernels": "kernel_", "resolutions": "resolution_"}.get(kind)
    if prefix is None:
        return name == "sum" or name in other_terms(kind)
    return name == _REST or (name.startswith(prefix) and name.removeprefix(prefix).isdecimal())
