"""What a runner says, read as if by a stranger: strictly, and in bounded amounts."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from android_bench.checksum import unseal
from android_bench.protocol import MAX_RUNS
from pocketnas_base.errors import MeasurementError

MAX_LINE_BYTES = 8 * 1024 * 1024
MAX_CORES = 1024

_Nanoseconds = Annotated[int, Field(ge=0, lt=2**63)]
_Count = Annotated[int, Field(ge=0, lt=2**63)]
_Text = Annotated[str, Field(max_length=4096)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class HelloLine(_Line):
    """The first line: which program this is."""

    type: Literal["hello"]
    schema_version: Literal[2]
    runtime: Literal["tflite", "executorch"]
    runtime_version: _Text
    abi: Literal["x86_64", "arm64-v8a"]
    pid: _Count
    clock: Literal["CLOCK_MONOTONIC"]


class MeasurementLine(_Line):
    """One model, measured. started_ns: the device's monotonic clock when timing began. output_error: max |output -
    reference| / max |reference|, None without a reference. cores_ran: where the thread that invokes the model was seen
    before and after each timed invocation; empty where the kernel does not say. Switches count all threads while
    timing ran."""

    type: Literal["measurement"]
    id: _Text
    sequence: _Count
    load_ns: _Nanoseconds
    first_ns: _Nanoseconds
    started_ns: _Nanoseconds
    warmup_ns: Annotated[list[_Nanoseconds], Field(max_length=MAX_RUNS)]
    samples_ns: Annotated[list[_Nanoseconds], Field(min_length=1, max_length=MAX_RUNS)]
    output_error: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    cpus_allowed: Annotated[str, Field(pattern=r"^[0-9a-f,]{0,512}$")]
    cores_ran: Annotated[list[Annotated[int, Field(ge=0, lt=MAX_CORES)]], Field(max_length=MAX_CORES)]
    voluntary_switches: _Count | None
    involuntary_switches: _Count | None
    peak_rss_kb: _Count | None

    @property
    def allowed_cores(self) -> tuple[int, ...]:
        """The cores of `cpus_allowed`, a hexadecimal mask in groups of 32 bits; empty where it could not be read."""
        mask = int(self.cpus_allowed.replace(",", "") or "0", 16)
        return tuple(number for number in range(mask.bit_length()) if mask >> number & 1)


class ErrorLine(_Line):
    """One model that could not be measured, or (`output`) computes something else than its reference."""

    type: Literal["error"]
    id: _Text
    sequence: _Count
    kind: Literal["model", "output"]
    message: _Text


class DoneLine(_Line):
    """The last line."""

    type: Literal["done"]
    models: _Count
    errors: _Count


RunnerLine = HelloLine | MeasurementLine | ErrorLine | DoneLine

_ADAPTER: TypeAdapter[RunnerLine] = TypeAdapter(Annotated[RunnerLine, Field(discriminator="type")])


def parse_line(line: bytes) -> RunnerLine:
    """One line without its line end. Raises MeasurementError when it was damaged on its way, or is not one that a
    runner of this version writes."""
    text = unseal(line)
    if text is None:
        raise MeasurementError("a line of the runner was damaged on its way: its checksum is missing or wrong")
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "line"
        raise MeasurementError(f"the runner wrote a line that is not a result: {place}: {first['msg']}") from None
