"""State of a retraining on disk: safetensors for numbers, JSON for the rest."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import dump_json, read_json, write_bytes, write_text
from mohaq.compiler.qat.network import QuantizedNetwork

STATE_FILE = "retraining.json"
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class Progress:
    """Where a retraining stands.

    Attributes:
        recipe: everything that decides the result; another recipe's checkpoint is refused.
        epoch: epochs done.
        best: number of the best epoch so far by validation; 0 is the program as it came.
        curve: one record an epoch, the first is epoch 0.
    """

    recipe: dict[str, Any]
    epoch: int = 0
    best: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)


def save_progress(
    folder: Path,
    progress: Progress,
    network: QuantizedNetwork,
    best: dict[str, Tensor],
    optimizer: torch.optim.Adam,
) -> None:
    """Write one epoch's state; the JSON file goes last and names the arrays it belongs to."""
    tensors: dict[str, Tensor] = {}
    for symbol, shadow in zip(network.symbols, network.shadows, strict=True):
        tensors[f"shadow/{symbol}"] = shadow.detach().contiguous()
        tensors[f"best/{symbol}"] = best[symbol].contiguous()
        held = optimizer.state.get(shadow, {})
        for moment in _MOMENTS if held else ():
            tensors[f"{moment}/{symbol}"] = held[moment].contiguous()
        if held:
            tensors[f"step/{symbol}"] = held["step"].reshape(1)
    arrays = f"retraining-{progress.epoch:04d}.safetensors"
    write_bytes(folder / arrays, save(tensors))
    write_text(folder / STATE_FILE, dump_json({"arrays": arrays, **vars(progress)}))
    for old in folder.glob("retraining-*.safetensors"):
        if old.name != arrays:
            old.unlink()


def load_progress(
    folder: Path,
    recipe: dict[str, Any],
    network: QuantizedNetwork,
    optimizer: torch.optim.Adam,
) -> tuple[Progress, dict[str, Tensor]] | None:
    """Restore the last state and the best shadows, or None when there is none yet.

    Raises:
        MohaqError: it belongs to another recipe, or is damaged.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return None
    stored = read_json(path, "training state")
    if not isinstance(stored, dict) or stored.get("recipe") != json.loads(json.dumps(recipe)):
        raise MohaqError(
            "this folder holds a retraining of another recipe",
            where=str(folder),
            hint="choose another folder, or delete this one",
        )
    try:
        tensors = load_file(folder / str(stored.pop("arrays")))
        network.load({s: tensors[f"shadow/{s}"] for s in network.symbols})
        for symbol, shadow in zip(network.symbols, network.shadows, strict=True):
            if f"step/{symbol}" in tensors:
                optimizer.state[shadow] = {
                    **{moment: tensors[f"{moment}/{symbol}"].clone() for moment in _MOMENTS},
                    "step": tensors[f"step/{symbol}"].reshape(()).clone(),
                }
        return Progress(**stored), {s: tensors[f"best/{s}"].clone() for s in network.symbols}
    except (SafetensorError, OSError, KeyError, TypeError, RuntimeError) as error:
        raise MohaqError("the training state is damaged", where=str(path), why=str(error)) from None
