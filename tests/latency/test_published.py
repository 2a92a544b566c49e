"""The Pixel 1 model that ships: bias plus weights, to the last bit, and honest about where it comes from."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from sample_tables import linear_model

from latency.formats.tunas import load_linear_model
from latency.library import load_table, published_tables
from latency.opspec import EMPTY, OpSpec, zero
from latency.predict import cost_model, operator_ms, predict
from latency.provenance import TableSource
from latency.table import LatencyTable
from pocketnas_base.errors import InputError
from search.architecture import assemble
from search.derive import most_probable_within
from search.space import load_space
from search.zoo import load_zoo

MOBILE = load_space("mobile")
SUMS = json.loads((Path(__file__).parent / "pixel1_sums.json").read_text())
DATA = Path(__file__).parents[3] / "shared" / "data" / "pixel1" / "proxylessnas_search_pixel1.json"
SOURCE = TableSource(format="tunas", text="a test", times="regression weight")


@pytest.fixture(scope="module")
def pixel1() -> LatencyTable:
    return load_table("pixel1")


@pytest.fixture(scope="module")
def published() -> dict:  # type: ignore[type-arg]
    if not DATA.exists():
        pytest.skip(f"the published model is not here ({DATA.name}); the committed sums stand for it")
    plain: dict = json.loads(DATA.read_text())  # type: ignore[type-arg]
    return plain


@pytest.mark.parametrize("sample", SUMS, ids=lambda sample: sample["net"])
def test_a_prediction_is_the_bias_plus_the_weights_of_what_was_chosen(pixel1: LatencyTable, sample: dict) -> None:  # type: ignore[type-arg]
    net = assemble(MOBILE, sample["choices"], sample["net"])
    assert predict(pixel1, net.ops).latency_ms == sample["latency_ms"]


def test_it_says_of_the_published_net_what_its_authors_tool_says(pixel1: LatencyTable) -> None:
    assert predict(pixel1, load_zoo("proxyless-mobile").architecture.ops).latency_ms == 84.41624071449041


@pytest.mark.parametrize("seed", range(20))
def test_it_equals_the_published_file_on_random_nets(
    pixel1: LatencyTable,
    published: dict,
    seed: int,  # type: ignore[type-arg]
) -> None:
    drawn = random.Random(seed)
    choices = [drawn.randrange(len(edge.candidates)) for edge in MOBILE.edges]
    weights, offset = [published["kernel_ms"][0]], 3
    for edge, index in zip(MOBILE.edges, choices, strict=True):
        weights.append(published["kernel_ms"][offset + index])
        offset += len(edge.candidates)
    assert offset == len(published["kernel_ms"])
    net = assemble(MOBILE, choices, "net")
    assert predict(pixel1, net.ops).latency_ms == published["bias_ms"] + sum(weights)


def test_the_published_file_gives_the_rows_that_ship(pixel1: LatencyTable, published: dict) -> None:  # type: ignore[type-arg]
    assert published["bias_ms"] == pixel1.invocation_ms
    read = load_linear_model(DATA, MOBILE.chain, SOURCE, tool_version="0")
    assert dict(read.rows) == dict(pixel1.rows)
    assert dict(read.placed) == dict(pixel1.placed)


def test_the_search_sees_the_same_numbers(pixel1: LatencyTable) -> None:
    fixed = (*MOBILE.before, *MOBILE.after)
    edges = [edge.candidates for edge in MOBILE.edges]
    costs = cost_model(pixel1, fixed, edges, space="mobile", before=len(MOBILE.before))
    for sample in SUMS:
        assert costs.latency_ms(sample["choices"]) == pytest.approx(sample["latency_ms"], rel=1e-14)
    assert min(min(row) for row in costs.candidate_ms) < 0
    assert costs.candidate_ms[1][-1] != costs.candidate_ms[2][-1], "equal blocks at two places have two weights"


@pytest.mark.parametrize("target_ms", [55.0, 80.0, 120.0])
def test_an_architecture_at_a_target_below_the_constant_can_be_derived(pixel1: LatencyTable, target_ms: float) -> None:
    fixed = (*MOBILE.before, *MOBILE.after)
    edges = [edge.candidates for edge in MOBILE.edges]
    costs = cost_model(pixel1, fixed, edges, space="mobile", before=len(MOBILE.before))
    even = [[1 / len(edge)] * len(edge) for edge in edges]
    chosen = most_probable_within(even, costs, 0.98 * target_ms, target_ms)
    predicted = predict(pixel1, assemble(MOBILE, chosen, "net").ops).latency_ms
    assert 0.98 * target_ms <= predicted <= target_ms
    with pytest.raises(InputError, match=r"no architecture of this space is predicted to take 30\.0000 ms or less"):
        most_probable_within(even, costs, 29.0, 30.0)


def test_it_is_of_the_mobile_space_and_of_no_other_chain(pixel1: LatencyTable) -> None:
    assert (pixel1.info.space, pixel1.info.space_fingerprint) == ("mobile", MOBILE.fingerprint)
    pixel1.require_at([pair for pair in MOBILE.chain.wanted() if pair[1] != EMPTY], needed_by="space mobile")
    ops = list(load_zoo("proxyless-mobile").architecture.ops)
    left_out = [op for op in ops if op.kind != "zero"]
    with pytest.raises(InputError, match=r"has no row for mb3_7x7_s2_32-40_r56 at place 4"):
        predict(pixel1, left_out)
    with pytest.raises(InputError, match="does not cover architecture short"):
        pixel1.require(left_out, needed_by="architecture short")
    other = load_space("mobile-24")
    with pytest.raises(InputError, match="does not cover space mobile-24"):
        cost_model(pixel1, (), [edge.candidates for edge in other.edges], space="mobile-24")


def test_zero_is_priced_where_the_source_prices_it_and_refused_elsewhere(pixel1: LatencyTable) -> None:
    assert pixel1.prices_zero
    assert operator_ms(pixel1, zero(32, 56), 3) == -9.737998962402344
    with pytest.raises(InputError, match="has no row for zero_s1_32-32_r56 at place 2"):
        operator_ms(pixel1, zero(32, 56), 2)


def test_what_every_network_holds_is_in_the_constant(pixel1: LatencyTable) -> None:
    for place, op in ((0, MOBILE.before[0]), (23, MOBILE.after[0]), (24, MOBILE.after[1])):
        assert operator_ms(pixel1, op, place) == 0.0


def test_its_uncertainty_is_not_known_and_not_made_up(pixel1: LatencyTable) -> None:
    prediction = predict(pixel1, load_zoo("proxyless-mobile").architecture.ops)
    assert (prediction.low_ms, prediction.high_ms) == (None, None)


def test_its_provenance_says_what_its_source_says_and_nothing_else(pixel1: LatencyTable) -> None:
    info = pixel1.info
    assert info.source is not None
    assert (info.source.licence, info.source.times) == ("Apache-2.0", "regression weight")
    for words in ("google-research", "cost_model_data.py", "Google Research Authors", "TuNAS"):
        assert words in info.source.text
    assert info.device_model == "Pixel 1"
    unknown = (info.device, info.device_fingerprint, info.runtime, info.precision, info.threads, info.cores)
    assert {*unknown, info.runner, info.delegate, info.date_utc, info.seed, info.soc} == {None}


def test_names_are_listed_and_files_told_apart(tmp_path: Path) -> None:
    assert published_tables() == ("pixel1",)
    with pytest.raises(InputError, match=r"unknown table 'pixel2'; known: pixel1, or the path of a \.parquet file"):
        load_table("pixel2")
    with pytest.raises(
        InputError, match=r"lut\.yaml is no \.parquet file; make a table of it first: pocketnas table imp"
    ):
        load_table(tmp_path / "lut.yaml")


def test_weights_go_to_the_operators_in_the_order_of_the_layout(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps(linear_model(MOBILE)))
    table = load_linear_model(path, MOBILE.chain, SOURCE, tool_version="0")
    first: OpSpec = MOBILE.before[1]
    assert [operator_ms(table, replace(first, kernel=kernel), 1) for kernel in (3, 5, 7)] == [0.0, 0.5, 1.0]
    found = [operator_ms(table, op, 2 + n) for n, edge in enumerate(MOBILE.edges) for op in edge.candidates]
    assert found == [0.5 * number for number in range(3, 144)]
    table.save(tmp_path / "table.parquet")
    again = LatencyTable.load(tmp_path / "table.parquet")
    assert again == table


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bias_ms": float("nan")}, "bias_ms: Input should be a finite number"),
        ({"bias_ms": 1e9}, "bias_ms: Input should be less than or equal to 600000"),
        ({"kernel_ms": [0.5] * 143}, "has 143 weights; space mobile needs 144"),
        ({"kernel_ms": [0.5] * 143 + [float("inf")]}, "kernel_ms.143: Input should be a finite number"),
        ({"kernel_ms": [0.5] * 143 + [-1e8]}, "kernel_ms.143: Input should be greater than or equal to -600000"),
        ({"kernel_ms": "fast"}, "kernel_ms: Input should be a valid tuple"),
        ({"filters": [32, 16, 24, 40, 80, 96, 192, 320, 1280]}, "with the widths [32, 16, 24, 40"),
        ({"skippable": [0] * 22}, "is of a space with the widths"),
        ({"layout": "[something else]"}, "its layout is not the one this tool knows"),
        ({"weights": []}, "weights: Extra inputs are not permitted"),
    ],
)
def test_a_linear_model_that_is_none_or_of_another_space_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps(linear_model(MOBILE, **changes)))
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load_linear_model(path, MOBILE.chain, SOURCE, tool_version="0")
    assert len(str(caught.value).splitlines()) == 1
    assert str(path) in str(caught.value)
