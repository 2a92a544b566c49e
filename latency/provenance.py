"""Where a table comes from: without it two tables cannot be compared."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from latency.correction import Calibration
from pocketnas_base.artifact import Delegate, Precision, Runtime
from pocketnas_base.errors import InputError
from pocketnas_base.validation import fault_of

SCHEMA_VERSION = 1
OWN_RUNNER = "pocketnas"

TableFormat = Literal["proxylessnas", "ofa", "tunas", "csv"]
TimesAre = Literal["mean", "regression weight", "unknown"]
RowsAre = Literal["alone", "share"]

_KNOWN_OF_MEASURED = (
    "device",
    "device_fingerprint",
    "runtime",
    "runtime_version",
    "precision",
    "threads",
    "cores",
    "date_utc",
    "space",
    "space_fingerprint",
    "seed",
    "delegate",
    "runner",
)


class TableSource(BaseModel):
    """Where a table was imported from. text: who published it and where it lay. licence: None where that is not known.
    times: what a row's latency_ms is, a mean over samples or the weight of a linear regression (which may be negative:
    it is no time that anything took)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: TableFormat
    text: Annotated[str, Field(min_length=1, max_length=2000)]
    licence: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    times: TimesAre = "unknown"


class TableInfo(BaseModel):
    """A table's provenance. None: not readable on that device; in an imported table: not said by its source.

    source: None for a table that this tool measured. rows: `alone`, each row is the latency of the operator's own
    model, one invocation included, and the row `empty` is that of a model without work; or `share`, each row is what
    the operator adds to a network, and the row `empty`, where there is one, is the constant on top.
    tolerated: the reasons why some measurements would have been void, had the user not overlooked them. unjudged: the
    services of the phone that did not tell whether it was fit; None in a table of before that was kept. runner: what
    measured, PocketNAS' own or an official tool. delegate: what it ran the operators on. A table belongs to one of
    each: times of two are not to be mixed. calibration: what whole networks measured on the same device say of sums of
    these rows; None: none were measured.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA_VERSION
    device: str | None
    device_model: str | None
    device_fingerprint: str | None
    soc: str | None
    os_version: str | None
    runtime: Runtime | None
    runtime_version: str | None
    precision: Precision | None
    threads: Annotated[int, Field(ge=1)] | None
    cores: tuple[int, ...] | None
    governor: str | None
    temperature_before_c: float | None
    temperature_after_c: float | None
    tool_version: str
    date_utc: str | None
    space: str | None
    space_fingerprint: str | None
    seed: int | None
    tolerated: tuple[str, ...] = ()
    unjudged: tuple[str, ...] | None = None
    delegate: Delegate | None = "cpu"
    runner: Annotated[str, Field(min_length=1, max_length=200)] | None = OWN_RUNNER
    rows: RowsAre = "alone"
    source: TableSource | None = None
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _measured_tables_know(self) -> "TableInfo":
        if self.source is None:
            unknown = [name for name in _KNOWN_OF_MEASURED if getattr(self, name) is None]
            if unknown:
                raise ValueError(f"a measured table says its {unknown[0]}; one that does not needs a source")
            if self.rows != "alone":
                raise ValueError("a measured table's rows are of operators alone; others need a source")
        if self.calibration is not None and self.rows != "alone":
            raise ValueError("only rows of operators alone are calibrated")
        return self

    @property
    def device_name(self) -> str:
        """How messages call the device."""
        return self.device or self.device_model or "an unknown device"

    def facts(self) -> dict[str, Any]:
        """Every field as it is shown to a reader: plain values, and of the calibration what it came to."""
        plain = self.model_dump(mode="json", exclude={"calibration"})
        return {**plain, "calibration": None if self.calibration is None else self.calibration.found}

    @classmethod
    def imported(cls, source: TableSource, *, rows: RowsAre, tool_version: str) -> "TableInfo":
        """The provenance of a table whose source says nothing else; fill in what it does with `model_copy`."""
        nothing = dict.fromkeys(cls.model_fields)
        return cls.model_validate(
            {
                **nothing,
                "schema_version": SCHEMA_VERSION,
                "tool_version": tool_version,
                "tolerated": (),
                "rows": rows,
                "source": source,
            }
        )

    @classmethod
    def parse(cls, text: str | bytes, *, where: str) -> "TableInfo":
        """Inverse of `model_dump_json`. Raises InputError naming `where` and the field at fault."""
        try:
            return cls.of_plain(json.loads(text), where=where)
        except (ValueError, RecursionError):
            raise InputError(f"{where}: its provenance is not valid JSON") from None

    @classmethod
    def of_plain(cls, plain: object, *, where: str) -> "TableInfo":
        """The same from plain data."""
        version = plain.get("schema_version") if isinstance(plain, dict) else None
        if version != SCHEMA_VERSION:
            raise InputError(f"{where}: schema version {version!r}, this tool reads {SCHEMA_VERSION}")
        try:
            return cls.model_validate(plain)
        except ValidationError as error:
            raise InputError(f"{where}: {fault_of(error, whole='provenance')}") from None
