"""The original implementation's supernet and its two steps, from a user's own copy of it: nothing of it is kept here.

What is called is the release's `search/models/super_nets/super_proxyless.py` and `search/modules/mix_op.py`, as they
stand; the order of the calls is that of `search/nas_manager.py` (`train` and `gradient_step`).
"""

import importlib
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from latency.opspec import OpSpec
from search.latency_loss import LatencyLoss
from search.layout import Space
from search.paths import PathPair
from search.space import SearchSpace

SUPERNET, EDGES = "models.super_nets.super_proxyless", "modules.mix_op"
KERNELS, EXPANSIONS = (3, 5, 7), range(1, 7)
# Far enough above the others, and each other, for softmax to leave nothing to chance.
ACTIVE_ALPHA, INACTIVE_ALPHA = 30.0, 15.0


@dataclass(frozen=True)
class Original:
    """The release's two modules of code, imported from a copy."""

    supernets: Any
    edges: Any


def import_original(folder: Path, space: Space) -> Original:
    """The code below `folder`. Ends the program, in one line, where it is not there or cannot build the space."""
    unfit = _unfit(space)
    if unfit:
        raise SystemExit(f"--original {folder}: the original has no space like {space.name}: {unfit}")
    if not (folder / "search" / Path(*SUPERNET.split("."))).with_suffix(".py").is_file():
        raise SystemExit(
            f"--original {folder}: there is no search/{SUPERNET.replace('.', '/')}.py in it; give a checkout of "
            "mit-han-lab/proxylessnas"
        )
    try:
        with _first_on_path(folder / "search"):
            importlib.import_module("models")
            return Original(importlib.import_module(SUPERNET), importlib.import_module(EDGES))
    except (ImportError, AttributeError, NameError, SyntaxError) as error:
        told = " ".join(str(error).split())
        raise SystemExit(f"--original {folder}: its code cannot be imported: {told}") from None


@contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    """Its packages import each other by their bare names."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _unfit(space: Space) -> str | None:
    """Why the original cannot build this space; None where it can."""
    if not isinstance(space, SearchSpace):
        return "it is no chain of blocks"
    for op in space.op_specs():
        if op.activation != "relu6" or op.squeeze_excite:
            return f"{op.key} is none of its operators"
        if op.kind == "mbconv" and not (op.kernel in KERNELS and op.expansion in EXPANSIONS):
            return f"{op.key} is none of its operators"
    single = next((edge.name for edge in space.edges if len(edge.candidates) < 2), None)
    return None if single is None else f"it samples two candidates of every edge, and {single} has one"


class OriginalSteps:
    """A space's supernet as the release builds it, its optimisers, and its steps along a given path.

    Its modules keep the layout they are written with, [N, C, H, W]; images are given to it likewise.
    """

    def __init__(self, code: Original, space: Space, loss: LatencyLoss, weight: float, device: torch.device) -> None:
        self._edge_class: Any = code.edges.MixedEdge
        self._net: Any = build_supernet(code, space).to(device)
        self._net.train()
        self._loss, self._weight = loss, weight
        self._weights = torch.optim.SGD(self._net.weight_parameters(), lr=0.01, momentum=0.9, nesterov=True)
        self._alphas = torch.optim.Adam(self._net.architecture_parameters(), lr=1e-3, betas=(0.0, 0.999))

    def along(self, pair: PathPair, images: Tensor, labels: Tensor) -> dict[str, Callable[[], None]]:
        """Its weight step along pair.active, its architecture step with both; images [N, C, r, r], labels [N].

        It samples for itself: alpha is set so that what it draws is the pair.
        """
        active, inactive = pair.active.tolist(), pair.inactive.tolist()
        for number, alpha in enumerate(self._net.architecture_parameters()):
            alpha.data.zero_()
            alpha.data[inactive[number]] = INACTIVE_ALPHA
            alpha.data[active[number]] = ACTIVE_ALPHA
        images = images.clone(memory_format=torch.contiguous_format)
        return {
            "original_weight_step": lambda: self._weight_step(images, labels),
            "original_arch_step": lambda: self._architecture_step(images, labels),
        }

    def _weight_step(self, images: Tensor, labels: Tensor) -> None:
        net = self._net
        net.reset_binary_gates()
        net.unused_modules_off()
        loss = functional.cross_entropy(net(images), labels, label_smoothing=0.1)
        net.zero_grad()
        loss.backward()
        self._weights.step()
        net.unused_modules_back()

    def _architecture_step(self, images: Tensor, labels: Tensor) -> None:
        net, edges = self._net, self._edge_class
        edges.MODE = "two"
        # It prints a line for every edge whose active candidate is Zero.
        with redirect_stdout(io.StringIO()):
            net.reset_binary_gates()
            net.unused_modules_off()
            cross_entropy = functional.cross_entropy(net(images), labels)
            expected = net.expected_latency(_EveryOperator())
            loss = self._loss.combine(cross_entropy, expected, self._weight)
            net.zero_grad()
            loss.backward()
            net.set_arch_param_grad()
            self._alphas.step()
            net.rescale_updated_arch_param()
            net.unused_modules_back()
        edges.MODE = None


class _EveryOperator:
    """In the place of its latency table, which is of one space at 224 pixels: every operator takes a millisecond."""

    def predict(self, *_of: object, **_about: object) -> float:
        return 1.0


def build_supernet(code: Original, space: Space) -> Any:
    """The space as the release's supernet. Its constructor knows only the release's own stem, first block and head, so
    that its base's is called with parts of the space's sizes."""
    parts = code.supernets
    stem, first = space.before
    head, classifier = space.after
    blocks = [parts.MobileInvertedResidualBlock(_candidates(code, (first,))[0], None)]
    for edge in space.edges:
        mixed = code.edges.MixedEdge(candidate_ops=_candidates(code, edge.candidates))
        residual = edge.candidates[0].residual
        shortcut = parts.IdentityLayer(edge.in_channels, edge.out_channels) if residual else None
        blocks.append(parts.MobileInvertedResidualBlock(mixed, shortcut))
    supernet = parts.SuperProxylessNASNets
    net = supernet.__new__(supernet)
    parts.ProxylessNASNets.__init__(
        net,
        _convolution(code, stem),
        blocks,
        _convolution(code, head),
        parts.LinearLayer(classifier.in_channels, classifier.out_channels),
    )
    net._redundant_modules = net._unused_modules = None
    net.set_bn_param(momentum=0.1, eps=1e-3)
    net.init_model("he_fout")
    return net


def _convolution(code: Original, op: OpSpec) -> Any:
    return code.supernets.ConvLayer(
        op.in_channels, op.out_channels, kernel_size=op.kernel, stride=op.stride, act_func="relu6"
    )


def _candidates(code: Original, ops: tuple[OpSpec, ...]) -> Any:
    names = ["Zero" if op.kind == "zero" else f"{op.kernel}x{op.kernel}_MBConv{op.expansion}" for op in ops]
    return code.edges.build_candidate_ops(
        names, ops[0].in_channels, ops[0].out_channels, ops[0].stride, "weight_bn_act"
    )
