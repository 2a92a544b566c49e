"""Prediction from few samples: what is learned, what is refused, and how honest the intervals are."""

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from latency.few_samples import FewSamplePredictor, Nets, choose, encode_fbnet, encode_nasbench201, fit
from latency.few_samples.fbnet import OPERATORS as FBNET_OPERATORS
from latency.few_samples.fbnet import layers
from latency.few_samples.nasbench201 import OPERATORS
from latency.few_samples.nets import FloatArray
from latency.few_samples.noise import fit_noise
from latency.few_samples.regression import reading_step_ms
from pocketnas_base.errors import InputError

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "phone_latency"
COST_MS = {"none": 0.0, "skip_connect": 0.1, "nor_conv_1x1": 1.5, "nor_conv_3x3": 4.0, "avg_pool_3x3": 0.8}
OTHER_COST_MS = {"none": 0.1, "skip_connect": 0.1, "nor_conv_1x1": 2.6, "nor_conv_3x3": 5.2, "avg_pool_3x3": 1.9}


def cell(operators: tuple[str, ...]) -> str:
    a, b, c, d, e, f = operators
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


def random_cells(count: int, seed: int) -> list[tuple[str, ...]]:
    rng = np.random.default_rng(seed)
    return [tuple(OPERATORS[index] for index in row) for row in rng.integers(len(OPERATORS), size=(count, 6))]


def usual_ms(cells: list[tuple[str, ...]], costs: dict[str, float] = COST_MS, base: float = 3.0) -> FloatArray:
    """A device that runs every operator as written."""
    return np.array([base + sum(costs[name] for name in operators) for operators in cells])


def encoded(cells: list[tuple[str, ...]]) -> Nets:
    return encode_nasbench201([cell(operators) for operators in cells])


def fitted(
    count: int, seed: int, noise: float = 0.03, sources: tuple[FewSamplePredictor, ...] = ()
) -> FewSamplePredictor:
    cells = random_cells(count, seed)
    readings = usual_ms(cells) * np.exp(noise * np.random.default_rng(seed).normal(size=count))
    return fit(encoded(cells), readings, sources=sources)


TEST_CELLS = random_cells(500, seed=999)
TEST_NETS = encoded(TEST_CELLS)
TRUTH_MS = usual_ms(TEST_CELLS)


def test_an_additive_device_is_recovered_from_fifty_nets() -> None:
    predicted = fitted(50, seed=1).predict(TEST_NETS).latency_ms
    assert np.median(np.abs(predicted / TRUTH_MS - 1)) < 0.02
    assert np.mean(np.abs(predicted / TRUTH_MS - 1) <= 0.1) > 0.98
    assert spearmanr(predicted, TRUTH_MS)[0] > 0.99


def test_a_slow_state_and_strays_do_not_move_the_usual_latency() -> None:
    cells = random_cells(200, seed=2)
    rng = np.random.default_rng(2)
    readings = usual_ms(cells) * np.exp(0.02 * rng.normal(size=200))
    readings[rng.random(200) < 0.3] *= 1.25
    readings[:4] *= 3.0
    predictor = fit(encoded(cells), readings, tolerance=0.05)
    assert np.median(np.abs(predictor.usual_ms(TEST_NETS) / TRUTH_MS - 1)) < 0.02
    assert predictor.explanations[0].regression.noise.slowdown == pytest.approx(1.25, abs=0.05)


def test_whole_milliseconds_cost_little() -> None:
    cells = random_cells(100, seed=3)
    predicted = fit(encoded(cells), np.rint(usual_ms(cells))).predict(TEST_NETS).latency_ms
    assert np.mean(np.abs(predicted / TRUTH_MS - 1)) < 0.02


def test_the_step_of_a_clock_is_read_from_the_readings() -> None:
    assert reading_step_ms(np.array([3.0, 8.0, 11.0])) == 1.0
    assert reading_step_ms(np.array([3.5, 8.0, 11.0])) == 0.5
    assert reading_step_ms(np.array([10.0, 20.0, 50.0])) == 1.0
    assert reading_step_ms(np.array([3.1415, 2.7183, 1.4142])) < 0.005
    assert reading_step_ms(np.array([7.3, 7.3, 7.3])) == 0.0


@pytest.mark.slow
def test_a_known_phone_helps_where_ten_nets_are_few() -> None:
    known_cells = random_cells(400, seed=4)
    known = fit(encoded(known_cells), usual_ms(known_cells, OTHER_COST_MS, base=5.0))
    alone, helped = [], []
    for seed in range(5):
        for sources, errors in (((), alone), ((known,), helped)):
            predicted = fitted(10, seed, noise=0.08, sources=sources).predict(TEST_NETS).latency_ms
            errors.append(float(np.mean(np.abs(predicted / TRUTH_MS - 1))))
    assert np.mean(helped) < np.mean(alone)


def test_an_unlike_phone_does_no_harm_once_there_are_readings() -> None:
    unlike_cells = random_cells(300, seed=5)
    unlike = fit(encoded(unlike_cells), 20 - 0.5 * usual_ms(unlike_cells))
    predictor = fitted(60, seed=5, sources=(unlike,))
    assert spearmanr(predictor.predict(TEST_NETS).latency_ms, TRUTH_MS)[0] > 0.98
    assert sum(share for _, share in predictor.resemblances()) == pytest.approx(1.0)
    assert {number for number, _ in predictor.resemblances()} <= {None, 0}


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_intervals_hold_about_the_share_of_readings_they_name(coverage: float) -> None:
    rng = np.random.default_rng(6)
    readings = TRUTH_MS * np.exp(0.06 * rng.normal(size=len(TRUTH_MS)))
    held = []
    for seed in range(4):
        found = fitted(60, seed, noise=0.06).predict(TEST_NETS, coverage=coverage)
        assert (found.low_ms < found.high_ms).all()
        held.append(np.mean((found.low_ms <= readings) & (readings <= found.high_ms)))
    assert np.mean(held) == pytest.approx(coverage, abs=0.08)


def test_the_stated_latency_is_where_most_readings_are_within_tolerance() -> None:
    cells = random_cells(300, seed=7)
    rng = np.random.default_rng(7)
    slow = rng.random(300) < 0.4
    readings = usual_ms(cells) * np.exp(0.01 * rng.normal(size=300)) * np.where(slow, 1.15, 1.0)
    both = fit(encoded(cells), readings, tolerance=0.10)
    usual = fit(encoded(cells), readings, tolerance=0.03)
    assert both.shift > 0.03, "one number within 10 % of both states"
    assert abs(usual.shift) < 0.03, "no number is within 3 % of both: the usual state's"


def test_cells_alike_but_for_dead_operators_are_one_net_where_those_are_removed() -> None:
    dead = ("nor_conv_3x3", "nor_conv_1x1", "none", "avg_pool_3x3", "none", "skip_connect")
    bare = ("none", *dead[1:])
    first, second = (encode_nasbench201([cell(operators)], dead="removed") for operators in (dead, bare))
    for name, columns in first.groups.items():
        assert (columns == second.groups[name]).all(), name
    cells = random_cells(40, seed=8)
    predictor = fit(encode_nasbench201([cell(operators) for operators in cells], dead="removed"), usual_ms(cells))
    assert predictor.predict(first).latency_ms == predictor.predict(second).latency_ms


def test_a_cell_with_its_middle_nodes_renamed_gets_the_same_prediction() -> None:
    predictor = fitted(40, seed=9)
    for one in random_cells(50, seed=9):
        a, b, _, d, e, f = one
        pair = [(a, b, "none", d, e, f), (b, a, "none", d, f, e)]
        first, second = predictor.predict(encoded(pair)).latency_ms
        assert first == pytest.approx(second, rel=1e-12)


def test_measurements_tell_whether_dead_operators_are_run() -> None:
    cells = random_cells(150, seed=10)
    lean = encode_nasbench201([cell(operators) for operators in cells], dead="removed")
    live_counts = lean.groups["live operators"]
    readings = 3.0 + live_counts @ np.array([0.1, 1.5, 4.0, 0.8])
    dead = ("nor_conv_3x3", "nor_conv_1x1", "none", "avg_pool_3x3", "none", "skip_connect")
    pair = encoded([dead, ("none", *dead[1:])])
    removed = fit(encoded(cells), readings).predict(pair).latency_ms
    run = fit(encoded(cells), usual_ms(cells)).predict(pair).latency_ms
    assert removed[0] == pytest.approx(removed[1], rel=0.02)
    assert run[0] - run[1] == pytest.approx(4.0, rel=0.1)


def test_live_operators_are_those_on_a_path_by_enumeration() -> None:
    edges = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    for one in random_cells(200, seed=11):
        used = [edge for edge, name in zip(edges, one, strict=True) if name != "none"]
        paths = [path for size in (1, 2, 3) for path in itertools.permutations(used, size) if _is_path(path)]
        live = {edge for path in paths for edge in path}
        counted = encode_nasbench201([cell(one)], dead="removed").groups["live operators"].sum()
        assert counted == len(live), one


def _is_path(edges: tuple[tuple[int, int], ...]) -> bool:
    joined = all(first[1] == second[0] for first, second in itertools.pairwise(edges))
    return joined and edges[0][0] == 0 and edges[-1][1] == 3


def test_chosen_nets_tell_more_than_drawn_ones_and_are_always_the_same() -> None:
    pool = random_cells(400, seed=12)
    nets = encoded(pool)
    chosen = choose(nets, 10)
    assert chosen == choose(nets, 10)
    assert len(set(chosen)) == 10
    rng = np.random.default_rng(12)
    readings = usual_ms(pool) * np.exp(0.05 * rng.normal(size=400))

    def error(rows: list[int]) -> float:
        predicted = fit(nets.take(rows), readings[rows]).predict(TEST_NETS).latency_ms
        return float(np.mean(np.abs(predicted / TRUTH_MS - 1)))

    assert error(chosen) < np.mean([error(rng.permutation(400)[:10].tolist()) for _ in range(5)])


def test_fbnet_layers_end_where_the_paper_says() -> None:
    assert len(layers()) == 22
    last = layers()[-1]
    assert (last.in_channels, last.out_channels, last.resolution) == (184, 352, 4)


def test_an_additive_fbnet_device_is_recovered() -> None:
    rng = np.random.default_rng(13)
    networks = [[FBNET_OPERATORS[index] for index in row] for row in rng.integers(9, size=(500, 22))]
    cost = {name: 0.0 if name == "skip" else 0.2 * int(name[4]) + 0.05 * int(name[1]) for name in FBNET_OPERATORS}
    truth = np.array([10 + sum(cost[name] for name in network) for network in networks])
    nets = encode_fbnet(networks)
    predicted = fit(nets.take(range(100)), truth[:100]).predict(nets.take(range(100, 500))).latency_ms
    assert np.mean(np.abs(predicted / truth[100:] - 1)) < 0.01


def test_readings_all_alike_predict_themselves() -> None:
    found = fit(encoded(random_cells(12, seed=14)), [7.3] * 12).predict(TEST_NETS)
    assert found.latency_ms == pytest.approx(7.3, rel=0.05)


def test_a_mixture_without_a_second_state_finds_none() -> None:
    deviation = 0.04 * np.random.default_rng(15).normal(size=500)
    noise = fit_noise(deviation, np.zeros(500))
    assert noise.slowdown is None
    assert noise.spreads[0] == pytest.approx(0.04, abs=0.005)


@pytest.mark.parametrize(
    ("latencies", "message"),
    [
        ([1.0] * 9 + [float("nan")], "net 9: latency nan ms"),
        ([1.0] * 9 + [-2.0], "net 9: latency -2.0 ms"),
        ([0.0] + [1.0] * 9, r"net 0: latency 0.0 ms"),
        ([float("inf")] + [1.0] * 9, "net 0: latency inf ms"),
        ([1e9] + [1.0] * 9, "net 0: latency"),
        ([], r"10 nets, but latencies of shape \(0,\)"),
        ([1.0] * 11, r"latencies of shape \(11,\)"),
        (["a"] * 10, "must be numbers"),
    ],
)
def test_latencies_that_are_none_are_refused(latencies: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        fit(encoded(random_cells(10, seed=0)), latencies)
    assert "\n" not in str(caught.value)


def test_too_few_nets_and_other_wrong_use_are_one_line() -> None:
    nets = encoded(random_cells(10, seed=0))
    predictor = fit(nets, usual_ms(random_cells(10, seed=0)))
    other = encode_fbnet([["skip"] * 22] * 10)
    for ask, message in (
        (lambda: fit(nets.take(range(4)), [1.0] * 4), "4 measured nets"),
        (lambda: fit(nets, [1.0] * 10, tolerance=0.0), "tolerance"),
        (lambda: fit(other, [1.0] * 10, sources=[predictor]), "these of fbnet differ"),
        (lambda: predictor.predict(other), "these of fbnet differ"),
        (lambda: predictor.predict(nets, coverage=1.0), "coverage"),
        (lambda: choose(nets, 11), "11 nets to choose, of 10"),
        (lambda: nets.take([10]), "rows to take"),
        (lambda: nets.take([]), "rows to take"),
        (lambda: encode_nasbench201([]), "0 cells"),
        (lambda: encode_nasbench201(["|none~0|"]), "is not a NAS-Bench-201 cell"),
        (lambda: encode_nasbench201([cell(("conv",) * 6)]), "of the operators none"),
        (lambda: encode_fbnet([["skip"] * 21]), "list of 22"),
        (lambda: encode_fbnet([["skip"] * 21 + ["k7_e6"]]), "layer 21: unknown operator 'k7_e6'"),
        (lambda: Nets("mine", {}), "no features"),
        (lambda: Nets("mine", {"a": np.ones((3, 1)), "b": np.ones((2, 1))}), "different numbers of nets"),
        (lambda: Nets("mine", {"a": np.full((3, 1), np.nan)}), "not a finite number"),
        (lambda: Nets("mine", {"a": np.ones(3)}), "float64 array"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            ask()
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not DATA.is_dir(), reason="the public phone latencies do not lie beside the repository")
def test_two_hundred_nets_beat_what_ridge_reaches_with_nine_hundred() -> None:
    with (DATA / "nasbench201_ms.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["cortex_a76_cpu"]]
    nets = encode_nasbench201([row["arch_str"] for row in rows])
    readings = np.array([float(row["cortex_a76_cpu"]) for row in rows])
    order = np.random.default_rng(0).permutation(len(rows))
    predicted = fit(nets.take(order[:200]), readings[order[:200]]).predict(nets.take(order[200:])).latency_ms
    assert spearmanr(predicted, readings[order[200:]])[0] > 0.947
    assert np.mean(np.abs(predicted / readings[order[200:]] - 1) <= 0.1) > 0.85
