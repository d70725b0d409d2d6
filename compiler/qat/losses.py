"""What is minimised, by labels and metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from xdsl.dialects.func import ReturnOp

from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn as ops
from mohaq.compiler.program import Program

SMALLEST = 1e-12


@dataclass(frozen=True)
class Loss:
    """A loss of one sequence.

    kind: `frame`, `mean`, `last` (cross entropy, natural logarithm) or `mse`. shares: whether
    the program's outputs are probabilities already. label_kind: of the data.
    """

    kind: str
    shares: bool
    label_kind: str

    def __call__(
        self, outputs: Sequence[Tensor], labels: Sequence[npt.NDArray[Any]]
    ) -> tuple[Tensor, int]:
        """Sum over sequences, and how many terms it has.

        Args:
            outputs: [T_i, C] of every sequence.
            labels: as in `Dataset.labels`.

        Raises:
            MohaqError: outputs and labels do not fit.
        """
        chosen, wanted = [], []
        for output, label in zip(outputs, labels, strict=True):
            part = self._part(output)
            target = torch.from_numpy(label).to(output.device)
            target = target.reshape(part.shape) if self._fits(part, target) else target
            if self.kind != "mse" and target.numel() == 1:
                target = target.reshape(1)
            expected = part.shape if self.kind == "mse" else part.shape[:1]
            if target.shape != expected:
                raise MohaqError(
                    "the labels do not fit the outputs",
                    why=f"output {list(output.shape)}, label {list(label.shape)}",
                )
            chosen.append(part)
            wanted.append(target)
        rows, targets = torch.cat(chosen), torch.cat(wanted)
        if self.kind == "mse":
            return (rows - targets.to(rows.dtype)).square().sum(), rows.numel()
        low, high = int(targets.min()), int(targets.max())
        if low < 0 or high >= rows.shape[1]:
            raise MohaqError(
                "a label is no class of the program",
                why=f"labels {low}..{high}, {rows.shape[1]} outputs",
            )
        if self.shares:
            rows = rows.clamp_min(SMALLEST).log()
        return functional.cross_entropy(rows, targets, reduction="sum"), len(targets)

    def _part(self, output: Tensor) -> Tensor:
        """Rows of the output that count."""
        match self.kind:
            case "mean":
                return output.mean(dim=0, keepdim=True)
            case "last":
                return output[-1:]
            case "mse" if self.label_kind == "utterance":
                return output[-1:]
        return output

    def _fits(self, part: Tensor, target: Tensor) -> bool:
        return self.kind == "mse" and part.numel() == target.numel()


def loss_for(program: Program, data: Dataset, kind: str, metric: str) -> Loss:
    """The loss for a data set.

    Frame classes: `frame`. Classes of whole sequences: `mean` when the metric is accuracy, which
    takes the mean over time, else `last`. Real targets: `mse`.

    Args:
        program: what is trained.
        data: with labels.
        kind: one of the names above, or `auto`.
        metric: name.

    Raises:
        MohaqError: labels that no loss can use.
    """
    real = bool(data.labels) and data.labels[0].dtype.kind == "f"
    if data.label_kind in ("none", "sequence"):
        why = "there are none" if data.label_kind == "none" else "they are not aligned to frames"
        raise MohaqError("these labels cannot be trained on", why=why)
    fitting = {"frame": ("frame",), "utterance": ("mean", "last")}[data.label_kind]
    if real:
        fitting = ("mse",)
    if kind == "auto":
        kind = "last" if fitting[0] == "mean" and metric != "accuracy" else fitting[0]
    if kind not in fitting:
        raise MohaqError(
            f"the loss '{kind}' does not suit {'real' if real else data.label_kind} labels",
            hint="use " + " or ".join(fitting),
        )
    end = program.entry.body.block.last_op
    assert isinstance(end, ReturnOp)
    owner = end.operands[0].owner
    shares = isinstance(owner, ops.SoftmaxOp) and not owner.log.value.data
    return Loss(kind, shares, data.label_kind)
