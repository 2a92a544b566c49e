"""What a torch network computes on the way: the output of every operation, and which module it belongs to."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True, slots=True)
class TorchLayer:
    """One operation that a network ran.

    name: the module's, as in its state_dict, where that is one of torch.nn; else with the operation behind a colon, as
    in `blocks.3:add`; the second of a name ends in `#2`. operation: torch's name of the function. shape: of its output
    for one image, as torch has it.
    """

    name: str
    operation: str
    shape: tuple[int, ...]


Saw = Callable[[int, TorchLayer, Tensor], None]
"""Called with an operation's place in the order of computation, what it is, and its output [N, ...] of that moment: a
later operation may write over it."""


def run_layers(module: nn.Module, images: Tensor, saw: Saw) -> None:
    """Run a module in evaluation mode on images [N, ...], and tell `saw` of every operation that gives floats.

    What a function of torch does inside counts as one operation, however many kernels it takes.
    """
    with torch.inference_mode(), _one_thread(), _modules_noted(module) as running, _Watching(running, saw):
        module(images)


class _Watching(TorchFunctionMode):
    """Sees every function of torch that is called while it is entered."""

    def __init__(self, running: list[tuple[str, nn.Module]], saw: Saw) -> None:
        super().__init__()
        self._running, self._saw = running, saw
        self._place = 0
        self._names: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor) and value.is_floating_point() and value.ndim > 0:
                operation = str(getattr(func, "__name__", func)).strip("_")
                layer = TorchLayer(self._name(operation), operation, tuple(value.shape[1:]))
                self._saw(self._place, layer, value)
                self._place += 1
        return result

    def _name(self, operation: str) -> str:
        path, module = self._running[-1]
        name = path if path and type(module).__module__.startswith("torch.nn.") else f"{path}:{operation}".lstrip(":")
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}#{self._names[name]}"


@contextmanager
def _one_thread() -> Iterator[None]:
    """An image has too little work for several: on a machine that is busy they wait for each other at every layer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _modules_noted(module: nn.Module) -> Iterator[list[tuple[str, nn.Module]]]:
    """Which modules are running, outermost first, by name."""
    running: list[tuple[str, nn.Module]] = []
    hooks = []
    for name, part in module.named_modules():

        def enter(_part: nn.Module, _args: Any, entered: tuple[str, nn.Module] = (name, part)) -> None:
            running.append(entered)

        def leave(_part: nn.Module, _args: Any, _result: Any) -> None:
            running.pop()

        hooks += [part.register_forward_pre_hook(enter), part.register_forward_hook(leave)]
    try:
        yield running
    finally:
        for hook in hooks:
            hook.remove()
