"""Train the vowel classifier: seconds on one processor core."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mohaq.compiler.data import Dataset
from mohaq.compiler.files import dump_json, write_text
from mohaq.compiler.metrics import evaluate, get_metric
from mohaq.tools.speech.batches import batches, run_model
from mohaq.tools.speech.checkpoint import save_weights
from mohaq.tools.tiny.japanese_vowels import VowelSRU, load_vowels


@dataclass(frozen=True)
class VowelOptions:
    """The recipe.

    Attributes:
        epochs: passes over the training set.
        batch: utterances.
        rate: learning rate of AdamW, falling linearly to 0.
        weight_decay: of AdamW.
        noise: standard deviation of noise added to the features.
        seed: of everything drawn.
    """

    epochs: int = 60
    batch: int = 18
    rate: float = 0.01
    weight_decay: float = 0.05
    noise: float = 0.1
    seed: int = 1


def _loss(logits: Tensor, lengths: Tensor, speakers: Tensor) -> Tensor:
    alive = torch.arange(len(logits))[:, None] < lengths
    mean = (logits * alive[:, :, None]).sum(0) / lengths[:, None]
    return nn.functional.cross_entropy(mean, speakers)


def _error(model: nn.Module, data: Dataset) -> float:
    return evaluate(get_metric("accuracy"), run_model(model, data, 64), data).value


def train_vowels(
    options: VowelOptions | None = None, out: Path | None = None
) -> tuple[VowelSRU, dict[str, Any]]:
    """Train on four fifths of the training split; the last fifth picks the epoch.

    Args:
        options: the recipe.
        out: folder for `vowels_weights.safetensors` and `vowels_record.json`; None writes nothing.

    Returns:
        The model in evaluation mode, and the record with the test accuracy, read once.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the matrices are too small to share, and one thread repeats exactly
    try:
        return _train(options or VowelOptions(), out)
    finally:
        torch.set_num_threads(threads)


def _train(options: VowelOptions, out: Path | None) -> tuple[VowelSRU, dict[str, Any]]:
    started = time.perf_counter()
    whole = load_vowels("train")
    held = [i for i in range(len(whole)) if i % 5 == 4]
    learned = whole[[i for i in range(len(whole)) if i % 5 != 4]]
    validation = whole[held]
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    model = VowelSRU()
    optimizer = torch.optim.AdamW(
        model.parameters(), options.rate, weight_decay=options.weight_decay
    )
    best, best_epoch, kept = float("inf"), 0, model.state_dict()
    curve: list[dict[str, float]] = []
    for epoch in range(1, options.epochs + 1):
        model.train()
        for group in optimizer.param_groups:
            group["lr"] = options.rate * (1.0 - (epoch - 1) / options.epochs)
        total = 0.0
        for members, x, lengths, _ in batches(learned, options.batch, rng):
            speakers = torch.tensor([int(learned.labels[i]) for i in members])
            noisy = x + options.noise * torch.randn_like(x)
            loss = _loss(model(noisy, lengths), lengths, speakers)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach()) * len(members)
        error = _error(model, validation)
        loss_now = total / len(learned)
        curve.append({"epoch": epoch, "loss": round(loss_now, 5), "validation": round(error, 5)})
        if error <= best:
            best, best_epoch = error, epoch
            kept = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    model.eval()
    record = {
        "recipe": asdict(options),
        "parameters": sum(p.numel() for p in model.parameters()),
        "train": len(learned),
        "validation": len(validation),
        "best_epoch": best_epoch,
        "validation_accuracy": round(1.0 - best, 5),
        "test_accuracy": round(1.0 - _error(model, load_vowels("test")), 5),
        "seconds": round(time.perf_counter() - started, 1),
        "curve": curve,
    }
    if out is not None:
        save_weights(model, Path(out) / "vowels_weights.safetensors")
        write_text(Path(out) / "vowels_record.json", dump_json(record))
    return model, record
