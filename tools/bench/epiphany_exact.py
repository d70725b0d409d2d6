"""Emitted Epiphany projects against the integer reference, on real utterances.

    python -m mohaq.tools.bench.epiphany_exact [--utterances 300] [--targets epiphany-e16,epiphany-e64]
        [--model speech] [--assignments 6]

Compiles the model with uniform and mixed widths, builds each project with the host's compiler
against the stand-in chip, runs test utterances one by one, and compares every output with the
reference on the legalized program bit by bit, and the counters with the estimate. Prints a line
for each assignment; exit 1 if anything differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

import mohaq
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.program import Program
from mohaq.tools.console import table as table_of
from mohaq.tools.simulate import simulate
from mohaq.tools.sources import calibrated_model, load_data

WIDTHS = (2, 4, 8, 16)
SEED = 0


def assignments(program: Program, count: int) -> Iterator[tuple[str, dict[Slot, int]]]:
    """Uniform widths, weights of 4 with inputs of 8 bits, then random mixes."""
    slots = calibrated_table(program).searched()
    named: list[tuple[str, dict[Slot, int]]] = [
        (f"all {bits}", dict.fromkeys(slots, bits)) for bits in (8, 4, 2, 16)
    ]
    narrow = {s: 4 if s.slot in {"weight", "recurrent"} else 8 for s in slots}
    named.append(("weights 4, the rest 8", narrow))
    rng = np.random.default_rng(SEED)
    for number in range(max(0, count - len(named))):
        widths = {s: int(rng.choice(WIDTHS)) for s in slots}
        named.append((f"mix {number}", widths))
    yield from named[:count]


def check(
    program: Program, target: str, widths: dict[Slot, int], inputs: Sequence[Any], folder: Path
) -> tuple[int, int, float]:
    """(utterances with equal outputs, with equal counters, mean seconds of the model)."""
    out = folder / "out"
    mohaq.compile(program, target, Assignment(widths=widths), out)
    runs = simulate(mohaq.CompiledFolder(out), inputs, check=True).runs
    seconds = [run.ran.simulation.measured.total.latency for run in runs]
    equal = sum(run.ran.equal is True for run in runs)
    counted = sum(run.counters_equal is True for run in runs)
    return equal, counted, float(np.mean(seconds))


def measure(
    model: str, targets: Sequence[str], utterances: int, count: int
) -> list[tuple[str, str, int, int, int, float]]:
    """(target, assignment, utterances, equal outputs, equal counters, mean seconds)."""
    program = calibrated_model(model, None, lambda _: None)
    inputs = load_data("speech:test").inputs[:utterances]
    rows = []
    every = [(t, *one) for t in targets for one in assignments(program, count)]
    for target, name, widths in track(every, "assignments"):
        with tempfile.TemporaryDirectory() as folder:
            found = check(program, target, widths, inputs, Path(folder))
        rows.append((target, name, len(inputs), *found))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="speech")
    parser.add_argument("--targets", default="epiphany-e16,epiphany-e64")
    parser.add_argument("--utterances", type=int, default=300)
    parser.add_argument("--assignments", type=int, default=6)
    given = parser.parse_args()
    rows = measure(given.model, given.targets.split(","), given.utterances, given.assignments)
    shown = [
        [t, name, f"{equal} of {n}", f"{counted} of {n}", f"{1e3 * mean:.2f}"]
        for t, name, n, equal, counted, mean in rows
    ]
    table_of(
        f"{given.model} on the stand-in chip",
        ["target", "bits", "outputs equal", "counters equal", "mean ms"],
        shown,
    )
    sys.exit(0 if all(n == equal == counted for _, _, n, equal, counted, _ in rows) else 1)


if __name__ == "__main__":
    main()
