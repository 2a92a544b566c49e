"""Scores of inherited weights: the supernet's own, with statistics of the path's own."""

from dataclasses import replace

import pytest
import torch
from problems import ONE_SHOT, SPACE, problem

from latency.predict import CostModel
from pocketnas_base.errors import PocketNASError
from search.data.dataset import ImageData
from search.strategies.ledger import Ledger
from search.strategies.one_shot import OneShot, OneShotSettings
from search.strategies.scoring import Inherited
from search.tree_space import TreeSpace

TREES = TreeSpace.from_dict(
    {
        "name": "trees",
        "resolution": 28,
        "image_channels": 1,
        "classes": 10,
        "pyramid": {"stem": 4, "alpha": 4, "blocks": [1, 1], "bottleneck": 2},
        "tree": {"branches": 2, "depth": 1, "operators": ["sepconv_3x3", "avgpool_3x3", "maxpool_3x3", "identity"]},
    },
    source="trees",
)


def trained(data: ImageData, settings: OneShotSettings = ONE_SHOT) -> OneShot:
    one_shot, ledger = OneShot(problem(data), settings), Ledger()
    for number in range(ONE_SHOT.steps):
        ledger, _ = one_shot.train_step(number, ledger)
    return one_shot


def test_an_inherited_network_is_the_supernets_path(fashion: ImageData) -> None:
    one_shot = trained(fashion)
    images, _ = one_shot.problem.weight_batches.at(0)
    path = [0, 4, 2, 1]
    network = Inherited(one_shot.supernet, path).eval()
    torch.testing.assert_close(network(images), one_shot.supernet.eval()(images, path), rtol=0, atol=0)


def test_an_inherited_network_of_tree_cells_is_connected_as_the_supernet_is(fashion: ImageData) -> None:
    costs = CostModel(0.5, tuple((0.3, 0.2, 0.1, 0.0) for _ in TREES.edges))
    one_shot = OneShot(problem(fashion, space=TREES, costs=costs), ONE_SHOT)
    images, _ = one_shot.problem.weight_batches.at(0)
    path = tuple(edge % 4 for edge in range(len(TREES.edges)))
    network = Inherited(one_shot.supernet, path).eval()
    torch.testing.assert_close(network(images), one_shot.supernet.eval()(images, path), rtol=0, atol=0)
    _, accuracy = one_shot.score(path, Ledger())
    assert 0 <= accuracy <= 100


def test_a_supernet_that_has_lost_its_numbers_stops_in_one_line(fashion: ImageData) -> None:
    with pytest.raises(PocketNASError, match=r"supernet: the loss is no number any more at step \d; give a lower"):
        trained(fashion, replace(ONE_SHOT, learning_rate=1e30))


def test_scoring_leaves_the_supernet_as_it_was_and_repeats(fashion: ImageData) -> None:
    one_shot = trained(fashion)
    before = {name: value.clone() for name, value in one_shot.supernet.state_dict().items()}
    first = one_shot.score((0, 4, 2, 1), Ledger())
    assert one_shot.score((0, 4, 2, 1), Ledger()) == first
    assert all(torch.equal(value, before[name]) for name, value in one_shot.supernet.state_dict().items())


def test_statistics_are_the_paths_own(fashion: ImageData) -> None:
    """The stem sees the same images whatever the path: its mean is theirs, not what training left behind."""
    one_shot = trained(fashion)
    network = one_shot.scorer.network(one_shot.supernet, (0, 4, 2, 1))
    stem_norm, stem = network.ops[0].body[1], network.ops[0].body[0]
    batches = torch.cat(list(one_shot.problem.weight_batches.unaugmented(ONE_SHOT.recalibration_images)))
    torch.testing.assert_close(stem_norm.running_mean, stem(batches).mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-5)
    left = one_shot.supernet.before[0].body[1].running_mean
    assert not torch.allclose(stem_norm.running_mean, left, rtol=1e-3)


def test_every_candidate_of_an_edge_is_trained_equally_often(fashion: ImageData) -> None:
    one_shot = OneShot(problem(fashion), ONE_SHOT)
    counts = [len(edge.candidates) for edge in SPACE.edges]
    laps = 3 * max(counts) * min(counts)
    drawn = [one_shot.training._paths.path(number, one_shot.training._uniform) for number in range(laps)]
    for edge, count in enumerate(counts):
        times = [sum(path[edge] == index for path in drawn) for index in range(count)]
        assert max(times) - min(times) <= 1
