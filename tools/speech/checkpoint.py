"""Training state on disk: safetensors for numbers, JSON for the rest."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import dump_json, read_json, write_bytes, write_text

_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class State:
    """Where a training stands.

    Attributes:
        epoch: epochs done.
        recipe: settings and data hashes; a checkpoint of another recipe is refused.
        curve: one record an epoch.
        best: number of the best epoch so far (by validation), 0 when none.
        seconds: time trained so far.
    """

    recipe: dict[str, Any]
    epoch: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    best: int = 0
    seconds: float = 0.0


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the parameters as float32, under their names."""
    tensors = {k: v.detach().float().contiguous() for k, v in model.state_dict().items()}
    write_bytes(path, save(tensors))


def load_weights(model: nn.Module, path: Path) -> None:
    """Read parameters back.

    Raises:
        MohaqError: missing, damaged or for another model.
    """
    try:
        model.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise MohaqError("no such weights", where=str(path)) from None
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise MohaqError("the weights do not fit", where=str(path), why=reason) from None


def save_state(folder: Path, state: State, model: nn.Module, optimizer: torch.optim.AdamW) -> None:
    """Write one epoch's state; the JSON file goes last and names the arrays it belongs to."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        tensors[f"model/{name}"] = parameter.detach().contiguous()
        for moment in _MOMENTS:
            tensors[f"{moment}/{name}"] = optimizer.state[parameter][moment].contiguous()
        tensors[f"step/{name}"] = optimizer.state[parameter]["step"].reshape(1)
    arrays = f"state-{state.epoch:03d}.safetensors"
    write_bytes(folder / arrays, save(tensors))
    write_text(folder / "state.json", dump_json({"arrays": arrays, **vars(state)}))
    for old in folder.glob("state-*.safetensors"):
        if old.name != arrays:
            old.unlink()


def load_state(
    folder: Path, recipe: dict[str, Any], model: nn.Module, optimizer: torch.optim.AdamW
) -> State | None:
    """Restore the last state, or None when there is none yet.

    Raises:
        MohaqError: it belongs to another recipe, or is damaged.
    """
    path = folder / "state.json"
    if not path.exists():
        return None
    stored = read_json(path, "training state")
    if not isinstance(stored, dict) or stored.get("recipe") != json.loads(json.dumps(recipe)):
        raise MohaqError(
            "this folder holds a training of another recipe",
            where=str(folder),
            hint="choose another folder, or delete this one",
        )
    try:
        tensors = load_file(folder / stored.pop("arrays"))
        for name, parameter in model.named_parameters():
            parameter.data.copy_(tensors[f"model/{name}"])
            optimizer.state[parameter] = {
                **{moment: tensors[f"{moment}/{name}"].clone() for moment in _MOMENTS},
                "step": tensors[f"step/{name}"].reshape(()).clone(),
            }
        return State(**stored)
    except (SafetensorError, OSError, KeyError, TypeError, RuntimeError) as error:
        raise MohaqError("the training state is damaged", where=str(path), why=str(error)) from None
