"""Error, latency, energy and size of uniform widths and of a front, on validation and test.

    python -m mohaq.tools.bench.quality RUN [--points 3] [--out table.json]

RUN is the folder of a search on the default speech task. All errors are those of the legalized
integer program; the row `float` is the float program. Points are spread over the front by error:
the best one, the cheapest one, and those between.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from mohaq.backends.base import Workload
from mohaq.backends.registry import find_target
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Assignment
from mohaq.compiler.files import dump_json, read_json, write_text
from mohaq.compiler.program import Program
from mohaq.compiler.search.recipe import MODEL_FOLDER
from mohaq.tools.measure import costs, errors, reference_rows
from mohaq.tools.speech.default_task import load_default_split

METRICS = ("fer", "per")
SPLITS = ("validation", "test")


def spread(front: Sequence[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    """`count` points spread over a front by error, ends included."""
    ordered = sorted(front, key=lambda p: (p["objectives"]["error"], p["objectives"]["latency"]))
    picks = np.unique(np.linspace(0, len(ordered) - 1, count).round().astype(int))
    return [ordered[i] for i in picks]


def measure(run: Path, points: int) -> dict[str, Any]:
    """The whole table as JSON."""
    front = read_json(run / "front.json", "front")
    program = Program.load(run / MODEL_FOLDER)
    backend, machine = find_target(front["target"]["name"])
    rows = reference_rows(program, backend, machine)
    slots = calibrated_table(program).searched()
    for point in spread(front["front"], points):
        rows[point["id"]] = Assignment.load(run / point["assignment"]).complete(slots)
    splits = {name: load_default_split(name) for name in SPLITS}
    by_split = {
        name: errors(program, backend, machine, data, rows, METRICS)
        for name, data in splits.items()
    }
    priced = costs(program, backend, machine, rows, Workload(**front["workload"]))
    held: list[dict[str, Any]] = []
    for row, widths in rows.items():
        line: dict[str, Any] = {"name": row}
        for split in SPLITS:
            line[split] = by_split[split][row]
        if widths is not None:
            line["costs"] = priced[row]
            line["widths"] = {str(s): b for s, b in widths.items()}
        held.append(line)
    return {
        "target": machine.name,
        "latency_unit": backend.latency_unit(machine),
        "workload": front["workload"],
        "utterances": {name: len(data) for name, data in splits.items()},
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
    counted = result["latency_unit"] == "cycles"
    for title in ("kcycles" if counted else "ms", "uJ", "kB"):
        table.add_column(title, justify="right")
    for row in result["rows"]:
        cells = [f"{100 * row[s][m]:.1f}" for s in SPLITS for m in METRICS]
        costs = row.get("costs")
        if costs:
            cells += [
                f"{costs['latency'] * (1e-3 if counted else 1e3):.3f}",
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
