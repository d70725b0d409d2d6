"""`retrain`: from a calibrated program and an assignment to one whose weights suit the widths."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from mohaq.compiler.assignment import Assignment
from mohaq.compiler.data import Dataset
from mohaq.compiler.metrics import Metric, check_labels, get_metric
from mohaq.compiler.program import Program
from mohaq.compiler.qat.batches import Feeder
from mohaq.compiler.qat.clips import retrained_program
from mohaq.compiler.qat.losses import loss_for
from mohaq.compiler.qat.network import QuantizedNetwork, trainable
from mohaq.compiler.qat.options import RetrainOptions
from mohaq.compiler.qat.slots import grids_of
from mohaq.compiler.qat.train import Report, Step, Trainer


@dataclass(frozen=True)
class Retrained:
    """What retraining gives.

    Attributes:
        program: with new parameters and clips, for `compile` and `search`.
        assignment: complete widths that it was trained for.
        before: validation error of the rounded network as it came.
        after: of the best epoch.
        best_epoch: 0 when no epoch was better than the start.
        record: recipe and curve, as JSON.
    """

    program: Program
    assignment: Assignment
    before: float
    after: float
    best_epoch: int
    record: dict[str, Any]

    def __repr__(self) -> str:
        return f"Retrained({self.before:.4f} -> {self.after:.4f}, epoch {self.best_epoch})"


def retrain(
    program: Program,
    assignment: Assignment,
    data: Dataset,
    validation: Dataset,
    *,
    metric: str | Metric = "fer",
    target: str | Path | None = None,
    options: RetrainOptions | None = None,
    checkpoints: str | Path | None = None,
    report: Report | None = None,
    step: Step | None = None,
) -> Retrained:
    """Train a program's parameters with quantization in the loop.

    Forward runs compute on the grids of the assignment, gradients pass straight through the
    roundings, updates change real shadow weights that stay within the ends of their grids.
    Nothing is lost: if no epoch is better than the start, the parameters are those of the start.

    Args:
        program: calibrated `nn` program, left alone.
        assignment: widths of the searched slots; a default covers those that it does not name.
        data: training sequences with labels.
        validation: other sequences; decides the best epoch.
        metric: name, or a metric.
        target: whose rules for scales and layers count; None: everything with an integer form.
        options: the recipe.
        checkpoints: folder for the state after every epoch; the same call continues there.
        report: told after each epoch.
        step: told after each batch.

    Raises:
        MohaqError: not calibrated for these widths, labels that do not fit, divergence, a folder of
            another recipe.
    """
    options = options or RetrainOptions()
    judge = get_metric(metric)
    check_labels(judge, validation)
    loss = loss_for(program, data, options.loss, judge.name)
    base = program.clone()
    grids = grids_of(base, assignment, target)
    layers = None if options.part == "all" else frozenset(grids.layers)
    network = QuantizedNetwork(base, grids, trainable(base, layers))
    feeder = Feeder(base, grids.plan)
    sequences = data.subset(min(len(data), options.sequences)).inputs

    def made(recalibrate: bool) -> Program:
        values, rounded = network.values(), network.rounded_values()
        return retrained_program(
            base, values, rounded, grids.widths, sequences, recalibrate=recalibrate
        )

    def refresh(network: QuantizedNetwork) -> None:
        network.set_grids(grids_of(made(True), assignment, target))

    trainer = Trainer(
        network, feeder, loss, judge, options, refresh if options.recalibrate else None
    )
    chosen = Assignment(dict(grids.widths))
    recipe = {
        **asdict(options),
        "model": base.content_hash(),
        "assignment": chosen.to_json(),
        "target": None if target is None else str(target),
        "metric": judge.name,
        "train": data.content_hash(),
        "validation": validation.content_hash(),
    }
    with _threads(options.threads):
        progress = trainer.fit(
            data,
            validation,
            recipe,
            None if checkpoints is None else Path(checkpoints),
            report,
            step,
        )
    errors = [record["validation"] for record in progress.curve]
    record = {
        "recipe": recipe,
        "loss": loss.kind,
        "sequences": {"train": len(data), "validation": len(validation)},
        "curve": progress.curve,
        "best_epoch": progress.best,
        "validation_before": errors[0],
        "validation_after": errors[progress.best],
    }
    done = made(options.recalibrate) if progress.best else base
    return Retrained(done, chosen, errors[0], errors[progress.best], progress.best, record)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """PyTorch with so many threads; 0 leaves it alone."""
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
