"""Search cost = compile estimate = simulator counters, on whole random networks.

    python -m mohaq.tools.bench.bitfusion_agreement [--pairs 200] [--seed 0] [--target bitfusion-e]

Draws networks of one to three layers (SRU, LSTM, GRU, either direction or both, 8 to 96 units) with
a linear one at the end, weights at random, and an assignment of 2, 4, 8 or 16 bits for every slot;
runs 1, 7 and 100 steps in turn. Every pair must agree: outputs with the integer reference bit by
bit, the counters of the run with the estimate, latency, energy and size of the search's cost
model with both. Prints a line for each kind of network with the pairs that kept values on chip
and those that kept some between layers; exit 1 if any pair differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track

from mohaq.backends.base import IllegalAssignment, Options, Target, Workload
from mohaq.backends.bitfusion import BACKEND
from mohaq.backends.bitfusion.module import read_module
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.dialects import nn
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program, argument_grids
from mohaq.compiler.quantizer import quantize
from mohaq.passes.apply_assignment import annotate
from mohaq.passes.calibrate import calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn
from mohaq.tools.console import table as table_of

STEPS = (1, 7, 100)
KINDS = ("sru", "lstm", "gru")
Generator = np.random.Generator


def network(rng: Generator) -> tuple[Program, str, int]:
    """A random network, the kinds of its layers, its input features."""
    net = Network()
    features = int(rng.integers(4, 40))
    x = net.sequence(features, name="x")
    kinds: list[str] = []
    width = features
    for number in range(int(rng.integers(1, 4))):
        kind = str(rng.choice(KINDS))
        kinds.append(kind)
        direction = str(rng.choice(sorted(nn.DIRECTIONS)))
        count, hidden = nn.DIRECTIONS[direction], int(rng.integers(8, 97))

        def data(title: str, *shape: int, number: int = number) -> Any:
            scale = 1 / np.sqrt(shape[-1])
            values = rng.normal(size=shape) * scale
            return net.parameter(f"l{number}.{title}", values.astype(np.float32))

        name = f"l{number}"
        if kind == "sru":
            weights = data("w", count, 3, hidden, width)
            vectors, bias = data("v", count, 2, hidden), data("b", count, 2, hidden)
            op: Any = nn.SruOp(name, x, weights, vectors, bias, direction=direction)
        else:
            cell, gates = (nn.LstmOp, 4) if kind == "lstm" else (nn.GruOp, 3)
            op = cell(
                name,
                x,
                data("w", count, gates, hidden, width),
                data("r", count, gates, hidden, hidden),
                data("b", count, gates, hidden),
                direction=direction,
            )
        net.add(op)
        x, width = op.results[0], count * hidden
    last = net.parameter("fc.w", rng.normal(size=(12, width)).astype(np.float32) / width**0.5)
    return net.finish([net.add(nn.LinearOp("fc", x, last))]), "+".join(kinds), features


def differences(
    program: Program, features: int, target: Target, steps: int, rng: Generator
) -> tuple[str, bool, bool]:
    """What disagrees for one random assignment; empty when nothing does.

    With it whether values stayed on chip, and whether some did between layers.
    """
    data = rng.normal(size=(max(steps, 16), 1, features)).astype(np.float32)
    calibrate(program, [data[:, 0]])
    calibrated = BACKEND.obeyed(calibrated_table(program), target)
    space = BACKEND.space(calibrated.table, target)
    genome: npt.NDArray[np.int64] = rng.integers(0, np.asarray(space.upper) + 1)
    widths = {s: int(v[0]) for s, v in space.widths(genome).items()}
    annotate(program, calibrated, calibrated.layer_grids(widths))
    legal = BACKEND.legalize(lower_to_qnn(program), target)
    lowered = BACKEND.lower(legal, target, Options())
    workload = Workload(steps, 1)
    estimate = BACKEND.estimate(lowered, target, workload, Options())
    model = BACKEND.cost_model(calibrated.table, space, target)
    cost = model.cost(genome[None], workload, Options())
    (grid,) = argument_grids(program.entry)
    assert grid is not None
    inputs = [quantize(data[:steps], grid)]
    with tempfile.TemporaryDirectory() as folder:
        BACKEND.emit(lowered, Path(folder), target)
        run = BACKEND.simulate(Path(folder), inputs, Options())
    found = []
    pairs = zip(run.outputs, run_integer(legal, inputs), strict=True)
    if not all(np.array_equal(a, b) for a, b in pairs):
        found.append("outputs")
    if run.measured != estimate:
        found.append("counters")
    told = (cost["latency"][0], cost["energy"][0], cost["size"][0])
    if told != (estimate.total.seconds, estimate.total.joules, estimate.size_bytes):
        found.append("cost")
    kept = run.measured.total.counters["chip_bits"] > 0
    return ", ".join(found), kept, _crosses(lowered, steps)


def _crosses(lowered: Program, rows: int) -> bool:
    """Whether a value stays on chip from one layer to the next in a run of so many rows."""
    homes: dict[int, set[int]] = {}
    for block in read_module(lowered.module).blocks:
        for hold in block.holds:
            if rows <= hold.rows:
                homes.setdefault(hold.address, set()).add(block.layer)
    return any(len(layers) > 1 for layers in homes.values())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", default="bitfusion-e")
    given = parser.parse_args()
    target = BACKEND.load_target(given.target)
    rng = np.random.default_rng(given.seed)
    agreed: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    crossed: Counter[str] = Counter()
    illegal = 0
    for number in track(range(given.pairs), "networks and assignments"):
        program, kinds, features = network(rng)
        try:
            steps = STEPS[number % len(STEPS)]
            what, held, across = differences(program, features, target, steps, rng)
        except IllegalAssignment:
            illegal += 1
            continue
        (lost if what else agreed)[kinds] += 1
        kept[kinds] += held
        crossed[kinds] += across
        if what:
            print(f"{kinds}: {what} differ")
    columns = (agreed, lost, kept, crossed)
    rows = [[kind, *(str(c[kind]) for c in columns)] for kind in sorted({*agreed, *lost})]
    rows.append(["all", *(str(sum(c.values())) for c in columns)])
    title = f"{given.pairs} pairs on {given.target}, {illegal} of them illegal"
    table_of(title, ["layers", "agree", "differ", "kept", "between layers"], rows)
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
