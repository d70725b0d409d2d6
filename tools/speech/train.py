"""Train a frame classifier: the recipe of the shipped speech model.

Each epoch draws its order and its dropout from (seed, epoch), so a resumed training continues as
an uninterrupted one would. Repeating a training gives the same bits only on the same machine,
library versions and number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mohaq.compiler.data import Dataset, load_dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import dump_json, write_text
from mohaq.compiler.metrics import Metric, evaluate
from mohaq.compiler.metrics.fer import FrameErrorRate
from mohaq.compiler.metrics.per import PhoneErrorRate
from mohaq.tools.speech.augment import Augment
from mohaq.tools.speech.batches import IGNORED, Change, batches, run_model
from mohaq.tools.speech.checkpoint import State, load_state, load_weights, save_state, save_weights
from mohaq.tools.speech.networks import SpeechNetwork, build_network, check_name
from mohaq.tools.speech.recipe import FBANK

PENALTIES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
"""Switching penalties tried on the validation set after training."""

Report = Callable[[int, int, dict[str, float]], None]
"""Called after each epoch with (epoch, epochs, record)."""
Step = Callable[[int, float], None]
"""Called after each batch with (epoch, share of the epoch done)."""


@dataclass(frozen=True)
class TrainOptions:
    """The recipe.

    Attributes:
        model: a name that `networks.build_network` takes.
        epochs: the learning rate falls to 0 along a cosine over this many.
        batch: utterances.
        rate: peak learning rate of AdamW.
        warmup: batches in which the rate rises from 0.
        weight_decay: of AdamW.
        dropout: share of features dropped between layers.
        clip: largest norm of the gradient.
        plain_epochs: epochs on the features as they are; the later ones bend them (augment.py) to
            resemble voices that the corpus does not have.
        patience: epochs without a better validation before stopping.
        seed: of the start values, the order and the dropout.
        threads: for PyTorch and the kernels; 0 leaves them as they are.
    """

    model: str = "default"
    epochs: int = 18
    batch: int = 32
    rate: float = 4e-3
    warmup: int = 200
    weight_decay: float = 0.01
    dropout: float = 0.05
    clip: float = 1.0
    plain_epochs: int = 8
    patience: int = 6
    seed: int = 1
    threads: int = 0


@dataclass(frozen=True)
class TrainResult:
    """What training left behind.

    Attributes:
        model: with the weights of the best epoch, in evaluation mode.
        record: what `training_record.json` holds.
        weights: the weights' file.
    """

    model: SpeechNetwork
    record: dict[str, Any]
    weights: Path


def _change(options: TrainOptions, epoch: int) -> Change | None:
    if epoch < options.plain_epochs:
        return None
    rng = np.random.default_rng([options.seed, epoch, 1])
    bend = Augment()
    return lambda features: bend.apply(features, rng, FBANK)


def fit(
    model: nn.Module,
    train: Dataset,
    validation: Dataset,
    metric: Metric,
    options: TrainOptions,
    folder: Path,
    report: Report | None = None,
    step: Step | None = None,
) -> State:
    """Train `model` in place and leave the best epoch's weights in it.

    Args:
        model: called with (x [T, B, F], lengths [B]), gives logits [T, B, C].
        train: frame or utterance labels.
        validation: decides the best epoch.
        metric: the deciding error.
        options: the recipe.
        folder: for checkpoints; a state of the same recipe there is continued.
        report: told after each epoch.
        step: told after each batch.

    Raises:
        MohaqError: the loss is no longer finite, or the folder belongs to another recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.AdamW(
        model.parameters(), options.rate, weight_decay=options.weight_decay
    )
    recipe = {**asdict(options), "train": train.content_hash(), "metric": metric.name}
    state = load_state(folder, recipe, model, optimizer) or State(recipe)
    per_epoch = math.ceil(len(train) / options.batch)
    while state.epoch < options.epochs and state.epoch - state.best < options.patience:
        started = time.perf_counter()
        epoch = state.epoch
        rng = np.random.default_rng([options.seed, epoch])
        change = _change(options, epoch)
        torch.manual_seed(options.seed * 1_000_003 + epoch)
        model.train()
        total, frames = 0.0, 0
        for i, (_, x, lengths, labels) in enumerate(batches(train, options.batch, rng, change)):
            done = epoch * per_epoch + i
            share = done / (options.epochs * per_epoch)
            rate = options.rate * min(1.0, (done + 1) / max(1, options.warmup))
            for group in optimizer.param_groups:
                group["lr"] = rate * 0.5 * (1.0 + math.cos(math.pi * share))
            logits = model(x, lengths)
            loss = nn.functional.cross_entropy(
                logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED
            )
            value = float(loss.detach())
            if not math.isfinite(value):
                raise MohaqError("training diverged", where=f"epoch {epoch + 1}", why=f"{value}")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), options.clip)
            optimizer.step()
            count = int(lengths.sum())
            total, frames = total + value * count, frames + count
            if step is not None:
                step(epoch + 1, (i + 1) / per_epoch)
        error = evaluate(metric, run_model(model, validation), validation).value
        record = {
            "epoch": epoch + 1,
            "loss": round(total / frames, 5),
            "validation": round(error, 6),
        }
        best = state.curve[state.best - 1]["validation"] if state.best else math.inf
        state.curve.append(record)
        state.epoch = epoch + 1
        if record["validation"] < best:
            state.best = state.epoch
            save_weights(model, folder / "best.safetensors")
        state.seconds = round(state.seconds + time.perf_counter() - started, 1)
        save_state(folder, state, model, optimizer)
        if report is not None:
            report(state.epoch, options.epochs, {**record, "seconds": state.seconds})
    load_weights(model, folder / "best.safetensors")
    model.eval()
    return state


def _summary(model: nn.Module, data: Dataset, penalty: float) -> dict[str, Any]:
    outputs = run_model(model, data)
    found: dict[str, Any] = {"utterances": len(data), "frames": data.frames}
    for metric in (FrameErrorRate(), PhoneErrorRate(penalty=penalty)):
        score = evaluate(metric, outputs, data)
        found[metric.name] = round(score.value, 5)
        found[f"{metric.name}_95"] = [round(score.low, 5), round(score.high, 5)]
    return found


def train(
    corpus: Path,
    out: Path,
    options: TrainOptions | None = None,
    report: Report | None = None,
    step: Step | None = None,
) -> TrainResult:
    """Train the speech model on a corpus folder and write weights and record.

    The best epoch and the decoder's penalty are chosen on the validation split; the test split is
    read once, at the end.

    Args:
        corpus: folder with `train`, `validation` and `test.safetensors`.
        out: folder for checkpoints, `weights.safetensors` and `training_record.json`; a training
            of the same recipe there is continued.
        options: the recipe.
        report: told after each epoch.
        step: told after each batch.

    Raises:
        MohaqError: a missing split, an unknown preset, more classes than outputs, or divergence.
    """
    options = options or TrainOptions()
    corpus, out = Path(corpus), Path(out)
    check_name(options.model)
    learned = load_dataset(corpus / "train.safetensors")
    validation = load_dataset(corpus / "validation.safetensors")
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    model = build_network(options.model, dropout=options.dropout)
    highest = max(int(label.max()) for label in (*learned.labels, *validation.labels))
    if learned.features != model.size.inputs or highest >= model.size.classes:
        raise MohaqError(
            f"the corpus does not fit model '{options.model}'",
            where=str(corpus),
            why=f"{learned.features} features, {highest + 1} classes; model {model.size}",
        )
    metric = FrameErrorRate()
    state = fit(model, learned, validation, metric, options, out, report, step)
    outputs = run_model(model, validation)
    tried = {
        penalty: evaluate(PhoneErrorRate(penalty=penalty), outputs, validation).value
        for penalty in PENALTIES
    }
    penalty = min(tried, key=lambda p: tried[p])
    test = load_dataset(corpus / "test.safetensors")
    record = {
        "recipe": state.recipe,
        "corpus_seed": learned.meta.get("seed"),
        "parameters": sum(p.numel() for p in model.parameters()),
        "train": {"utterances": len(learned), "frames": learned.frames},
        "epochs": state.epoch,
        "best_epoch": state.best,
        "seconds": state.seconds,
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "curve": state.curve,
        "penalty": penalty,
        "validation_per_by_penalty": {str(k): round(v, 5) for k, v in tried.items()},
        "validation": _summary(model, validation, penalty),
        "test": _summary(model, test, penalty),
        "repeatable": (
            "Labels of the corpus are exact functions of its seed; audio and features are so on one "
            "machine and library version. The training order, start values and dropout are functions "
            "of the seed; weights are bit-equal only on the same machine, versions and threads."
        ),
    }
    weights = out / "weights.safetensors"
    save_weights(model, weights)
    write_text(out / "training_record.json", dump_json(record))
    return TrainResult(model, record, weights)
