"""Recalibration: batch norm's statistics are those of its inputs over the data."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from search.architecture import assemble
from search.batch_norm import recalibrate
from search.data.batches import TrainingBatches, normalisation_of
from search.data.dataset import ImageData
from search.network import Network
from search.space import load_space
from search.supernet import Supernet

DEMO = load_space("demo")
NET = assemble(DEMO, [0] * len(DEMO.edges), "net")


def network(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return Network(NET, dropout=0.5)


def norms_of(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]


def statistics(module: nn.Module) -> list[Tensor]:
    return [value.clone() for norm in norms_of(module) for value in (norm.running_mean, norm.running_var)]  # type: ignore[union-attr]


def test_the_first_layers_statistics_are_those_of_all_images_however_they_are_batched(fashion: ImageData) -> None:
    net = network()
    images = normalisation_of(fashion)(fashion.train_images[:600])
    convolution = next(layer for layer in net.modules() if isinstance(layer, nn.Conv2d))
    with torch.no_grad():
        given = convolution(images).double()
    for size in (600, 100, 7):
        recalibrate(net, torch.split(images, size))
        first = norms_of(net)[0]
        torch.testing.assert_close(first.running_mean, given.mean((0, 2, 3)).float(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(first.running_var, given.var((0, 2, 3)).float(), rtol=1e-4, atol=1e-5)


def test_over_one_batch_every_layer_has_what_torch_would_have_kept_of_it(fashion: ImageData) -> None:
    images = normalisation_of(fashion)(fashion.train_images[:200])
    ours, theirs = network(), network()
    recalibrate(ours, [images])
    theirs.eval()
    for norm in norms_of(theirs):
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        theirs(images)
    for one, other in zip(statistics(ours), statistics(theirs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_few_values_have_the_variance_by_n_minus_one() -> None:
    net = nn.Sequential(nn.BatchNorm2d(1))
    values = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 9.0]).view(6, 1, 1, 1)
    recalibrate(net, torch.split(values, 2))
    (norm,) = norms_of(net)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert float(norm.running_mean) == pytest.approx(4.0)
    assert float(norm.running_var) == pytest.approx(8.0)


def test_dropout_does_not_stand_in_the_way() -> None:
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(1)).train()
    recalibrate(net, [torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 9.0]).view(6, 1, 1, 1)])
    (norm,) = norms_of(net)
    assert norm.running_mean is not None
    assert float(norm.running_mean) == pytest.approx(4.0)


def test_images_far_from_zero_lose_nothing() -> None:
    net = nn.Sequential(nn.BatchNorm2d(1))
    images = 1000 + torch.randn(4096, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    recalibrate(net, torch.split(images, 64))
    norm = norms_of(net)[0]
    assert norm.running_var is not None
    assert float(norm.running_var) == pytest.approx(float(images.double().var()), rel=1e-3)


def test_nothing_else_changes_and_the_mode_stays(fashion: ImageData) -> None:
    images = normalisation_of(fashion)(fashion.train_images[:64])
    for mode in (True, False):
        net = network().train(mode)
        before = {name: value.clone() for name, value in net.state_dict().items()}
        recalibrate(net, [images])
        changed = [name for name, value in net.state_dict().items() if not torch.equal(value, before[name])]
        assert changed
        assert all(name.endswith(("running_mean", "running_var", "num_batches_tracked")) for name in changed)
        assert all(layer.training == mode for layer in net.modules())
        assert not any(norm._forward_pre_hooks for norm in norms_of(net))


def test_of_a_supernet_only_the_path_that_ran_is_set(fashion: ImageData) -> None:
    torch.manual_seed(0)
    supernet = Supernet(DEMO)
    path: Sequence[int] = [index % len(edge.candidates) for index, edge in enumerate(DEMO.edges)]
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    images = normalisation_of(fashion)(fashion.train_images[:64])
    recalibrate(supernet, [images], forward=lambda x: supernet(x, path))
    changed = {name for name, value in supernet.state_dict().items() if not torch.equal(value, before[name])}
    run = {f"edges.{edge}.{index}." for edge, index in enumerate(path)}
    assert all(name.startswith(("before.", "after.", *run)) for name in changed)
    for prefix in run:
        has_norms = any(name.startswith(prefix) and name.endswith("running_mean") for name in before)
        assert has_norms == any(name.startswith(prefix) for name in changed)


def test_averaged_statistics_make_evaluation_agree_with_training(fashion: ImageData) -> None:
    """Fresh weights under statistics of 0 and 1 answer with noise; under their own, as in training."""
    net = network()
    batches = TrainingBatches.of(fashion, batch_size=500, seed=0)
    recalibrate(net, batches.unaugmented(500))
    images = next(iter(batches.unaugmented(500)))
    with torch.no_grad():
        evaluated = net.eval()(images)
        for norm in norms_of(net):
            norm.train()
        trained = net(images)
    torch.testing.assert_close(evaluated, trained, rtol=1e-2, atol=1e-2)
