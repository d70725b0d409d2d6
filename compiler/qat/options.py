"""How a program is retrained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mohaq.compiler.diagnostics import MohaqError, did_you_mean

LOSSES = ("auto", "frame", "mean", "last", "mse")
PARTS = ("all", "device")


class DivergedError(MohaqError):
    """The loss is no longer finite."""


@dataclass(frozen=True)
class RetrainOptions:
    """The recipe.

    Attributes:
        epochs: at most; the learning rate falls to 0 along a cosine over this many.
        batch: sequences.
        rate: learning rate of Adam at the start.
        clip: largest norm of the gradient.
        patience: epochs without a better validation before stopping.
        seed: of the order of the sequences.
        loss: cross entropy of every `frame`, of the `mean` over a sequence's frames or of its
            `last` one; `mse`; `auto` goes by labels and metric.
        part: parameters that change: `all`, or those of layers with integers (`device`).
        recalibrate: take the clips of activations anew after every epoch; else they stay.
        sequences: of the training data that clips are taken on, at most.
        threads: for PyTorch and the kernels; 0 leaves them as they are.

    Raises:
        MohaqError: out of range.
    """

    epochs: int = 10
    batch: int = 16
    rate: float = 2e-3
    clip: float = 1.0
    patience: int = 5
    seed: int = 1
    loss: Literal["auto", "frame", "mean", "last", "mse"] = "auto"
    part: Literal["all", "device"] = "all"
    recalibrate: bool = False
    sequences: int = 80
    threads: int = 0

    def __post_init__(self) -> None:
        for name, known in (("loss", LOSSES), ("part", PARTS)):
            if getattr(self, name) not in known:
                raise MohaqError(
                    f"unknown {name} '{getattr(self, name)}'",
                    hint=did_you_mean(getattr(self, name), known),
                )
        for name in ("epochs", "batch", "patience", "sequences"):
            if getattr(self, name) < 1:
                raise MohaqError(f"'{name}' must be at least 1, got {getattr(self, name)}")
        for name in ("rate", "clip"):
            if not 0 < getattr(self, name) < float("inf"):
                raise MohaqError(f"'{name}' must be positive, got {getattr(self, name):g}")
        for name in ("seed", "threads"):
            if getattr(self, name) < 0:
                raise MohaqError(f"'{name}' is not negative, got {getattr(self, name)}")
