"""Errors and costs of several assignments side by side; the demo and the bench show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import Backend, Options, Target, Workload
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Slot
from mohaq.compiler.data import Dataset
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.program import Program
from mohaq.compiler.search.evaluator import Evaluator
from mohaq.compiler.search.scoring import score

UNIFORM = (16, 8, 4, 2)

Rows = Mapping[str, Mapping[Slot, int] | None]
"""Row name -> widths; None is the float program."""


def reference_rows(
    program: Program, backend: Backend, machine: Target
) -> dict[str, Mapping[Slot, int] | None]:
    """The float program and the uniform widths that are legal on the target."""
    table = calibrated_table(program)
    space = backend.space(table.table, machine)
    rows: dict[str, Mapping[Slot, int] | None] = {"float": None}
    for bits in UNIFORM:
        if all((bits,) * len(g.slots) in g.choices for g in space.groups):
            rows[f"uniform {bits}"] = dict.fromkeys(table.searched(), bits)
    return rows


def errors(
    program: Program,
    backend: Backend,
    machine: Target,
    data: Dataset,
    rows: Rows,
    metrics: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, float]]:
    """{row: {metric: error}}; each row runs once over the data, all metrics read it."""
    chosen = {name: get_metric(name) for name in metrics}
    evaluator = Evaluator(program, backend, machine, data, chosen[metrics[0]])
    found: dict[str, dict[str, float]] = {}
    for done, (row, widths) in enumerate(rows.items(), 1):
        given = float_outputs(program, data) if widths is None else evaluator.real_outputs(widths)
        found[row] = {name: score(m, given, data).value for name, m in chosen.items()}
        if progress is not None:
            progress(done, len(rows))
    return found


def float_outputs(program: Program, data: Dataset) -> list[npt.NDArray[np.float32]]:
    """Outputs [T_i, C] of the float program, by its torch.fx form (its loops are compiled)."""
    import torch

    graph = program.to_fx()
    with torch.no_grad():
        return [
            graph(torch.from_numpy(sequence[:, None, :].copy()))[:, 0].numpy()
            for sequence in data.inputs
        ]


def costs(
    program: Program, backend: Backend, machine: Target, rows: Rows, workload: Workload
) -> dict[str, dict[str, float]]:
    """{row: {objective: cost}} of the rows that have widths."""
    table = calibrated_table(program).table
    space = backend.space(table, machine)
    model = backend.cost_model(table, space, machine)
    return {
        row: {
            name: float(values[0])
            for name, values in model.cost(space.encode(widths), workload, Options()).items()
        }
        for row, widths in rows.items()
        if widths is not None
    }
