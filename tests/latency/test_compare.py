"""Results of different tools: what belongs together, and what is said of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.compare import Differing, Interval, ToolFile, ToolResult, combined, compare, differing, overall
from latency.compare_pairing import check_named, pair, stem
from pocketnas_base.errors import InputError

SHA, OTHER_SHA = "ab" * 32, "cd" * 32
TIMES = st.floats(1e-3, 1e6)
NAMES = st.sampled_from(["a.tflite", "b.tflite", "dir/a.tflite", "b.pte", "c", "mobilenet_v1_1.0_224"])


def result(model: str = "net.tflite", sha256: str | None = None, ms: float = 2.0, **circumstances: str) -> ToolResult:
    return ToolResult(model, sha256, {"median": ms}, None, circumstances)


def results_file(*results: ToolResult, name: str = "first") -> ToolFile:
    return ToolFile(name, "a tool", results)


@st.composite
def results_files(draw: st.DrawFn) -> ToolFile:
    shas = st.sampled_from([None, SHA, OTHER_SHA])
    made = st.builds(
        result, model=NAMES, sha256=shas, ms=TIMES, device=st.sampled_from("xy"), threads=st.sampled_from("12")
    )
    return results_file(*draw(st.lists(made, max_size=6)), name=draw(st.sampled_from(["p", "q"])))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("/data/local/tmp/net.tflite", "net"),
        ("C:\\nets\\net.TFLITE", "net"),
        ("mobilenet_v1_1.0_224", "mobilenet_v1_1.0_224"),
        ("mobilenet_v1_1.0_224.tflite", "mobilenet_v1_1.0_224"),
        (".tflite", ".tflite"),
        ("net.pte", "net"),
    ],
)
def test_a_name_is_taken_without_folders_and_the_suffix_of_a_model(model: str, expected: str) -> None:
    assert stem(model) == expected


def test_equal_content_is_one_model_whatever_its_name() -> None:
    first = results_file(result("a.tflite", SHA), result("b.tflite", OTHER_SHA))
    found = pair(first, results_file(result("b.tflite", SHA), result(f"/data/{OTHER_SHA}"), name="other"))
    assert [(mine.model, theirs.model) for mine, theirs in found.pairs] == [
        ("a.tflite", "b.tflite"),
        ("b.tflite", f"/data/{OTHER_SHA}"),
    ]
    assert found.unpaired == ()


def test_equal_names_with_other_content_are_told_and_paired_only_when_asked() -> None:
    first, other = results_file(result(sha256=SHA)), results_file(result(sha256=OTHER_SHA), name="other")
    found = pair(first, other)
    assert found.pairs == ()
    assert [(one.file, one.model) for one in found.unpaired] == [("first", "net.tflite"), ("other", "net.tflite")]
    assert "another content (sha256); --pair compares them all the same" in found.unpaired[1].reason
    assert len(pair(first, other, [("net", "net")]).pairs) == 1


def test_of_several_results_of_a_name_the_one_most_alike_is_meant() -> None:
    phone, here = result(ms=1.0, runtime="tflite", device="x"), result(ms=2.0, runtime="tflite", device="y")
    pte = result("net.pte", ms=3.0, runtime="executorch", device="y")
    first = results_file(phone, here, pte)
    found = pair(first, results_file(result(runtime="executorch"), result(device="x"), name="other"))
    assert [mine for mine, _ in found.pairs] == [phone, pte]
    assert [one.reason for one in found.unpaired] == ["another result of it is more like that of other"]
    unclear = pair(first, results_file(result(runtime="tflite"), name="other"))
    assert unclear.pairs == ()
    assert unclear.unpaired[-1].reason == "2 results of first may be meant"


def test_names_that_are_given_decide() -> None:
    first, other = results_file(result("a"), result("b")), results_file(result("x"), result("b"), name="other")
    found = pair(first, other, [("a", "x")])
    assert [(mine.model, theirs.model) for mine, theirs in found.pairs] == [("a", "x"), ("b", "b")]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ([("z", "x")], "--pair z=x: first has no model 'z'; it has a, b"),
        ([("a", "z")], "--pair a=z: no other file has a model 'z'; it has b, x"),
        ([("a", "x"), ("b", "x")], "--pair b=x: 'x' is 'a' already"),
    ],
)
def test_names_that_no_file_has_are_refused(named: list[tuple[str, str]], message: str) -> None:
    first, other = results_file(result("a"), result("b")), results_file(result("x"), result("b"), name="other")
    with pytest.raises(InputError, match=message):
        check_named(first, [other], named)


@given(results_files(), results_files())
def test_every_result_is_paired_or_listed(first: ToolFile, other: ToolFile) -> None:
    first, other = ToolFile("1", "t", first.results), ToolFile("2", "t", other.results)
    found = pair(first, other)
    listed = [(one.file, one.model) for one in found.unpaired]
    for theirs in other.results:
        is_paired = any(theirs is right for _, right in found.pairs)
        assert is_paired or ("2", theirs.model) in listed
    for mine in first.results:
        assert any(mine is left for left, _ in found.pairs) or ("1", mine.model) in listed
    assert len(found.pairs) + listed.count(("2", "")) + sum(file == "2" for file, _ in listed) == len(other.results)


@given(results_files(), results_files())
def test_what_is_paired_is_not_known_to_differ_in_content(first: ToolFile, other: ToolFile) -> None:
    for mine, theirs in pair(first, other).pairs:
        assert None in (mine.sha256, theirs.sha256) or mine.sha256 == theirs.sha256
        assert mine.sha256 is not None or stem(mine.model) == stem(theirs.model)


@given(results_files())
def test_a_file_held_against_itself_differs_in_nothing(file: ToolFile) -> None:
    for mine, theirs in pair(file, file).pairs:
        if mine is theirs:
            one = compare(mine, theirs)
            assert (one.ratio, one.difference_percent, one.differing) == (1.0, 0.0, ())


@given(TIMES, TIMES)
def test_difference_is_of_the_first(first_ms: float, other_ms: float) -> None:
    one, back = compare(result(ms=first_ms), result(ms=other_ms)), compare(result(ms=other_ms), result(ms=first_ms))
    assert first_ms * (1 + one.difference_percent / 100) == pytest.approx(other_ms)
    assert one.ratio * back.ratio == pytest.approx(1)
    total = overall([one, compare(result(ms=1.0), result(ms=1.0)), back])
    assert total is not None
    assert total.pairs == 3
    assert total.median_ratio == pytest.approx(1)


def test_the_statistic_that_both_state_is_compared() -> None:
    both = ToolResult("a", None, {"median": 1.0, "mean": 2.0, "minimum": 0.5}, Interval(0.5, 3, "runs"), {})
    mean = ToolResult("a", None, {"mean": 3.0, "minimum": 0.9}, Interval(3, 4, "runs"), {})
    estimate = ToolResult("a", None, {"estimate": 5.0}, Interval(3, 4, "runs"), {})
    one = compare(both, mean)
    assert (one.first_statistic, one.other_statistic, one.first_ms, one.other_ms) == ("mean", "mean", 2.0, 3.0)
    assert one.overlap is True
    one = compare(both, estimate)
    assert (one.first_statistic, one.other_statistic, one.first_ms, one.other_ms) == ("median", "estimate", 1.0, 5.0)
    assert one.overlap is None, "an estimate is of no known runs"


@given(*(st.integers(0, 9) for _ in range(4)))
def test_intervals_overlap_when_they_share_a_point(a: int, b: int, c: int, d: int) -> None:
    first, other = (min(a, b), max(a, b)), (min(c, d), max(c, d))
    sides = [ToolResult("a", None, {"mean": 1.0}, Interval(*bounds, "runs"), {}) for bounds in (first, other)]
    shared = set(range(first[0], first[1] + 1)) & set(range(other[0], other[1] + 1))
    assert compare(*sides).overlap == bool(shared)
    assert compare(sides[0], result()).overlap is None


def test_circumstances_that_differ_come_before_those_not_told() -> None:
    first = {"device": "Google Pixel 6", "threads": "1", "runtime": "tflite"}
    other = {"delegate": "cpu", "device": "google Pixel 6", "threads": "4"}
    assert differing(first, other) == (
        Differing("threads", "1", "4"),
        Differing("runtime", "tflite", None),
        Differing("delegate", None, "cpu"),
    )


def test_ranks_need_three_models() -> None:
    pairs = [compare(result(ms=ms), result(ms=10 * ms)) for ms in (1.0, 2.0, 3.0)]
    for count, ranks in ((3, 1.0), (2, None)):
        total = overall(pairs[:count])
        assert total is not None
        assert (total.rank_correlation, total.median_ratio) == (ranks, 10.0)
    assert overall([]) is None


def test_processes_of_a_model_are_one_result_of_what_all_of_them_state() -> None:
    runs = [
        ToolResult("a", None, {"mean": 3.0, "median": 2.5}, Interval(1, 9, "runs"), {"threads": "1"}),
        ToolResult("a", None, {"mean": 1.0, "median": 1.0}, None, {"threads": "1"}),
        ToolResult("a", None, {"mean": 2.0}, None, {"threads": "1"}),
    ]
    whole = combined(runs)
    assert (whole.figures_ms, whole.interval, whole.processes) == ({"mean": 2.0}, Interval(1.0, 3.0, "3 processes"), 3)
    assert combined(runs[:1]) is runs[0]
