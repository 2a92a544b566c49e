"""TFLite's tables of time by operator."""

import pytest
from device_samples import BENCHMARK_MODEL, PROFILE_CSV_NEW, PROFILE_CSV_OLD, PROFILE_NEW, PROFILE_OLD
from hypothesis import given
from hypothesis import strategies as st

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.op_profile import GraphProfile, NodeTypeTime, OperatorTime, parse_op_profile

RULE = "=" * 30
NUMBERS = st.integers(0, 10**6).map(lambda thousandths: thousandths / 1000)
# A name that begins or ends with what separates columns cannot be told from them.
WORDS = st.from_regex(r"[A-Za-z(\[][A-Za-z0-9 ,;:/()_]{0,20}[A-Za-z)\]]", fullmatch=True)
OPERATORS = st.lists(
    st.builds(OperatorTime, WORDS, WORDS, st.none(), NUMBERS, NUMBERS, NUMBERS, st.integers(0, 99)), max_size=4
)


def test_old_table_has_a_start() -> None:
    (profile,) = parse_op_profile(PROFILE_OLD)
    assert profile == GraphProfile(
        None,
        "primary",
        (
            OperatorTime("CONV_2D", "[Mobilenet/Conv2d_0/Relu6]", 0.0, 4.269, 4.269, 0.0, 0),
            OperatorTime("DEPTHWISE_CONV_2D", "[Mobilenet/Conv2d_1_depthwise/Relu6]", 4.27, 2.15, 2.15, 0.0, 0),
        ),
        (
            NodeTypeTime("CONV_2D", 1, 4.269, 0.0, 0),
            NodeTypeTime("DEPTHWISE_CONV_2D", 1, 2.15, 0.0, 0),
        ),
    )


def test_new_tables_are_told_apart_by_stage_and_graph() -> None:
    profiles = parse_op_profile(PROFILE_NEW)
    assert [(profile.stage, profile.graph) for profile in profiles] == [
        ("initialization", "primary"),
        ("runs", "primary"),
        ("runs", "subgraph 3"),
        ("runs", "delegate"),
    ]
    assert profiles[0].operators == (
        OperatorTime("ModifyGraphWithDelegate", "ModifyGraphWithDelegate/0", None, 354.149, 354.149, 124.0, 1),
    )
    assert profiles[1].operators[0].name == "[a/b, c/d;e]:7"
    assert profiles[3].operators[0].node_type == "Convolution (NHWC, F32) IGEMM"


def test_profile_is_found_in_a_whole_console_text() -> None:
    assert parse_op_profile(BENCHMARK_MODEL + PROFILE_NEW) == parse_op_profile(PROFILE_NEW)


def test_csv_may_hold_its_separator_in_types_and_names() -> None:
    (profile,) = parse_op_profile(PROFILE_CSV_NEW)
    assert [(operator.node_type, operator.name) for operator in profile.operators] == [
        ("CONV_2D", "[sequential_11/conv2d_33/Conv2D]:0"),
        ("Convolution (NHWC, F32) IGEMM", "Delegate/Convolution (NHWC, F32) IGEMM:1"),
        ("SPLIT", "[left, right;rest, 5]:2"),
    ]
    assert [operator.avg_ms for operator in profile.operators] == [0.0930388, 0.05, 0.0]
    assert profile.node_types[1] == NodeTypeTime("Convolution (NHWC, F32) IGEMM", 1, 0.05, 0.0, 1)


def test_old_csv_has_a_start() -> None:
    (profile,) = parse_op_profile(PROFILE_CSV_OLD)
    assert profile.operators == (
        OperatorTime("CONV_2D", "[sequential_11/conv2d_33/Conv2D]:0", 0.0, 0.11, 0.0930388, 0.0, 1),
    )


def test_columns_in_another_order_are_found_by_their_titles() -> None:
    header = "\t[node type]\t[mem KB]\t[avg ms]\t[times called]\t[first]\t[new]\t[Name]"
    text = f"""\
{RULE} Run Order {RULE}
{header}
\tADD\t1.5\t2.5\t3\t4.5\t9\tname\twith a tab

Number of nodes executed: 1
{RULE} Summary by node type {RULE}
\t[Node type]\t[count]\t[mem KB]\t[avg ms]\t[times called]
\tADD\t1\t1.5\t2.5\t3
"""
    (profile,) = parse_op_profile(text)
    assert profile.operators == (OperatorTime("ADD", "name\ufffdwith a tab", None, 4.5, 2.5, 1.5, 3),)
    assert profile.node_types == (NodeTypeTime("ADD", 1, 2.5, 1.5, 3),)


def test_memory_that_was_given_back_is_negative() -> None:
    (profile,) = parse_op_profile(PROFILE_CSV_OLD.replace("44.8994%, 0, 1, [", "44.8994%, -12.5, 1, ["))
    assert profile.operators[0].mem_kb == -12.5


@pytest.mark.parametrize("lines", range(1, len(PROFILE_OLD.split("Timings")[0].split("\n")) - 4))
def test_profile_cut_after_any_line_before_its_summary_is_refused(lines: int) -> None:
    with pytest.raises(UnreadableOutputError, match="benchmark_model's profile"):
        parse_op_profile("\n".join(PROFILE_OLD.split("\n")[:lines]))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Number of nodes executed: 2", "Number of nodes executed: 31", "not as many as were executed"),
        ("Number of nodes executed: 2", "", "not as many as were executed"),
        ("\t  [avg ms]\t    [avg %]", "\t    [avg %]", "a row that does not fit|no type of operators"),
        ("\t    4.269\t    4.269\t", "\t    4.269\t", "a row that does not fit"),
        ("\t    4.269\t    4.269\t", "\t    4.269\t      nan\t", "no operator"),
        ("\t    4.269\t    4.269\t", "\t    4.269\t   -4.269\t", "no operator"),
        ("[node type]", "[node]", "no header of a table"),
        ("[first]", "[avg ms]", "no header of a table"),
        ("[times called]", "[calls]", "no operator|no type of operators"),
    ],
)
def test_table_that_lacks_or_contradicts_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(UnreadableOutputError, match=message):
        parse_op_profile(PROFILE_OLD.replace(old, new))


@pytest.mark.parametrize("row", ["CONV_2D", "CONV_2D, 0.11", "CONV_2D, 1, 2, 3%, 4%, 5, 6", "1, 2, 3, 4, 5, 6, 7"])
def test_csv_row_that_does_not_fit_is_refused(row: str) -> None:
    lines = PROFILE_CSV_NEW.split("\n")
    with pytest.raises(UnreadableOutputError, match="a row that does not fit its table"):
        parse_op_profile("\n".join([*lines[:2], row, *lines[3:]]))


@pytest.mark.parametrize("output", ["", BENCHMARK_MODEL, "node type, first\n"])
def test_text_without_a_table_is_refused(output: str) -> None:
    with pytest.raises(UnreadableOutputError, match="there is no table in it"):
        parse_op_profile(output)


@given(OPERATORS, st.booleans())
def test_operators_survive_the_trip(operators: list[OperatorTime], as_csv: bool) -> None:
    rows = [[o.node_type, o.first_ms, o.avg_ms, "1%", "2%", o.mem_kb, o.times_called, o.name] for o in operators]
    titles = ["node type", "first", "avg_ms" if as_csv else "avg ms", "%", "cdf%", "mem KB", "times called", "name"]
    separator = ", " if as_csv else "\t"
    head = separator.join(titles) if as_csv else "".join(f"\t[{title}]" for title in titles)
    body = "".join(("" if as_csv else "\t") + separator.join(map(str, row)) + "\n" for row in rows)
    summary = ", ".join(["node type", "count", "avg_ms", "mem KB", "times called"])
    (profile,) = parse_op_profile(
        f"{RULE} Run Order {RULE}\n{head}\n{body}\nNumber of nodes executed: {len(rows)}\n"
        f"{RULE} Summary by node type {RULE}\n{summary}\n"
    )
    assert list(profile.operators) == operators
