"""Did it keep its promise: the numbers at the top of the report, and what is asked of each."""

from dataclasses import dataclass

from pocketnas.report.collect import RunRecord
from pocketnas.report.text import DASH, error_size, milliseconds, number, percent, runtime_name, signed, table_text

# What a run promises of its prediction, and of its fp32 files beside torch.
MOST_PREDICTION_ERROR_PERCENT = 10.0
MOST_TOP1_LOSS_POINTS = 0.1
MOST_FP32_DIFFERENCE = 1e-4


@dataclass(frozen=True, slots=True)
class Check:
    """One thing promised. found: the fact. asked: the bound."""

    name: str
    found: str
    asked: str
    kept: bool


@dataclass(frozen=True, slots=True)
class Tile:
    """One big number. value and unit are set in different sizes; notes stand under them."""

    name: str
    value: str
    unit: str
    notes: tuple[str, ...]
    accent: bool = False


@dataclass(frozen=True, slots=True)
class Headline:
    """verdict: a few words, mark: the same in one letter; sentence: what it rests on."""

    kept: bool
    verdict: str
    mark: str
    sentence: str
    tiles: tuple[Tile, ...]
    checks: tuple[Check, ...]


def headline(record: RunRecord) -> Headline:
    """The strip at the top. A check is made only of what was measured; fp32's bounds are asked of fp32 files only."""
    error = record.summary.error_percent
    about_latency = () if error is None else (_target(record), _prediction(error))
    checks = (*about_latency, *_accuracy(record), *_parity(record))
    broken = [check.name for check in checks if not check.kept]
    verdict, mark = ("Promise not kept", "✗") if broken else ("Promise kept", "✓")
    if error is None and not broken:
        verdict, mark = "Latency not compared", DASH
    return Headline(
        kept=not broken,
        verdict=verdict,
        mark=mark,
        sentence=_sentence(record, error) + (f" Not met: {', '.join(dict.fromkeys(broken))}." if broken else ""),
        tiles=_tiles(record),
        checks=checks,
    )


def _sentence(record: RunRecord, error: float | None) -> str:
    summary = record.summary
    asked = (
        f"Asked for {milliseconds(summary.target_ms)}, predicted {milliseconds(summary.predicted_ms)}, measured "
        f"{milliseconds(summary.promised_ms)} with {runtime_name(summary.table_runtime)}"
    )
    if error is None:
        return f"{asked}. Not compared: {summary.not_compared}."
    over = 100 * (summary.promised_ms - summary.target_ms) / summary.target_ms
    return (
        f"{asked}: {_beside(over, 'above', 'below', 'the target')}; the prediction was "
        f"{_beside(error, 'too high', 'too low', '')}."
    )


def _beside(value: float, above: str, below: str, what: str) -> str:
    if abs(value) < 0.05:
        return f"at {what}" if what else "exact to 0.1 %"
    return f"{abs(value):.1f} % {above if value > 0 else below} {what}".strip()


def _tiles(record: RunRecord) -> tuple[Tile, ...]:
    summary, info, baseline = record.summary, record.table.info, record.summary.baseline
    runtime = summary.table_runtime
    others = tuple(
        f"{runtime_name(name)} {milliseconds(value)}" for name, value in summary.measured_ms.items() if name != runtime
    )
    exported = tuple(
        f"{runtime_name(name)} {percent(value)}" for name, value in summary.top1.items() if name != "torch"
    )
    beside = summary.torch_top1 - (baseline.torch_top1 or 0.0)
    notes: list[str] = [] if baseline.torch_top1 is None else [f"{baseline.name}: {percent(baseline.torch_top1)}"]
    if slower := baseline.latency_ms(runtime):
        change = 100 * (summary.promised_ms - slower) / slower
        notes.append(f"in {milliseconds(slower)}; ours {_beside(change, 'slower', 'faster', '')}" if abs(change) >= 0.05
                     else f"in {milliseconds(slower)}, as ours")  # fmt: skip
    interval = "its noise is not known"
    if summary.predicted_low_ms is not None and summary.predicted_high_ms is not None:
        known = "with its noise" if info.calibration is None else "in 95 of 100 cases"
        interval = f"{number(summary.predicted_low_ms)} to {number(summary.predicted_high_ms)} {known}"
    error = summary.error_percent
    compared = "not compared with the prediction" if error is None else f"prediction {signed(error)} %"
    return (
        Tile("Target", number(summary.target_ms), "ms", ("what was asked for",)),
        Tile(
            "Predicted",
            number(summary.predicted_ms),
            "ms",
            (
                interval,
                f"table: {table_text(info)}",
            ),
        ),
        Tile(
            "Measured",
            number(summary.promised_ms),
            "ms",
            (f"{runtime_name(runtime)}; {compared}", *others),
            accent=True,
        ),
        Tile("Top-1", f"{summary.torch_top1:.2f}", "%", ("torch", *exported)),
        Tile(
            "Against the baseline",
            DASH if baseline.torch_top1 is None else signed(beside, 2),
            "" if baseline.torch_top1 is None else "points top-1",
            tuple(notes),
        ),
    )


def _target(record: RunRecord) -> Check:
    """Met when the measured latency is not above the target by more than its own uncertainty."""
    summary, row = record.summary, record.promise
    low = 2 * row.latency_ms - row.high_ms if row else summary.promised_ms
    return Check(
        "Latency target",
        f"{milliseconds(summary.promised_ms)} measured with {runtime_name(summary.table_runtime)}",
        f"≤ {milliseconds(summary.target_ms)}, give or take the noise",
        min(low, summary.promised_ms) <= summary.target_ms,
    )


def _prediction(error: float) -> Check:
    return Check(
        "Prediction",
        f"{signed(error)} % from the measurement",
        f"within {MOST_PREDICTION_ERROR_PERCENT:.0f} %",
        abs(error) <= MOST_PREDICTION_ERROR_PERCENT,
    )


def _accuracy(record: RunRecord) -> list[Check]:
    summary, checks = record.summary, []
    for file in record.manifest.files:
        top1 = summary.top1.get(file.runtime) if file.top1 is None else file.top1
        if file.precision != "fp32" or top1 is None:
            continue
        change = top1 - summary.torch_top1
        checks.append(
            Check(
                f"{runtime_name(file.runtime)} accuracy",
                f"{signed(change, 2)} points from torch",
                f"within {MOST_TOP1_LOSS_POINTS} point",
                # 0.1 is no binary number: a difference of exactly a tenth of a point must not fail on its last bit.
                abs(change) <= MOST_TOP1_LOSS_POINTS + 1e-9,
            )
        )
    return checks


def _parity(record: RunRecord) -> list[Check]:
    return [
        Check(
            f"{runtime_name(file.runtime)} outputs",
            f"{error_size(file.parity.relative_error)} of the outputs' scale from torch",
            f"below {MOST_FP32_DIFFERENCE:.0e}",
            abs(file.parity.relative_error) < MOST_FP32_DIFFERENCE,
        )
        for file in record.manifest.files
        if file.precision == "fp32" and file.parity is not None and file.parity.relative_error is not None
    ]
