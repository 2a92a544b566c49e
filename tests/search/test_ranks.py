"""Several ranks are one rank with the whole batch; two real processes over gloo."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from real_images import need_fashion_mnist
from spread_work import SCENARIOS, few_images, kept, run_on
from torch import Tensor

from pocketnas_base.errors import InputError
from search.data.batches import TrainingBatches
from search.ranks import ALONE, Ranks

EXACT = 1e-10


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Where one rank and two left what they came to."""
    need_fashion_mnist()
    folders = {size: tmp_path_factory.mktemp(f"{size}-ranks") for size in (1, 2)}
    for size, folder in folders.items():
        run_on(size, folder, SCENARIOS)
    return folders


def farthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


def numbers_in(value: Any) -> list[float]:
    if isinstance(value, dict):
        return numbers_in([value[key] for key in sorted(value)])
    if isinstance(value, Sequence):
        return [number for part in value for number in numbers_in(part)]
    return [] if value is None else [float(value)]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_two_ranks_equal_one_with_the_double_batch(outcomes: dict[int, Path], scenario: str) -> None:
    """Weights, running statistics, momenta, alphas, averages, the curve and all that the update remembers."""
    (alone, of_alone), (spread, of_spread) = (kept(outcomes[size], scenario) for size in (1, 2))
    assert {value.dtype for name, value in alone.items() if name.endswith("weight")} == {torch.float64}
    assert farthest(alone, spread) < EXACT
    one, other = numbers_in(of_alone), numbers_in(of_spread)
    assert len(one) == len(other) > 10
    assert max(abs(a - b) for a, b in zip(one, other, strict=True)) < EXACT


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_all_ranks_hold_the_same_bits(outcomes: dict[int, Path], scenario: str) -> None:
    (first, of_first), (second, of_second) = (kept(outcomes[2], scenario, rank) for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in second)
    assert of_first == of_second


@pytest.mark.parametrize("precision", ["plain", "mixed"])
@pytest.mark.parametrize("scenario", ["two-path", "one-path", "training"])
def test_ranks_killed_together_end_as_those_that_were_not(
    outcomes: dict[int, Path], scenario: str, precision: str
) -> None:
    straight, numbers = kept(outcomes[2], f"{scenario}-{precision}")
    resumed, of_resumed = kept(outcomes[2], f"{scenario}-{precision}-killed")
    assert straight.keys() == resumed.keys()
    assert [name for name in straight if not torch.equal(straight[name], resumed[name])] == []
    assert numbers == of_resumed


@pytest.mark.parametrize("size", [1, 2, 4])
def test_shares_make_up_the_batch(size: int) -> None:
    data = few_images()
    shares = [TrainingBatches.of(data, batch_size=8, seed=1, ranks=Ranks(rank, size)) for rank in range(size)]
    whole = TrainingBatches.of(data, batch_size=8, seed=1)
    assert {each.fingerprint for each in shares} == {whole.fingerprint}, "a search may go on with other ranks"
    images, labels = whole.at(3)
    parts = [each.at(3) for each in shares]
    assert torch.equal(torch.cat([part[0] for part in parts]), images)
    assert torch.equal(torch.cat([part[1] for part in parts]), labels)


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(InputError, match="a batch of 9 images cannot be divided equally among 2 ranks"):
        TrainingBatches.of(few_images(), batch_size=9, seed=1, ranks=Ranks(1, 2))


def test_one_rank_has_nothing_to_tell() -> None:
    value = torch.tensor([1.0, 2.0])
    assert ALONE.mean(value) is value
    assert ALONE.total(value) is value
    ALONE.average([value])
    ALONE.check_agreement(b"any", torch.device("cpu"), "ever")
    assert value.tolist() == [1.0, 2.0]
