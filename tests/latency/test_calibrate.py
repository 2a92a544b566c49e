"""Calibration: a correction where there is one to find, none where there is none, and one number for all who ask."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sample_tables import measured_table, row, table_info

from latency.calibrate import MIN_NETWORKS, SAME_STATE_PERCENT, MeasuredNetwork, calibrate, worth_more
from latency.correction import Calibration
from latency.opspec import EMPTY, OpSpec, zero
from latency.predict import operator_ms, predict
from latency.table import LatencyTable, TableSource
from pocketnas.space_costs import costs_of
from pocketnas_base.errors import InputError
from search.architecture import Architecture, assemble
from search.sampling import random_networks
from search.space import load_space

Law = Callable[[tuple[OpSpec, ...]], float]

DEMO = load_space("demo")
TABLE = measured_table(DEMO)


def networks(count: int, seed: int) -> list[Architecture]:
    return random_networks(DEMO, count, seed)


def measured(nets: list[Architecture], law: Law, noise: float, seed: int = 0) -> list[MeasuredNetwork]:
    """What a device that follows `law` would show of these networks."""
    drawn = random.Random(seed)
    return [MeasuredNetwork(net.name, net.ops, law(net.ops) * drawn.gauss(1, noise), None) for net in nets]


def plain_sum(ops: tuple[OpSpec, ...]) -> float:
    return TABLE.invocation_ms + sum(operator_ms(TABLE, op) for op in ops)


def with_calibration(calibration: Calibration) -> LatencyTable:
    return LatencyTable(TABLE.info.model_copy(update={"calibration": calibration}), TABLE.rows)


def kernel_law(ops: tuple[OpSpec, ...]) -> float:
    """Blocks with a large kernel cost a tenth more inside a network, those with a small one a tenth less."""
    factor = {3: 0.9, 5: 1.0, 7: 1.1}
    shares = sum(operator_ms(TABLE, op) * (factor[op.kernel] if op.kind == "mbconv" else 1.0) for op in ops)
    return TABLE.invocation_ms + shares


def memory_law(ops: tuple[OpSpec, ...]) -> float:
    """Weights have to be fetched anew for every inference, and no operator alone shows it."""
    return plain_sum(ops) + 2.0 * sum(op.parameters for op in ops) / 1e6


LAWS: dict[str, Law] = {
    "sum": plain_sum,
    "scale": lambda ops: 1.15 * plain_sum(ops),
    "affine": lambda ops: 0.9 * plain_sum(ops) + 3.0,
    "kernels": kernel_law,
    "memory": memory_law,
}


@pytest.mark.parametrize("kind", LAWS)
def test_the_law_of_a_device_is_recovered(kind: str) -> None:
    """On networks that no fit has seen, errors come down to the measurement's own noise."""
    noise = 0.002
    calibration = calibrate(TABLE, measured(networks(24, 1), LAWS[kind], noise))
    table = with_calibration(calibration)
    errors = [predict(table, net.ops).latency_ms / LAWS[kind](net.ops) - 1 for net in networks(200, 2)]
    assert np.sqrt(np.mean(np.square(errors))) < 2 * noise
    assert calibration.residual_percent < 100 * 2.5 * noise


def test_the_fewest_networks_that_are_taken_can_tell_a_factor() -> None:
    calibration = calibrate(TABLE, measured(networks(MIN_NETWORKS, 1), LAWS["scale"], 0.002))
    assert calibration.kind == "scale"
    assert calibration.half_width_percent < 5


def test_without_anything_to_correct_nothing_is_corrected() -> None:
    calibration = calibrate(TABLE, measured(networks(16, 3), plain_sum, 0.005))
    assert calibration.kind == "sum"
    net = networks(1, 9)[0]
    assert predict(with_calibration(calibration), net.ops).latency_ms == pytest.approx(
        predict(TABLE, net.ops).latency_ms
    )


def test_a_correction_that_only_fits_noise_is_not_taken() -> None:
    """Over many draws of pure noise, a correction is rarely taken, and hardly ever does harm."""
    kinds, worse = [], []
    for seed in range(20):
        calibration = calibrate(TABLE, measured(networks(12, seed), plain_sum, 0.02, seed))
        table = with_calibration(calibration)
        kinds.append(calibration.kind)
        errors = [predict(table, net.ops).latency_ms / plain_sum(net.ops) - 1 for net in networks(50, 1000 + seed)]
        worse.append(np.sqrt(np.mean(np.square(errors))))
    assert kinds.count("sum") >= 16
    assert np.median(worse) < 0.01


@pytest.mark.parametrize("off", [0.9, 1.1])
def test_networks_that_were_measured_badly_do_not_hide_a_correction(off: float) -> None:
    """Every correction misses them, by more than the others gain together."""
    nets = measured(networks(24, 1), kernel_law, 0.002)
    for number in (5, 11):
        nets[number] = replace(nets[number], latency_ms=off * nets[number].latency_ms)
    assert calibrate(TABLE, nets).kind == "kernels"


def test_the_interval_holds_what_it_promises() -> None:
    """Nineteen of twenty networks that were measured afterwards lie inside, with the device anywhere in its state."""
    inside, states = [], random.Random(0)
    for seed in range(40):
        calibration = calibrate(TABLE, measured(networks(12, seed), LAWS["scale"], 0.01, seed))
        table = with_calibration(calibration)
        state = 1 + states.uniform(-SAME_STATE_PERCENT, SAME_STATE_PERCENT) / 100
        law: Law = lambda ops, state=state: state * LAWS["scale"](ops)  # noqa: E731
        for net in measured(networks(40, 500 + seed), law, 0.01, 77 + seed):
            prediction = predict(table, net.ops)
            assert prediction.interval == "networks"
            assert prediction.low_ms is not None
            assert prediction.high_ms is not None
            inside.append(prediction.low_ms <= net.latency_ms <= prediction.high_ms)
    assert 0.95 <= np.mean(inside) <= 0.999


@pytest.mark.parametrize("kind", LAWS)
def test_search_and_prediction_are_one_number(kind: str) -> None:
    table = with_calibration(calibrate(TABLE, measured(networks(24, 1), LAWS[kind], 0.002)))
    costs = costs_of(table, DEMO)
    drawn = random.Random(3)
    for _ in range(20):
        choices = [drawn.randrange(len(edge.candidates)) for edge in DEMO.edges]
        prediction = predict(table, assemble(DEMO, choices, "net").ops)
        assert costs.latency_ms(choices) == pytest.approx(prediction.latency_ms, rel=1e-12)
        blocks = sum(block.latency_ms for block in prediction.blocks)
        assert prediction.latency_ms == pytest.approx(prediction.invocation_ms + blocks, rel=1e-12)


def test_zero_stays_free() -> None:
    table = with_calibration(calibrate(TABLE, measured(networks(24, 1), memory_law, 0.002)))
    assert table.info.calibration is not None
    assert table.info.calibration.kind == "memory"
    ops = list(DEMO.before)
    assert predict(table, [*ops, zero(24, 7)]).latency_ms == predict(table, ops).latency_ms


def test_more_networks_pay_while_predictions_are_uncertain() -> None:
    quiet = calibrate(TABLE, measured(networks(12, 1), plain_sum, 0.002))
    noisy = calibrate(TABLE, measured(networks(12, 1), plain_sum, 0.05))
    assert [worth_more(each) for each in (quiet, noisy)] == [False, True]


def test_a_device_that_has_left_its_state_is_known_no_better() -> None:
    nets = measured(networks(12, 1), plain_sum, 0.01)
    same, other, both = (calibrate(TABLE, nets, drifts_percent=each) for each in ([1.5], [-4.0], [4.5, -3.5]))
    assert other.half_width_percent == pytest.approx(same.half_width_percent - SAME_STATE_PERCENT + 4.0)
    assert both.half_width_percent == pytest.approx(other.half_width_percent), (
        "either way is away from the table's state"
    )
    assert (same.drift_percent, other.drift_percent, both.drift_percent) == (1.5, -4.0, 0.5)
    assert worth_more(other) == worth_more(same)  # more networks would not help


def test_a_richer_correction_starts_from_the_simplest() -> None:
    """Where a factor explains all there is, terms beside it do next to no harm to networks left out."""
    calibration = calibrate(TABLE, measured(networks(12, 1), lambda ops: 1.3 * plain_sum(ops), 0.01))
    assert calibration.tried["scale"] < 2
    assert all(calibration.tried[kind] < 1.2 * calibration.tried["scale"] for kind in ("affine", "memory", "kernels"))


def test_the_cheapest_and_the_dearest_are_in_every_fit() -> None:
    nets = measured(networks(12, 1), memory_law, 0.005)
    calibration = calibrate(TABLE, nets)
    by_sum = sorted(calibration.networks, key=lambda network: network.sum_ms)
    assert [network.left_out_ms is None for network in by_sum] == [True, *[False] * 10, True]
    left_out = [each.left_out_ms / each.measured_ms - 1 for each in by_sum if each.left_out_ms is not None]
    assert calibration.residual_percent == pytest.approx(100 * np.sqrt(np.mean(np.square(left_out))))


def test_a_cheapest_network_unlike_all_others_spoils_no_correction() -> None:
    """Of a space in which all blocks may be left out, the cheapest network is far from any other."""
    bare = assemble(DEMO, [row.index(min(row)) for row in costs_of(TABLE, DEMO).candidate_ms], "bare")

    def law(ops: tuple[OpSpec, ...]) -> float:
        return memory_law(ops) * (0.9 if ops == bare.ops else 1.0)

    calibration = calibrate(TABLE, measured([bare, *networks(23, 1)], law, 0.002))
    assert calibration.residual_percent < 1


def test_a_calibration_survives_the_file(tmp_path: Path) -> None:
    table = with_calibration(calibrate(TABLE, measured(networks(12, 1), kernel_law, 0.002), drifts_percent=[-0.4]))
    table.save(tmp_path / "t.parquet")
    assert LatencyTable.load(tmp_path / "t.parquet") == table


def test_what_cannot_be_calibrated_is_refused() -> None:
    few = measured(networks(MIN_NETWORKS - 1, 1), plain_sum, 0.01)
    with pytest.raises(InputError, match="at least 7 measured networks, not 6"):
        calibrate(TABLE, few)
    nets = measured(networks(8, 1), plain_sum, 0.01)
    holed = LatencyTable(TABLE.info, {op: each for op, each in TABLE.rows.items() if op != nets[3].ops[4]})
    with pytest.raises(InputError, match="no row"):
        calibrate(holed, nets)
    source = TableSource(format="csv", text="somebody")
    shares = LatencyTable(table_info(DEMO).model_copy(update={"rows": "share", "source": source}), {EMPTY: row(1.0)})
    with pytest.raises(InputError, match="linear model already"):
        calibrate(shares, nets)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "affine"}, "coefficient for offset_ms"),
        ({"coefficients": {"kernel_3": 1.0}}, "no term 'kernel_3'"),
        ({"coefficients": {"sum": float("nan")}}, "coefficients"),
        ({"half_width_percent": -1}, "half_width_percent"),
        ({"networks": []}, "networks"),
    ],
)
def test_a_damaged_calibration_is_one_clear_line(change: dict[str, object], told: str) -> None:
    table = with_calibration(calibrate(TABLE, measured(networks(12, 1), LAWS["scale"], 0.002)))
    assert table.info.calibration is not None
    damaged = {**table.info.calibration.model_dump(), **change}

    def read_and_predict() -> None:
        info = table.info.of_plain({**table.info.model_dump(), "calibration": damaged}, where="table t")
        predict(LatencyTable(info, table.rows), networks(1, 0)[0].ops)

    with pytest.raises(InputError, match=told) as caught:
        read_and_predict()
    assert "\n" not in str(caught.value)
