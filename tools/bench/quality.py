"""Error, latency, energy and size of uniform widths and of a front, on validation and test.

    python -m mohaq.tools.bench.quality RUN [--points 3] [--out table.json]

RUN is the folder of a search on the default speech task. All errors are those of the legalized
integer program; the row `float` is the float program. Points are spread over the front by error:
the best one, the cheapest one, and those between.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from mohaq.backends.base import Options, Workload
from mohaq.backends.registry import find_target
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.data import Dataset
from mohaq.compiler.files import dump_json, read_json, write_text
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.program import Program
from mohaq.compiler.search.evaluator import Evaluator
from mohaq.compiler.search.recipe import MODEL_FOLDER
from mohaq.compiler.search.scoring import score
from mohaq.tools.speech.default_task import load_default_split

METRICS = ("fer", "per")
UNIFORM = (16, 8, 4, 2)
SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Row:
    """One line: a name and widths (None: the float program)."""

    name: str
    widths: Mapping[Slot, int] | None


def spread(front: Sequence[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    """`count` points spread over a front by error, ends included."""
    ordered = sorted(front, key=lambda p: (p["objectives"]["error"], p["objectives"]["latency"]))
    picks = np.unique(np.linspace(0, len(ordered) - 1, count).round().astype(int))
    return [ordered[i] for i in picks]


def errors(
    program: Program, rows: Sequence[Row], data: Dataset, target: str
) -> dict[str, dict[str, float]]:
    """{row: {metric: error}} on a data set."""
    backend, machine = find_target(target)
    found: dict[str, dict[str, float]] = {row.name: {} for row in rows}
    floats = [run_float(program, [x[:, None, :]])[0][:, 0] for x in data.inputs]
    for name in METRICS:
        metric = get_metric(name)
        evaluator = Evaluator(program, backend, machine, data, metric)
        for row in rows:
            if row.widths is None:
                found[row.name][name] = score(metric, floats, data).value
            else:
                found[row.name][name] = evaluator.evaluate(row.widths).value
    return found


def measure(run: Path, points: int) -> dict[str, Any]:
    """The whole table as JSON."""
    front = read_json(run / "front.json", "front")
    program = Program.load(run / MODEL_FOLDER)
    target = front["target"]["name"]
    backend, machine = find_target(target)
    table = calibrated_table(program)
    slots = table.searched()
    rows = [Row("float", None)]
    rows += [Row(f"uniform {b}", Assignment.uniform(b).complete(slots)) for b in UNIFORM]
    for point in spread(front["front"], points):
        assignment = Assignment.load(run / point["assignment"])
        rows.append(Row(point["id"], assignment.complete(slots)))
    splits = {name: load_default_split(name) for name in SPLITS}
    by_split = {name: errors(program, rows, data, target) for name, data in splits.items()}

    space = backend.space(table.table, machine)
    model = backend.cost_model(table.table, space, machine)
    workload = Workload(**front["workload"])
    held: list[dict[str, Any]] = []
    for row in rows:
        line: dict[str, Any] = {"name": row.name}
        for split in SPLITS:
            line[split] = by_split[split][row.name]
        if row.widths is not None:
            costs = model.cost(space.encode(row.widths), workload, Options())
            line["costs"] = {k: float(v[0]) for k, v in costs.items()}
            line["widths"] = {str(s): b for s, b in row.widths.items()}
        held.append(line)
    utterances = {name: len(data) for name, data in splits.items()}
    return {
        "target": target,
        "workload": front["workload"],
        "utterances": utterances,
        "rows": held,
    }


def show(result: Mapping[str, Any]) -> Table:
    """The table for a terminal."""
    sizes = ", ".join(f"{k} {v}" for k, v in result["utterances"].items())
    table = Table(
        title=f"{result['target']}, {result['workload']['frames']} frames; utterances: {sizes}"
    )
    table.add_column("", no_wrap=True)
    for split in SPLITS:
        for metric in METRICS:
            table.add_column(f"{split} {metric.upper()} %", justify="right")
    for title in ("ms", "uJ", "kB"):
        table.add_column(title, justify="right")
    for row in result["rows"]:
        cells = [f"{100 * row[s][m]:.1f}" for s in SPLITS for m in METRICS]
        costs = row.get("costs")
        if costs:
            cells += [
                f"{1e3 * costs['latency']:.3f}",
                f"{1e6 * costs['energy']:.1f}",
                f"{costs['size'] / 1000:.0f}",
            ]
        table.add_row(row["name"], *cells)
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a search on the default speech task")
    parser.add_argument("--points", type=int, default=3, help="points of the front to show")
    parser.add_argument("--out", type=Path, help="also write the table as JSON")
    args = parser.parse_args(argv)
    result = measure(args.run, args.points)
    Console().print(show(result))
    if args.out:
        write_text(args.out, dump_json(result))


if __name__ == "__main__":
    main()
