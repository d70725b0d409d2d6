"""Padded batches and whole-set evaluation of a frame classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mohaq.compiler.data import Dataset

IGNORED = -1
"""Label of padding frames."""


Change = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""Gives other features [T, F] for an utterance's own."""


def _pad(
    data: Dataset, members: npt.NDArray[np.int64], change: Change | None
) -> tuple[Tensor, Tensor, Tensor]:
    """x [T, B, F], lengths [B] and labels [T, B] of the utterances `members`."""
    lengths = data.lengths[members]
    x = np.zeros((int(lengths.max()), len(members), data.features), np.float32)
    labels = np.full(x.shape[:2], IGNORED, np.int64)
    for column, i in enumerate(members):
        features = data.inputs[i]
        x[: lengths[column], column] = features if change is None else change(features)
        if data.label_kind == "frame":
            labels[: lengths[column], column] = data.labels[i]
        elif data.label_kind == "utterance":
            labels[: lengths[column], column] = int(data.labels[i])
    return torch.from_numpy(x), torch.from_numpy(lengths), torch.from_numpy(labels)


def batches(
    data: Dataset,
    size: int,
    rng: np.random.Generator | None = None,
    change: Change | None = None,
) -> Iterator[tuple[npt.NDArray[np.int64], Tensor, Tensor, Tensor]]:
    """Batches of utterances of similar length, so that little is padding.

    Args:
        data: with frame or utterance labels (an utterance's class is given to all its frames).
        size: utterances in a batch.
        rng: mixes neighbours and the order of batches; None keeps both fixed.
        change: applied to the features of each utterance.

    Yields:
        Utterance numbers [B], x [T, B, F], lengths [B] and labels [T, B] (`IGNORED` in padding).
    """
    keys = data.lengths.astype(np.float64)
    if rng is not None:
        keys *= rng.uniform(0.9, 1.1, len(keys))
    order = np.argsort(keys, kind="stable")
    groups = [order[i : i + size] for i in range(0, len(order), size)]
    sequence = range(len(groups)) if rng is None else rng.permutation(len(groups))
    for i in sequence:
        yield (groups[i], *_pad(data, groups[i], change))


def run_model(model: nn.Module, data: Dataset, size: int = 32) -> list[npt.NDArray[Any]]:
    """Outputs [T_i, C] of every utterance, in order; the model takes (x, lengths)."""
    outputs: list[npt.NDArray[Any]] = [np.empty(0)] * len(data)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for members, x, lengths, _ in batches(data, size):
            logits = model(x, lengths).numpy()
            for column, i in enumerate(members):
                outputs[i] = logits[: int(lengths[column]), column].copy()
    model.train(was_training)
    return outputs
