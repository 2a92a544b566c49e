"""A teacher's answers as a second label (Hinton et al. 2015, arXiv 1503.02531, section 2)."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from pocketnas_base.errors import InputError
from search.architecture import Architecture
from search.data.batches import Normalisation
from search.network import channels_last, load_network
from search.user_function import call_user_function

_PROBE_IMAGES = 2


@dataclass(frozen=True, eq=False)
class Teacher:
    """module: normalised images [B, C, r, r] to logits [B, classes]; it is not trained. weight: the share of its
    answers in the loss, the labels having the rest. temperature: logits are divided by it before they are compared.
    fingerprint: sha256 over what it computes with."""

    module: nn.Module
    weight: float
    temperature: float
    fingerprint: str

    def to(self, device: torch.device) -> "Teacher":
        """The same teacher where the student is."""
        return replace(self, module=self.module.to(device))


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)), the mean over a batch of logits [B, classes].

    Its gradient by a student's logit is T (q - p) / B, with q and p the student's and the teacher's probabilities at
    temperature T: of the size of cross entropy's whatever T is, for which the factor T^2 stands.
    """
    return temperature**2 * functional.kl_div(
        functional.log_softmax(student / temperature, dim=1),
        functional.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )


def network_teacher(
    architecture: Architecture, weights: Path, student: Architecture, *, weight: float, temperature: float
) -> Teacher:
    """A trained network of ours as the teacher. Raises InputError when it does not fit its weights or the student."""
    for name in ("image_channels", "resolution", "classes"):
        own, asked = getattr(architecture, name), getattr(student, name)
        if own != asked:
            raise InputError(
                f"teacher {architecture.name} has {name.replace('_', ' ')} {own}, the network it would teach {asked}; "
                f"use a teacher trained on the same images"
            )
    return _teacher(load_network(architecture, weights), f"teacher {architecture.name}", student, weight, temperature)


def function_teacher(
    spec: str, student: Architecture, normalisation: Normalisation, *, weight: float, temperature: float
) -> Teacher:
    """The torch module that the user's `module:function` returns, as the teacher.

    The function is called as function(classes=, channels=, resolution=, mean=, std=) and returns a module in any mode.
    It is given images [B, channels, resolution, resolution], float32, normalised as (pixel / 255 - mean) / std, and
    returns logits [B, classes]. Raises InputError when it does not.
    """
    module = call_user_function(
        spec,
        "teacher",
        classes=student.classes,
        channels=student.image_channels,
        resolution=student.resolution,
        mean=normalisation.mean,
        std=normalisation.std,
    )
    if not isinstance(module, nn.Module):
        raise InputError(f"teacher {spec} returned a {type(module).__name__}; it must return a torch.nn.Module")
    return _teacher(module, f"teacher {spec}", student, weight, temperature)


def _teacher(module: nn.Module, name: str, student: Architecture, weight: float, temperature: float) -> Teacher:
    if not 0 < weight <= 1:
        raise InputError(f"{name}: weight must lie within 0 and 1, not {weight}")
    if not temperature > 0:
        raise InputError(f"{name}: temperature must be above 0, not {temperature}")
    module = channels_last(module.eval().requires_grad_(False).cpu())
    images = torch.zeros(_PROBE_IMAGES, student.image_channels, student.resolution, student.resolution)
    try:
        with torch.inference_mode():
            logits: object = module(images)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name} cannot take images of {list(images.shape)}: {reason}") from error
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise InputError(f"{name} must return a tensor of logits, not a {type(logits).__name__}")
    if logits.shape != (_PROBE_IMAGES, student.classes):
        raise InputError(
            f"{name} answers {list(images.shape)} with {list(logits.shape)}; logits must be "
            f"{[_PROBE_IMAGES, student.classes]}, one per class"
        )
    if not bool(logits.isfinite().all()):
        raise InputError(f"{name} answers a black image with logits that are not finite")
    return Teacher(module, weight, temperature, _fingerprint(module, weight, temperature))


def _fingerprint(module: nn.Module, weight: float, temperature: float) -> str:
    digest = hashlib.sha256(json.dumps([str(module), weight, temperature]).encode())
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
