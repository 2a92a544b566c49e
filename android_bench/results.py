"""What a runner says, read as if by a stranger: strictly, and in bounded amounts."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from android_bench.checksum import unseal
from android_bench.errors import DamagedLineError
from android_bench.protocol import MAX_RUNS
from pocketnas_base.errors import MeasurementError
from pocketnas_base.validation import fault_of

MAX_LINE_BYTES = 8 * 1024 * 1024
MAX_CORES = 1024
MAX_OPERATORS = 4096
MAX_DELEGATES = 64
_MAX_REASON_LENGTH = 200

_Nanoseconds = Annotated[int, Field(ge=0, lt=2**63)]
_Count = Annotated[int, Field(ge=0, lt=2**63)]
_Text = Annotated[str, Field(max_length=4096)]


def _printable(text: str) -> str:
    """Nothing in it moves a terminal's cursor or starts a new line."""
    return "".join(character if character.isprintable() else " " for character in text)


_ShownText = Annotated[_Text, AfterValidator(_printable)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class HelloLine(_Line):
    """The first line: which program this is. tick_ns: the smallest difference between two lengths of time that its
    clock was seen to tell; of a clock that ticks every nanosecond, or nearly so, 2."""

    type: Literal["hello"]
    schema_version: Literal[4]
    runtime: Literal["tflite", "executorch"]
    runtime_version: _Text
    abi: Literal["x86_64", "arm64-v8a"]
    pid: _Count
    clock: Literal["CLOCK_MONOTONIC"]
    tick_ns: Annotated[int, Field(ge=1, lt=2**63)]


class MeasurementLine(_Line):
    """One model, measured. started_ns: the device's monotonic clock when timing began. output_error: max |output -
    reference| / max |reference|, None without a reference. cores_ran: where the thread that invokes the model was seen
    before and after each timed invocation; empty where the kernel does not say. warmup_stable: whether the later half
    of warm-up was no faster than the earlier one when it ended; None for too few runs. While timing ran, over all
    threads: switches; cpu_ns: on a core; waited_ns: ready to run, and another program had the core."""

    type: Literal["measurement"]
    id: _Text
    sequence: _Count
    load_ns: _Nanoseconds
    first_ns: _Nanoseconds
    started_ns: _Nanoseconds
    warmup_ns: Annotated[list[_Nanoseconds], Field(max_length=MAX_RUNS)]
    warmup_stable: bool | None
    samples_ns: Annotated[list[_Nanoseconds], Field(min_length=1, max_length=MAX_RUNS)]
    output_error: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    cpus_allowed: Annotated[str, Field(pattern=r"^[0-9a-f,]{0,512}$")]
    cores_ran: Annotated[list[Annotated[int, Field(ge=0, lt=MAX_CORES)]], Field(max_length=MAX_CORES)]
    voluntary_switches: _Count | None
    involuntary_switches: _Count | None
    cpu_ns: _Nanoseconds | None
    waited_ns: _Nanoseconds | None
    peak_rss_kb: _Count | None

    @property
    def allowed_cores(self) -> tuple[int, ...]:
        """The cores of `cpus_allowed`."""
        return cores_in(self.cpus_allowed)


class OperatorTime(_Line):
    """One operator of a model over all runs of a profile.

    name: which one, kind: what it does, both in the runtime's words and as found in the model's file: text to show,
    never to act on. median_ns: over the runs, of the time that all its calls in a run took together.
    resolution_ns: of the clock that the runtime measures it with. delegated: None where the runtime does not say.
    """

    index: _Count
    name: _ShownText
    kind: _ShownText
    median_ns: _Nanoseconds
    total_ns: _Nanoseconds
    calls: Annotated[int, Field(ge=1, lt=2**63)]
    resolution_ns: Annotated[int, Field(ge=1, lt=2**63)]
    delegated: bool | None


class DelegateCoverage(_Line):
    """How much of a model's graph a delegate runs, and in how many parts; None where the runtime does not say."""

    name: _ShownText
    nodes: _Count | None
    of_nodes: _Count | None
    partitions: _Count | None


class ProfileLine(_Line):
    """How long each operator of one model took, in runs of their own after its measurement.

    runs: fewer than asked for where the protocol's max_ns was reached first. median_run_ns: of one whole run; more
    than the model's latency, because the runtime's notes cost time.
    """

    type: Literal["profile"]
    id: _Text
    sequence: _Count
    runs: Annotated[int, Field(ge=1, le=1000)]
    median_run_ns: _Nanoseconds
    operators: Annotated[list[OperatorTime], Field(min_length=1, max_length=MAX_OPERATORS)]
    delegates: Annotated[list[DelegateCoverage], Field(max_length=MAX_DELEGATES)]


class ErrorLine(_Line):
    """One model that could not be measured, or (`output`) computes something else than its reference, or (`profile`)
    was measured, but cannot be profiled."""

    type: Literal["error"]
    id: _Text
    sequence: _Count
    kind: Literal["model", "output", "profile"]
    message: _ShownText


class DoneLine(_Line):
    """The last line. errors: models that could not be measured; a missing profile is not counted. cpu_ns: what all
    threads of the process took of the cores, from its start on."""

    type: Literal["done"]
    models: _Count
    errors: _Count
    cpu_ns: _Nanoseconds | None


RunnerLine = HelloLine | MeasurementLine | ProfileLine | ErrorLine | DoneLine

_ADAPTER: TypeAdapter[RunnerLine] = TypeAdapter(Annotated[RunnerLine, Field(discriminator="type")])


def cores_in(mask: str) -> tuple[int, ...]:
    """The cores of a hexadecimal mask in groups of 32 bits; none where it could not be read."""
    bits = int(mask.replace(",", "") or "0", 16)
    return tuple(number for number in range(bits.bit_length()) if bits >> number & 1)


def parse_line(line: bytes) -> RunnerLine:
    """One line without its line end. Raises MeasurementError when it was damaged on its way, or is not one that a
    runner of this version writes."""
    text = unseal(line)
    if text is None:
        raise DamagedLineError("a line of the runner was damaged on its way: its checksum is missing or wrong")
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        reason = _printable(fault_of(error, whole="line"))[:_MAX_REASON_LENGTH]
        raise MeasurementError(f"the runner wrote a line that is not a result: {reason}") from None
