"""The training loop: rounded forward, real shadow weights, the best epoch by validation.

Each epoch draws its order from (seed, epoch), so a resumed training continues as an uninterrupted
one would. Repeating a training gives the same bits on the same machine, library versions and
number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.metrics import Metric, evaluate
from mohaq.compiler.qat.batches import Feeder, batches
from mohaq.compiler.qat.checkpoint import Progress, load_progress, save_progress
from mohaq.compiler.qat.losses import Loss
from mohaq.compiler.qat.network import QuantizedNetwork
from mohaq.compiler.qat.options import DivergedError, RetrainOptions

Report = Callable[[int, int, dict[str, float]], None]
"""Called after each epoch with (epoch, epochs, record); epoch 0 is before training."""
Step = Callable[[int, float], None]
"""Called after each batch with (epoch, share of the epoch done)."""
Refresh = Callable[[QuantizedNetwork], None]
"""Takes the clips of activations anew."""


def outputs_of(
    network: QuantizedNetwork, feeder: Feeder, data: Dataset, size: int
) -> list[npt.NDArray[Any]]:
    """First result [T_i, C] of every sequence, in order."""
    found: list[npt.NDArray[Any]] = [np.empty(0)] * len(data)
    with torch.no_grad():
        for members in batches(data, size):
            for chunk in feeder.chunks(data, members):
                result = network(*feeder.arguments(chunk), lengths=chunk.lengths)[0]
                for number, one in zip(chunk.members, feeder.outputs(result, chunk), strict=True):
                    found[number] = one.numpy().copy()
    return found


class Trainer:
    """Trains a network in place.

    Args:
        network: with shadows to train.
        feeder: of its program.
        loss: what is minimised.
        metric: decides the best epoch; smaller is better.
        options: the recipe.
        refresh: called after each epoch, or None.
    """

    def __init__(
        self,
        network: QuantizedNetwork,
        feeder: Feeder,
        loss: Loss,
        metric: Metric,
        options: RetrainOptions,
        refresh: Refresh | None = None,
    ) -> None:
        self.network, self.feeder, self.loss = network, feeder, loss
        self.metric, self.options, self.refresh = metric, options, refresh
        self._trained = [p for p in network.shadows if p.requires_grad]
        if not self._trained:
            raise MohaqError("the program has no parameters to train")
        self._optimizer = torch.optim.Adam(self._trained, options.rate)

    def error(self, data: Dataset) -> float:
        """The metric of the network as it is."""
        made = outputs_of(self.network, self.feeder, data, self.options.batch)
        return evaluate(self.metric, made, data).value

    def fit(
        self,
        data: Dataset,
        validation: Dataset,
        recipe: dict[str, Any],
        folder: Path | None = None,
        report: Report | None = None,
        step: Step | None = None,
    ) -> Progress:
        """Train, and leave the best epoch's shadows in the network.

        Args:
            data: what is learned.
            validation: decides the best epoch.
            recipe: all that decides the result, as JSON.
            folder: for checkpoints; a state of the same recipe there is continued. None: none.
            report: told after each epoch.
            step: told after each batch.

        Raises:
            MohaqError: the loss is no longer finite; labels that do not fit; the folder belongs to
                another recipe.
        """
        network, options = self.network, self.options
        found = None if folder is None else load_progress(folder, recipe, network, self._optimizer)
        if found is None:
            progress = Progress(recipe)
            record = {"epoch": 0, "validation": round(self.error(validation), 6)}
            progress.curve.append(record)
            network.clamp()
            best = self._copy()
            if report is not None:
                report(0, options.epochs, record)
        else:
            progress, best = found
            if self.refresh is not None:
                self.refresh(network)
        while progress.epoch < options.epochs and progress.epoch - progress.best < options.patience:
            loss = self._epoch(data, progress.epoch, step)
            if self.refresh is not None:
                self.refresh(network)
            error = round(self.error(validation), 6)
            progress.epoch += 1
            record = {"epoch": progress.epoch, "loss": round(loss, 5), "validation": error}
            progress.curve.append(record)
            if error < progress.curve[progress.best]["validation"]:
                progress.best, best = progress.epoch, self._copy()
            if folder is not None:
                save_progress(folder, progress, network, best, self._optimizer)
            if report is not None:
                report(progress.epoch, options.epochs, record)
        network.load(best)
        return progress

    def _copy(self) -> dict[str, Tensor]:
        pairs = zip(self.network.symbols, self.network.shadows, strict=True)
        return {symbol: shadow.detach().clone() for symbol, shadow in pairs}

    def _epoch(self, data: Dataset, epoch: int, step: Step | None) -> float:
        """One pass; gives the mean loss."""
        options = self.options
        order = batches(data, options.batch, np.random.default_rng([options.seed, epoch]))
        total, terms = 0.0, 0
        for i, members in enumerate(order):
            share = (epoch + i / len(order)) / options.epochs
            for group in self._optimizer.param_groups:
                group["lr"] = options.rate * 0.5 * (1.0 + math.cos(math.pi * share))
            value, count = self._batch(data, members)
            if not math.isfinite(value):
                raise DivergedError("training diverged", where=f"epoch {epoch + 1}", why=f"{value}")
            total, terms = total + value, terms + count
            if step is not None:
                step(epoch + 1, (i + 1) / len(order))
        return total / terms

    def _batch(self, data: Dataset, members: npt.NDArray[np.int64]) -> tuple[float, int]:
        """One update; gives the sum of the losses and the number of terms."""
        chunks = list(self.feeder.chunks(data, members))
        self._optimizer.zero_grad(set_to_none=True)
        total, terms = 0.0, 0
        for chunk in chunks:
            result = self.network(*self.feeder.arguments(chunk), lengths=chunk.lengths)[0]
            labels = [data.labels[i] for i in chunk.members]
            loss, count = self.loss(self.feeder.outputs(result, chunk), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            total, terms = total + float(loss.detach()), terms + count
        for parameter in self._trained:
            if parameter.grad is not None:
                parameter.grad /= terms
        nn.utils.clip_grad_norm_(self._trained, self.options.clip)
        self._optimizer.step()
        self.network.clamp()
        return total, terms
