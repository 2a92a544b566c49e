"""Where search and training compute."""

import pytest
import torch

from pocketnas_base.errors import InputError
from search.accelerator import accelerator_name, check_mixed_precision, torch_device


def test_auto_takes_a_gpu_where_there_is_one() -> None:
    assert torch_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert torch_device("cpu").type == "cpu"
    assert accelerator_name(torch_device("cpu")) == "CPU"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_clear_line() -> None:
    with pytest.raises(
        InputError, match=r'accelerator cuda: torch .* finds no CUDA GPU here; use accelerator = "auto"'
    ):
        torch_device("cuda")


def test_a_processor_may_always_compute_in_bfloat16() -> None:
    check_mixed_precision(torch.device("cpu"))
