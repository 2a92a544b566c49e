"""The search: what a step touches, a run that is killed and resumed, and the latency that it is held to."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_search import COSTS, SPACE
from torch import Tensor

from latency.predict import CostModel
from pocketnas_base.errors import InputError, PocketNASError
from search.data.batches import TrainingBatches
from search.data.dataset import ImageData, split
from search.latency_loss import LatencyLoss
from search.loop import Curve, run_steps
from search.paths import sample_pair, sample_path
from search.proxyless import HOLD_LEAD, HOLD_MOST, ProxylessSearch, SearchSettings
from search.seeds import seeded
from search.space import SearchSpace
from search.state import State

SETTINGS = SearchSettings(
    target_ms=1.0,
    warmup_steps=3,
    steps=5,
    batch_size=16,
    arch_every=2,
    arch_learning_rate=0.05,
    hold_target=True,
    hold_rate=0.2,
    seed=5,
)

OTHER_MODES: list[dict[str, Any]] = [
    {"mode": "one-path", "warmup_paths": "fair"},
    {"mode": "all-paths", "loss": "mul#log", "hold_target": False, "target_ms": 1.5},
    {"mode": "reinforce", "hold_target": False, "samples": 3},
    {"mode": "tunas", "hold_target": False, "samples": 2, "warmup_paths": "fair-without-zero"},
]


def new_search(
    data: ImageData, costs: CostModel = COSTS, space: SearchSpace = SPACE, **changes: Any
) -> ProxylessSearch:
    settings = replace(SETTINGS, **changes)
    for_weights, for_paths = split(data.train_labels, 500, settings.seed)
    batches = [
        TrainingBatches.of(data, part, batch_size=settings.batch_size, seed=settings.seed + number)
        for number, part in enumerate((for_weights, for_paths))
    ]
    return ProxylessSearch(space, costs, settings, batches[0], batches[1])


def outcome(search: ProxylessSearch) -> dict[str, Tensor]:
    """Everything that steps change."""
    state = State()
    search.add_to(state)
    numbers = {name: torch.tensor(value, dtype=torch.float64) for name, value in state.numbers.items() if value}
    return {name: value.detach().clone() for name, value in state.tensors.items()} | numbers


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if not same(one.get(name), other.get(name)))


def same(one: Tensor | None, other: Tensor | None) -> bool:
    return one is not None and other is not None and torch.equal(one, other)


class Killed(BaseException):
    """What no handler in the product catches."""


def run_killed_at(
    data: ImageData, checkpoint: Path, kills: Iterable[int], **changes: Any
) -> tuple[ProxylessSearch, Curve]:
    """Run to the end; at each of the steps in `kills` everything but the checkpoint is lost, once."""
    for kill in kills:
        search = new_search(data, **changes)

        def watch(done: int, _total: int, _what: str, kill: int = kill) -> None:
            if done == kill:
                raise Killed

        with pytest.raises(Killed):
            run_steps(search, checkpoint, watch, "steps")
        torch.manual_seed(kill)  # whatever came before in a new process's global generator
        torch.rand(kill + 1)
    search = new_search(data, **changes)
    return search, run_steps(search, checkpoint, lambda *_: None, "steps")


@pytest.fixture(scope="module")
def uninterrupted(fashion: ImageData, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], Curve]:
    search, curve = run_killed_at(fashion, tmp_path_factory.mktemp("straight") / "checkpoint", [])
    return outcome(search), curve


@pytest.mark.parametrize("step", range(8))
def test_a_search_killed_after_any_step_ends_as_one_that_was_not(
    fashion: ImageData,
    uninterrupted: tuple[dict[str, Tensor], Curve],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    monkeypatch.setattr("search.loop.CHECKPOINT_EVERY_S", -1.0)
    search, curve = run_killed_at(fashion, tmp_path / "checkpoint", [step])
    assert differing(outcome(search), uninterrupted[0]) == []
    assert curve == uninterrupted[1]


def test_a_search_killed_after_every_step_ends_as_one_that_was_not(
    fashion: ImageData,
    uninterrupted: tuple[dict[str, Tensor], Curve],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("search.loop.CHECKPOINT_EVERY_S", -1.0)
    search, curve = run_killed_at(fashion, tmp_path / "checkpoint", range(8))
    assert differing(outcome(search), uninterrupted[0]) == []
    assert curve == uninterrupted[1]


@pytest.mark.parametrize("kills", [(4,), (5,), range(8)], ids=["before an update", "after one", "every step"])
@pytest.mark.parametrize("changes", OTHER_MODES, ids=lambda changes: changes["mode"])
def test_a_killed_search_ends_as_one_that_was_not_in_every_other_mode(
    fashion: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], kills: Iterable[int]
) -> None:
    straight, straight_curve = run_killed_at(fashion, tmp_path / "straight", [], **changes)
    monkeypatch.setattr("search.loop.CHECKPOINT_EVERY_S", -1.0)
    search, curve = run_killed_at(fashion, tmp_path / "checkpoint", kills, **changes)
    assert differing(outcome(search), outcome(straight)) == []
    assert curve == straight_curve
    assert "architecture.alpha" in differing(outcome(search), outcome(new_search(fashion, **changes))), "it learned"


ALL_MODES: list[dict[str, Any]] = [{"mode": "two-path"}, *OTHER_MODES]


def first_update(data: ImageData, **changes: Any) -> tuple[Tensor, list[torch.dtype]]:
    """The gradient of alpha in an architecture step, and what the convolutions gave in it."""
    search, given = new_search(data, **changes), []
    for layer in search.supernet.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _layer, _inputs, out: given.append(out.dtype))
    search.architecture_step(0)
    assert search.alpha.grad is not None
    return search.alpha.grad, given


@pytest.mark.parametrize("changes", ALL_MODES, ids=lambda changes: changes["mode"])
def test_with_mixed_precision_an_architecture_step_computes_in_bfloat16_and_learns_the_same(
    fashion: ImageData, changes: dict[str, Any]
) -> None:
    # Without latency in it: what the networks themselves say has to be told.
    if changes["mode"] in {"two-path", "one-path", "all-paths"}:
        changes = {**changes, "loss": "none", "hold_target": False}
    (plain, of_plain), (mixed, of_mixed) = (
        first_update(fashion, **changes, mixed_precision=precision) for precision in (False, True)
    )
    assert set(of_plain) == {torch.float32}
    assert set(of_mixed) == {torch.bfloat16}
    assert len(of_mixed) == len(of_plain)
    assert mixed.dtype == plain.dtype == torch.float32
    # Eight bits a number: the weights' own gradient differs by a tenth.
    assert float((mixed - plain).norm() / plain.norm()) < 0.25


@pytest.mark.parametrize("changes", ALL_MODES, ids=lambda changes: changes["mode"])
def test_a_killed_search_with_mixed_precision_ends_as_one_that_was_not(
    fashion: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    changes = {**changes, "mixed_precision": True}
    straight, straight_curve = run_killed_at(fashion, tmp_path / "straight", [], **changes)
    monkeypatch.setattr("search.loop.CHECKPOINT_EVERY_S", -1.0)
    search, curve = run_killed_at(fashion, tmp_path / "checkpoint", (4, 6), **changes)
    assert differing(outcome(search), outcome(straight)) == []
    assert curve == straight_curve


def test_a_search_killed_within_a_step_ends_as_one_that_was_not(
    fashion: ImageData,
    uninterrupted: tuple[dict[str, Tensor], Curve],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("search.loop.CHECKPOINT_EVERY_S", -1.0)
    search = new_search(fashion)
    whole_step = search.architecture_step

    def die_after(number: int) -> dict[str, float]:
        whole_step(number)
        raise Killed

    monkeypatch.setattr(search, "architecture_step", die_after)
    with pytest.raises(Killed):
        run_steps(search, tmp_path / "checkpoint", lambda *_: None, "steps")
    resumed = new_search(fashion)
    curve = run_steps(resumed, tmp_path / "checkpoint", lambda *_: None, "steps")
    assert differing(outcome(resumed), uninterrupted[0]) == []
    assert curve == uninterrupted[1]


def test_the_seed_decides_and_nothing_else(
    fashion: ImageData, uninterrupted: tuple[dict[str, Tensor], Curve], tmp_path: Path
) -> None:
    torch.manual_seed(999)
    search, curve = run_killed_at(fashion, tmp_path / "again", [])
    assert differing(outcome(search), uninterrupted[0]) == []
    assert curve == uninterrupted[1]
    other = new_search(fashion, seed=6)
    run_steps(other, tmp_path / "other", lambda *_: None, "steps")
    assert "architecture.alpha" in differing(outcome(other), uninterrupted[0])


def test_the_curve_tells_loss_latency_and_entropy(uninterrupted: tuple[dict[str, Tensor], Curve]) -> None:
    _, curve = uninterrupted
    assert [point["step"] for point in curve] == list(range(8))
    for point in curve:
        assert {"loss", "accuracy", "learning_rate", "expected_ms", "entropy", "latency_weight"} <= set(point)
        assert all(math.isfinite(value) for value in point.values())
        assert 0.5 <= point["expected_ms"] <= COSTS.latency_ms([1] * len(SPACE.edges))
    assert [point["step"] for point in curve if "arch_loss" in point] == [4, 6], "every second step after the warm-up"
    assert len({point["expected_ms"] for point in curve[:4]}) == 1, "no architecture step in the warm-up"
    assert curve[0]["learning_rate"] == 0.05
    assert curve[3]["learning_rate"] == 0.025


def test_the_curve_of_a_long_search_has_every_nth_architecture_step_and_the_last(
    fashion: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The curve stands in every checkpoint, and the report reads it whole."""
    monkeypatch.setattr("search.proxyless.POINTS_PER_CURVE", 1)
    monkeypatch.setattr("search.proxyless.UPDATES_PER_CURVE", 2)
    curve = run_steps(new_search(fashion, arch_every=1), tmp_path / "checkpoint", lambda *_: None, "steps")
    # Steps 3 to 7 are followed by an update.
    assert [point["step"] for point in curve if "arch_loss" in point] == [3, 5, 7]


SINGLE = SearchSpace.from_dict({**SPACE.to_dict(), "kernels": [3], "zero": False}, source="single")
OF_SINGLE = CostModel(0.5, ((0.3,),) * len(SINGLE.edges))


def test_a_space_with_nothing_to_choose_is_searched_all_the_same(fashion: ImageData, tmp_path: Path) -> None:
    search = new_search(fashion, OF_SINGLE, SINGLE, target_ms=0.5 + 0.3 * len(SINGLE.edges))
    curve = run_steps(search, tmp_path / "checkpoint", lambda *_: None, "steps")
    assert {point["entropy"] for point in curve} == {0.0}
    assert search.probabilities() == [[1.0]] * len(SINGLE.edges)


def test_a_space_with_nothing_to_choose_and_no_latency_to_weigh_is_refused(fashion: ImageData) -> None:
    with pytest.raises(InputError, match="nothing to search: space tiny has one network only, and loss none") as caught:
        new_search(fashion, OF_SINGLE, SINGLE, loss="none", hold_target=False)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 6},
        {"target_ms": 1.1},
        {"steps": 6},
        {"batch_size": 8},
        {"hold_rate": 0.3},
        {"arch_every": 1},
        {"mode": "one-path"},
        {"warmup_paths": "fair"},
        {"start": "target"},
    ],
    ids=str,
)
def test_the_checkpoint_of_another_search_is_refused(
    fashion: ImageData, tmp_path: Path, changes: dict[str, Any]
) -> None:
    checkpoint = tmp_path / "checkpoint"
    State().save(checkpoint, belongs_to=new_search(fashion).fingerprint)
    with pytest.raises(InputError, match="written with other settings"):
        run_steps(new_search(fashion, **changes), checkpoint, lambda *_: None, "steps")


def test_other_costs_spaces_and_images_are_another_search(fashion: ImageData) -> None:
    ours = new_search(fashion).fingerprint
    assert new_search(fashion).fingerprint == ours
    dearer = CostModel(0.6, COSTS.candidate_ms)
    wider = SearchSpace.from_dict({**SPACE.to_dict(), "head": {"width": 24}}, source="wider")
    images = replace(fashion, train_images=255 - fashion.train_images)
    others = {
        new_search(fashion, costs=dearer).fingerprint,
        new_search(fashion, space=wider).fingerprint,
        new_search(images).fingerprint,
    }
    assert len(others) == 3
    assert ours not in others


def test_a_weight_step_trains_one_path_and_leaves_alpha_and_the_other_paths(fashion: ImageData) -> None:
    search = new_search(fashion)
    for number in range(4):
        before = outcome(search)
        path = sample_path(search.architecture_parameters.probabilities(), seeded(SETTINGS.seed, f"path {number}"))
        search.weight_step(number, 0.05)
        changed = [name for name in differing(before, outcome(search)) if name.startswith(("supernet", "arch"))]
        on_path = tuple(f"supernet.edges.{edge}.{index}." for edge, index in enumerate(path))
        assert all(name.startswith(("supernet.before.", "supernet.after.", *on_path)) for name in changed)
        for edge, index in enumerate(path):
            trained = any(name.startswith(f"supernet.edges.{edge}.{index}.") for name in changed)
            assert trained == (SPACE.edges[edge].candidates[index].kind != "zero")
        assert {"supernet.before.0.body.0.weight", "supernet.after.1.linear.weight"} <= set(changed)


def test_a_weight_step_fetches_nothing_from_where_alpha_is(fashion: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU it would wait there for all that is still computing; and E is asked for only where it is held."""
    search = new_search(fashion, mode="tunas", hold_target=False, warmup_steps=0)

    def refuse(*_: object) -> Tensor:
        raise AssertionError("asked for")

    monkeypatch.setattr(search.expected, "of", refuse)
    search.architecture_step(0)
    path = sample_path(search.architecture_parameters.probabilities(), seeded(SETTINGS.seed, "path 1"))
    taken: list[Any] = []
    search.supernet.register_forward_pre_hook(lambda _module, given: taken.append(given[1]))
    monkeypatch.setattr(search.architecture_parameters, "probabilities", refuse)
    search.weight_step(1, 0.05)
    assert taken == [path], "drawn from what alpha has come to"


def test_an_architecture_step_moves_only_the_sampled_pair_and_no_weight(fashion: ImageData) -> None:
    search = new_search(fashion)
    search.weight_step(0, 0.05)
    for number in range(4):
        before, p = outcome(search), search.architecture_parameters.probabilities().detach()
        pair = sample_pair(p, seeded(SETTINGS.seed, f"architecture {number}"))
        search.architecture_step(number)
        after = outcome(search)

        statistics = ("running_mean", "running_var", "num_batches_tracked")
        weights = [name for name in differing(before, after) if name.startswith(("supernet", "weight_optimizer"))]
        assert all(name.endswith(statistics) for name in weights)
        shown = {f"supernet.edges.{e}.{i}." for e, both in enumerate(pair.both.tolist()) for i in both}
        assert all(name.startswith(("supernet.before.", "supernet.after.", *shown)) for name in weights)

        moved = after["architecture.alpha"] != before["architecture.alpha"]
        sampled = torch.zeros_like(moved).scatter_(1, pair.both, True)
        assert torch.equal(moved, sampled)
        now = search.architecture_parameters.probabilities().detach()
        torch.testing.assert_close(now[~sampled], p[~sampled], rtol=1e-5, atol=0)
        assert all(parameter.requires_grad for parameter in search.supernet.parameters())


def test_after_a_failed_architecture_step_the_weights_can_still_be_trained(
    fashion: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = new_search(fashion)

    def fail(*_: object) -> Tensor:
        raise Killed

    monkeypatch.setattr(search.update, "backward", fail)
    with pytest.raises(Killed):
        search.architecture_step(0)
    assert all(parameter.requires_grad for parameter in search.supernet.parameters())


@pytest.mark.parametrize("mode", ["two-path", "reinforce"])
def test_a_search_that_has_lost_its_numbers_stops_in_one_line(fashion: ImageData, tmp_path: Path, mode: str) -> None:
    search = new_search(fashion, mode=mode, hold_target=False, warmup_learning_rate=1e30)
    with pytest.raises(PocketNASError, match=r"the loss is no number any more at step \d; give lower") as caught:
        run_steps(search, tmp_path / "checkpoint", lambda *_: None, "steps")
    assert len(str(caught.value).splitlines()) == 1


EVEN_MS = COSTS.fixed_ms + sum(sum(row) / len(row) for row in COSTS.candidate_ms)
"""Expected latency while every candidate is equally probable, as at the start."""


@pytest.mark.parametrize("share", [0.7, 0.85, 1.1])
def test_a_search_that_starts_at_the_target_expects_it_before_the_first_step(fashion: ImageData, share: float) -> None:
    search = new_search(fashion, target_ms=share * EVEN_MS, start="target")
    even = new_search(fashion, target_ms=share * EVEN_MS).probabilities()
    p = search.architecture_parameters.probabilities().detach()
    assert float(search.expected.of(p)) == pytest.approx(share * EVEN_MS, rel=0.01)
    for edge, (row, costs) in enumerate(zip(search.probabilities(), COSTS.candidate_ms, strict=True)):
        assert sum(row) == pytest.approx(1, abs=1e-6)
        by_cost = sorted(range(len(row)), key=lambda index: costs[index] * (1 if share < 1 else -1))
        assert [row[index] for index in by_cost] == sorted(row, reverse=True), "the nearer to the target, the likelier"
        assert even[edge] == pytest.approx([1 / len(row)] * len(row), abs=0.01)


def held(data: ImageData, target_ms: float, first_weight: float) -> tuple[list[float], list[float]]:
    """Expected latency and latency weight over 120 steps of a search that is held to a target."""
    search = new_search(
        data,
        target_ms=target_ms,
        weight=first_weight,
        warmup_steps=0,
        steps=120,
        arch_every=1,
        arch_learning_rate=0.05,
        hold_rate=0.1,
    )
    points = [search.step(number) for number in range(120)]
    return [point["expected_ms"] for point in points if point], [point["latency_weight"] for point in points if point]


@pytest.mark.parametrize("share", [0.7, 0.85])
def test_hold_target_brings_expected_latency_down_to_the_target(fashion: ImageData, share: float) -> None:
    target = share * EVEN_MS
    expected, weights = held(fashion, target, first_weight=0.0)
    assert expected[0] == pytest.approx(EVEN_MS, rel=0.02)
    assert weights[:3] == sorted(weights[:3])
    assert all(abs(ms - target) < 0.3 * (EVEN_MS - target) for ms in expected[-10:])


@pytest.mark.parametrize(("share", "counted", "at_once"), [(1 / 3, HOLD_MOST, 1.0), (1 / 1.1, 0.1, 0.1)])
def test_a_held_weight_answers_at_once_and_adds_up_slowly(
    fashion: ImageData, monkeypatch: pytest.MonkeyPatch, share: float, counted: float, at_once: float
) -> None:
    search = new_search(fashion, target_ms=share * EVEN_MS, weight=0.05, hold_rate=0.1)
    whole, used = search.update.backward, []

    def backward(images: Tensor, labels: Tensor, latency_weight: float, draws: torch.Generator) -> dict[str, float]:
        used.append(latency_weight)
        return whole(images, labels, latency_weight, draws)

    monkeypatch.setattr(search.update, "backward", backward)
    search.architecture_step(0)
    assert search.latency_weight == pytest.approx(0.05 + 0.1 * counted, rel=0.02)
    assert used == [pytest.approx(0.05 + 0.1 * HOLD_LEAD * at_once, rel=0.02)]


def test_hold_target_lets_go_where_latency_is_below_the_target(fashion: ImageData) -> None:
    _, weights = held(fashion, 3 * EVEN_MS, first_weight=0.5)
    assert weights[0] < 0.5
    assert weights[-1] == 0.0
    assert min(weights) == 0.0, "a negative weight would ask for slowness"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"loss": "mul#log", "hold_target": False, "target_ms": 1.0},
            "loss mul#log .* needs a target above 1 ms, not 1",
        ),
        ({"loss": "mul#log", "hold_target": False, "target_ms": 0.5}, "needs a target above 1 ms, not 0.5"),
        ({"loss": "mul#log"}, "hold_target moves the weight of add#linear"),
        ({"mode": "tunas"}, "hold_target moves the weight of a loss; mode tunas has a reward instead"),
        ({"mode": "one path"}, "unknown search mode 'one path'"),
        ({"mode": "reinforce", "hold_target": False, "samples": 1}, "samples must be at least 2, not 1"),
        ({"mode": "tunas", "hold_target": False, "reward_beta": 0.1}, "reward_beta below 0"),
        ({"mode": "reinforce", "hold_target": False, "reward_exponent": -0.1}, "reward_exponent must be at least 0"),
        ({"mode": "reinforce", "hold_target": False, "baseline_decay": 1.0}, "baseline_decay must be .* below 1"),
        ({"loss": "add"}, "hold_target|unknown latency loss"),
        ({"target_ms": 0.0}, "must be a latency above 0 ms"),
        ({"target_ms": float("nan")}, "must be a latency above 0 ms"),
        ({"target_ms": float("inf")}, "must be a latency above 0 ms"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0, not -1"),
        ({"arch_every": 0}, "arch_every must be at least 1, not 0"),
        ({"batch_size": 100_000}, "batch size 100000 does not fit"),
    ],
)
def test_settings_that_mean_nothing_are_refused(fashion: ImageData, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        new_search(fashion, **changes)
    assert len(str(caught.value).splitlines()) == 1


def test_mul_log_is_taken_as_published_above_one_millisecond() -> None:
    loss = LatencyLoss("mul#log", target_ms=80.0, beta=0.6)
    cross_entropy = torch.tensor(2.0, dtype=torch.float64)
    for expected_ms in (60.0, 80.0, 120.0):
        combined = float(loss.combine(cross_entropy, torch.tensor(expected_ms, dtype=torch.float64), 1.5))
        assert combined == pytest.approx(1.5 * 2.0 * (math.log(expected_ms) / math.log(80)) ** 0.6)
    below = float(loss.combine(cross_entropy, torch.tensor(0.5, dtype=torch.float64), 1.5))
    assert math.isfinite(below)


def test_add_linear_is_zero_at_the_target_and_none_ignores_latency() -> None:
    cross_entropy = torch.tensor(2.0, dtype=torch.float64)
    for expected_ms, weight in itertools.product((1.0, 2.0, 3.0), (0.0, 0.5)):
        expected = torch.tensor(expected_ms, dtype=torch.float64)
        combined = float(LatencyLoss("add#linear", 2.0).combine(cross_entropy, expected, weight))
        assert combined == pytest.approx(2.0 + weight * (expected_ms - 2.0) / 2.0)
        assert float(LatencyLoss("none", 2.0).combine(cross_entropy, expected, weight)) == 2.0
