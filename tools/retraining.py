"""`mohaq train --from`: retraining on the terminal, from names and files to a program folder."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mohaq.backends.registry import find_target
from mohaq.compiler.assignment import Assignment
from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import dump_json, write_text
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.program import MODULE_FILE, Program
from mohaq.compiler.qat import Retrained, RetrainOptions, retrain
from mohaq.compiler.qat.checkpoint import STATE_FILE
from mohaq.compiler.qat.train import Report, Step
from mohaq.compiler.search.evaluator import Evaluator
from mohaq.tools.console import console, error_name, progress_line, say
from mohaq.tools.sources import (
    CALIBRATION,
    calibrated_model,
    held_out,
    is_calibrated,
    load_data,
    load_model,
)
from mohaq.tools.watch import resumable

RECORD_FILE = "training_record.json"
ASSIGNMENT_FILE = "assignment.json"
CHECKPOINTS = "checkpoints"
REFERENCE = "reference"
"""Target whose integers an error is measured with when none is named."""


@dataclass(frozen=True)
class Request:
    """What the command line asked for; names of models and data as in `sources`."""

    model: str
    assignment: Assignment
    data: str
    validation: str | None
    calibration: str | None
    metric: str
    target: str | None
    out: Path


def run_retraining(request: Request, settings: Mapping[str, Any]) -> None:
    """Retrain, show the progress, write the program folder.

    Raises:
        MohaqError: see `retrain`; an output folder that holds something else.
    """
    options = RetrainOptions(**settings)
    out = request.out
    _require_ours(out)
    with progress_line() as tell:
        tell("load the data")
        learned, validation = _data(request.data, request.validation)
        program = _model(request, tell)
    with resumable(out), _watch(options.epochs) as (report, step):
        done = retrain(
            program,
            request.assignment,
            learned,
            validation,
            metric=request.metric,
            target=request.target,
            options=options,
            checkpoints=out / CHECKPOINTS,
            report=report,
            step=step,
        )
    exact = _integer_error(done.program, done, validation, request)
    done.program.save(out)
    done.assignment.save(out / ASSIGNMENT_FILE)
    write_text(out / RECORD_FILE, dump_json({**done.record, "validation_integers": exact}))
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    name = error_name(get_metric(request.metric).name)
    say(f"{name} on validation: {done.before:.4f} before, {done.after:.4f} after retraining")
    if done.best_epoch == 0:
        say("no epoch was better than the start: the weights are as they were")
    if exact is not None:
        say(f"{name} of the integer program: {exact:.4f}")
    say(f"wrote {out}")
    say(f"next: mohaq compile {out} -t TARGET -a {out / ASSIGNMENT_FILE} -o compiled")


def _require_ours(out: Path) -> None:
    """Checkpoints and programs go into a folder of their own.

    Raises:
        MohaqError: `out` holds something else.
    """
    if out.is_file():
        raise MohaqError("the output must be a folder, this is a file", where=str(out))
    started = (out / CHECKPOINTS / STATE_FILE).exists() or (out / RECORD_FILE).exists()
    if out.is_dir() and (out / MODULE_FILE).exists() and not started:
        raise MohaqError(
            "this folder holds a program that was not retrained here",
            where=str(out),
            hint="choose another output folder",
        )


def _data(data: str, validation: str | None) -> tuple[Dataset, Dataset]:
    """Training and validation sequences."""
    learned = load_data(data)
    return held_out(learned) if validation is None else (learned, load_data(validation))


def _model(request: Request, tell: Any) -> Program:
    """The calibrated model; a model without clips gets them from --data if nothing else is said."""
    widths, source = request.assignment.used(), request.calibration
    if source is None and request.model not in CALIBRATION:
        source = None if is_calibrated(load_model(request.model), widths) else request.data
    return calibrated_model(request.model, source, tell, widths=widths)


def _integer_error(
    program: Program, done: Retrained, validation: Dataset, request: Request
) -> float | None:
    """Error of the integer program; None, with the reason said, where it cannot be searched."""
    try:
        backend, machine = find_target(request.target or REFERENCE)
        metric = get_metric(request.metric)
        evaluator = Evaluator(program, backend, machine, validation, metric)
        return evaluator.evaluate(done.assignment.widths).value
    except MohaqError as error:
        say(f"the integer program was not measured: {error.what}")
        return None


@contextlib.contextmanager
def _watch(epochs: int) -> Iterator[tuple[Report, Step]]:
    """Callbacks that draw the epochs done and print each one's errors."""
    columns = (TextColumn("epoch {task.completed:.1f} of {task.total:.0f}"), BarColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console()) as bars:
        task = bars.add_task("", total=epochs)

        def report(epoch: int, _: int, record: dict[str, float]) -> None:
            bars.update(task, completed=epoch)
            loss = f"loss {record['loss']:.4f}" if "loss" in record else "as it came"
            bars.console.print(f"epoch {epoch:3d}  {loss}  validation {record['validation']:.4f}")

        def step(epoch: int, share: float) -> None:
            bars.update(task, completed=epoch - 1 + share)

        yield report, step
