"""`check`: every kind of fault is named with its row, its figures and what to do; a good table has none."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sample_tables import measured_table, row

from latency.check import MOST_HIGH, MOST_SPREAD, Finding, check_table
from latency.library import load_table
from latency.opspec import EMPTY, OpSpec
from latency.provenance import TableInfo, TableSource
from latency.table import LatencyTable, TableRow
from pocketnas_base.errors import InputError
from search.space import load_space

DEMO = load_space("demo")
LARGE = OpSpec("mbconv", 16, 24, 7, 6, 2, 14)
SMALL = OpSpec("mbconv", 16, 24, 3, 3, 2, 14)


def with_rows(changed: dict[OpSpec, TableRow | None], **info: object) -> LatencyTable:
    table = measured_table(DEMO, **info)
    rows: dict[OpSpec, TableRow | None] = {**table.rows, **changed}
    return LatencyTable(table.info, {op: row for op, row in rows.items() if row is not None})


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    assert len(finding.text.splitlines()) == 1
    return finding


def test_the_operators_of_the_tests_are_in_the_space() -> None:
    assert {LARGE, SMALL} <= set(DEMO.op_specs())


def test_a_good_table_has_nothing_wrong() -> None:
    assert check_table(measured_table(DEMO), DEMO.chain) == []


def test_a_missing_row_is_named_once_with_what_to_do() -> None:
    finding = only(check_table(with_rows({LARGE: None}), DEMO.chain))
    assert (finding.kind, finding.key) == ("missing", LARGE.key)
    assert "space demo offers it and the table has no row; to measure it again, delete the samples" in finding.text
    assert check_table(with_rows({LARGE: None}), None) == [], "without a space nothing is missing"


def test_an_operator_that_stands_at_several_places_is_missing_once() -> None:
    mobile = load_space("mobile")
    repeated = mobile.edges[1].candidates[0]
    assert sum(repeated in edge.candidates for edge in mobile.edges) == 3
    table = measured_table(mobile)
    holed = LatencyTable(table.info, {op: row for op, row in table.rows.items() if op != repeated})
    assert only(check_table(holed, mobile.chain)).key == repeated.key


def test_a_table_of_another_space_is_refused() -> None:
    with pytest.raises(InputError, match="is of another space than mobile; give its own with --space"):
        check_table(measured_table(DEMO), load_space("mobile").chain)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda ms: row(ms, high=MOST_HIGH + 0.02), ("+7.0 %", "at most +5.0 % is asked", "more --processes")),
        (lambda ms: replace(row(ms), settled=False), ("+1.0 %", "its 20 processes were all", "more --processes")),
        (lambda ms: replace(row(ms, high=MOST_HIGH + 0.02), settled=False), ("+7.0 %", "at most +5.0 % is asked")),
        (lambda ms: row(ms, spread=(0.9, 1.5)), ("10th to 90th percentile", "a factor 1.67", f"at most {MOST_SPREAD}")),
    ],
)
def test_an_unstable_row_is_named_with_its_figures(change: Callable[[float], TableRow], words: tuple[str, ...]) -> None:
    ms = measured_table(DEMO).rows[LARGE].latency_ms
    finding = only(check_table(with_rows({LARGE: change(ms)}), DEMO.chain))
    assert (finding.kind, finding.key) == ("unstable", LARGE.key)
    assert [word for word in words if word not in finding.text] == []
    assert finding.figures


def test_limits_themselves_are_within() -> None:
    ms = measured_table(DEMO).rows[LARGE].latency_ms
    edge = TableRow(ms, ms * MOST_HIGH, ms, ms, ms * MOST_SPREAD, 400, 20)
    assert check_table(with_rows({LARGE: edge}), DEMO.chain) == []
    assert check_table(with_rows({LARGE: replace(edge, settled=True)}), DEMO.chain) == []


def test_a_row_of_which_more_than_half_was_void_is_named() -> None:
    kept = measured_table(DEMO).rows[LARGE]
    finding = only(check_table(with_rows({LARGE: replace(kept, void_samples=600)}), DEMO.chain))
    assert (finding.kind, finding.key) == ("void", LARGE.key)
    assert "600 of 1000 samples were void (60 %, at most 50 % is asked); build it with more --proc" in finding.text
    assert finding.figures == {"samples": 400.0, "void_samples": 600.0, "void_share": 0.6}
    assert check_table(with_rows({LARGE: replace(kept, void_samples=400)}), DEMO.chain) == []


def test_less_work_that_takes_longer_is_implausible() -> None:
    slow = measured_table(DEMO).rows[LARGE].latency_ms * 1.2
    finding = only(check_table(with_rows({SMALL: row(slow)}), DEMO.chain))
    assert (finding.kind, finding.key) == ("implausible", SMALL.key)
    assert "MACs, but" in finding.text
    assert finding.figures["latency_ms"] > finding.figures["other_ms"]
    assert finding.figures["macs"] < finding.figures["other_macs"]


def test_but_not_within_the_noise_of_both_rows() -> None:
    table = measured_table(DEMO)
    neighbour = replace(SMALL, expansion=6)
    least = min(table.rows[op].latency_ms for op in (neighbour, replace(SMALL, kernel=5)))
    barely = row(least * 1.03, high=1.04)
    assert check_table(with_rows({SMALL: barely}), DEMO.chain) == []
    assert check_table(with_rows({SMALL: row(least * 1.03, high=1.001)}), DEMO.chain) != []


def test_a_wider_kernel_with_less_expansion_is_another_matter() -> None:
    """More MACs in all, but less of one thing: which is slower is the device's affair."""
    table = measured_table(DEMO)
    wide, deep = replace(SMALL, kernel=7), replace(SMALL, expansion=6)
    assert wide.macs < deep.macs
    slow = row(table.rows[deep].latency_ms * 1.05)
    faults = check_table(with_rows({wide: slow}), DEMO.chain)
    assert not [fault for fault in faults if fault.figures.get("other_macs") == deep.macs]


def test_rows_without_a_stated_noise_are_not_compared() -> None:
    slow = measured_table(DEMO).rows[LARGE].latency_ms * 2
    unknown = replace(row(slow), high_ms=None)
    source = TableSource(format="csv", text="a test")
    assert check_table(with_rows({SMALL: unknown}, source=source), DEMO.chain) == []


def test_an_operator_no_slower_than_the_empty_model_is_implausible() -> None:
    finding = only(check_table(with_rows({SMALL: row(0.005)}), None))
    assert (finding.kind, finding.key) == ("implausible", SMALL.key)
    assert "is no more than the empty model, beyond its noise" in finding.text


def test_a_time_that_no_device_reaches_is_implausible() -> None:
    op = OpSpec("mbconv", 192, 320, 7, 6, 1, 7)
    table = measured_table(DEMO)
    rows = {**table.rows, EMPTY: row(1e-7), op: row(1e-4)}
    finding = next(f for f in check_table(LatencyTable(table.info, rows), None) if f.key == op.key)
    assert finding.kind == "implausible"
    assert "T MACs/s, more than any device does; is it in milliseconds?" in finding.text


@pytest.mark.parametrize("latency_ms", [0.0, -0.25])
def test_a_mean_that_is_nothing_or_less_is_implausible(latency_ms: float) -> None:
    info = TableInfo.imported(TableSource(format="csv", text="a test", times="mean"), rows="share", tool_version="0")
    nothing = TableRow(latency_ms, None, None, None, None, 100, None)
    finding = only(check_table(LatencyTable(info, {SMALL: nothing}), None))
    assert (finding.kind, finding.key) == ("implausible", SMALL.key)
    assert "is no more than nothing" in finding.text
    assert "pocketnas table build" in finding.text


def test_a_high_below_the_latency_is_implausible() -> None:
    finding = only(check_table(with_rows({LARGE: row(3.0, high=0.9)}), DEMO.chain))
    assert (finding.kind, finding.key) == ("implausible", LARGE.key)


def test_weights_of_a_linear_model_may_be_anything() -> None:
    assert check_table(load_table("pixel1"), load_space("mobile").chain) == []


def test_a_row_that_a_linear_model_lacks_is_named_with_its_place() -> None:
    table = load_table("pixel1")
    (place, op), *_ = [key for key in table.placed if key[1].kind == "zero"]
    placed = {key: row for key, row in table.placed.items() if key != (place, op)}
    finding = only(check_table(LatencyTable(table.info, table.rows, placed), load_space("mobile").chain))
    assert (finding.kind, finding.key) == ("missing", f"{op.key}@{place}")


def test_rows_measured_with_a_reason_overlooked_are_named() -> None:
    good = measured_table(DEMO).rows[LARGE]
    hot = replace(good, tolerated=("throttled", "thermal-rise"))
    finding = only(check_table(with_rows({LARGE: hot}, tolerated=("throttled", "thermal-rise")), DEMO.chain))
    assert (finding.kind, finding.key) == ("tolerated", LARGE.key)
    assert "although throttled, thermal-rise; measure it without --tolerate" in finding.text


def test_a_table_that_only_knows_that_something_was_overlooked_says_so() -> None:
    finding = only(check_table(measured_table(DEMO, tolerated=("drift",)), DEMO.chain))
    assert (finding.kind, finding.key) == ("tolerated", "table")
    assert "although drift, and it does not say of which rows" in finding.text


def test_a_family_that_no_space_has_is_not_compared_for_hours() -> None:
    table = measured_table(DEMO)
    family = {replace(SMALL, expansion=number): row(1.0) for number in range(1, 1100)}
    with pytest.raises(InputError, match="1099 operators that differ in kernel and expansion only"):
        check_table(LatencyTable(table.info, {EMPTY: table.rows[EMPTY], **family}), None)
