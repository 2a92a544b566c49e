"""Checkpoints without pickle: tensors, optimiser states and plain numbers in one safetensors file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pocketnas_base.errors import InputError
from search.network import save_weights

_METADATA_KEY = "pocketnas_state"


@dataclass
class State:
    """What a resumed run needs. tensors by dotted name; numbers: anything JSON can hold."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)

    def add_module(self, name: str, module: nn.Module) -> None:
        """Keep a module's parameters and buffers under `name.`."""
        self.tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}

    def restore_module(self, name: str, module: nn.Module) -> None:
        """Load what `add_module` kept."""
        module.load_state_dict(self._under(name))

    def add_optimizer(self, name: str, optimizer: torch.optim.Optimizer) -> None:
        """Keep an optimiser's state under `name.<parameter number>.<key>`; its rates come from the schedule."""
        for index, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                # SGD leaves the buffer of a parameter without momentum at None: absent says the same.
                if value is not None:
                    self.tensors[f"{name}.{index}.{key}"] = torch.as_tensor(value)

    def restore_optimizer(self, name: str, optimizer: torch.optim.Optimizer) -> None:
        """Load what `add_optimizer` kept, laid out in memory as the parameters are: a file keeps no layout, and
        torch adds tensors of two layouts by other code."""
        parameters = [each for group in optimizer.param_groups for each in group["params"]]
        states: dict[int, dict[str, Tensor]] = {}
        for key, value in self._under(name).items():
            index, entry = key.split(".", 1)
            parameter = parameters[int(index)]
            if value.shape == parameter.shape:
                value = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
            states.setdefault(int(index), {})[entry] = value
        optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})

    def _under(self, name: str) -> dict[str, Tensor]:
        prefix = f"{name}."
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}

    def save(self, path: Path, *, belongs_to: str) -> None:
        """Write the checkpoint, whole or not at all. `belongs_to`: fingerprint of what the run was asked to do."""
        metadata = json.dumps({"belongs_to": belongs_to, "numbers": self.numbers})
        save_weights(self.tensors, path, {_METADATA_KEY: metadata})

    @classmethod
    def load(cls, path: Path, *, belongs_to: str) -> "State":
        """Read a checkpoint. Raises InputError when it is unreadable or was written for another request."""
        try:
            with safe_open(path, framework="pt") as file:
                plain: Mapping[str, Any] = json.loads((file.metadata() or {})[_METADATA_KEY])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a mapping)
            found, numbers = plain["belongs_to"], dict(plain["numbers"])
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"checkpoint {path} cannot be read: {error}; delete it to start anew") from error
        if found != belongs_to:
            raise InputError(
                f"checkpoint {path} was written with other settings; use those, or delete it to start anew"
            )
        return cls(tensors, numbers)
