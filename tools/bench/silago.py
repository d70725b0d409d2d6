"""SiLago: how well compiled products fill the fabric, and the paper's model beside true cycles.

    python -m mohaq.tools.bench.silago [--target silago-mohaq] [--frames 16] [--markdown FILE]

Cycles are those of the cost model, which equal the simulator's (tests/backends/silago). No data is
needed: phases do not depend on weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mohaq.backends.base import Workload
from mohaq.backends.silago.counters import INDEX, Counts, energies
from mohaq.backends.silago.estimate import count
from mohaq.backends.silago.kernels import matvec
from mohaq.backends.silago.machine import Fabric, fabric_of, load_target
from mohaq.backends.silago.paper import PaperFigures, paper_figures
from mohaq.backends.silago.schedule.tasks import Band, MatrixTask
from mohaq.backends.silago.simulator.run import run
from mohaq.backends.silago.simulator.state import reset
from mohaq.backends.silago.template import Widths, lowered_layer
from mohaq.compiler.analysis.layers import Layer, LayerTable, layer_table
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import write_text
from mohaq.compiler.network import Network
from mohaq.tools.bench.silago_losses import KINDS, Losses, add, of_program, of_task

PAPER_MACS = {
    "l0": 75_900, "l1": 844_800, "l2": 844_800, "l3": 844_800,
    "pr1": 281_600, "pr2": 281_600, "pr3": 281_600, "fc": 2_094_400,
}  # fmt: skip
"""Weights of the paper's four-layer SRU as its code counts them (published search code)."""

PAPER_VECTOR_WORDS = 8_800
PAPER_OPERATIONS = 5_637_500
"""What the paper's code divides speed-ups by."""

MIXES: dict[str, dict[str, int]] = {
    "all 16": {},
    "all 8": dict.fromkeys(PAPER_MACS, 8),
    "all 4": dict.fromkeys(PAPER_MACS, 4),
    "fc 8": {"fc": 8},
    "fc 4, rest 8": {**dict.fromkeys(PAPER_MACS, 8), "fc": 4},
    "sru 4, rest 8": {**dict.fromkeys(PAPER_MACS, 8), **dict.fromkeys(("l0", "l1", "l2", "l3"), 4)},
    "projections 4, rest 16": dict.fromkeys(("pr1", "pr2", "pr3"), 4),
    "first 16, rest 4": {**dict.fromkeys(PAPER_MACS, 4), "l0": 16},
}

SHAPES = ((512, 64), (512, 256), (2048, 256), (3300, 256), (1904, 1100))

WORKED = (
    ((-5, 9, -7, -1, -6, 6, 5, 6), (3, -3, -6, 6, -9, 3, 4, -9),
     (5, -1, -2, 9, -6, 1, -9, -9), (-9, 8, -9, 3, -3, 4, -9, 7)),
    (4, 8, 8, 9, 4, 6, 4, 4),
)  # fmt: skip
"""A product of 4 x 8; a program for it made by hand stores its last result at edge 48."""

Tell = Callable[[str], None]


def paper_table() -> LayerTable:
    """The paper's network: four Bi-SRU layers of 550, projections of 256, 1904 classes."""
    net = Network()
    x, inputs = net.sequence(23), 23
    for n in range(4):
        x, _ = net.sru(
            f"l{n}",
            x,
            np.zeros((2, 3, 550, inputs), dtype=np.float32),
            np.zeros((2, 2, 550), dtype=np.float32),
            np.zeros((2, 2, 550), dtype=np.float32),
            direction="bidirectional",
        )
        if n < 3:
            x = net.linear(f"pr{n + 1}", x, np.zeros((256, 1100), dtype=np.float32))
            inputs = 256
    bias = np.zeros(1904, dtype=np.float32)
    y = net.linear("fc", x, np.zeros((1904, 1100), dtype=np.float32), bias)
    return layer_table(net.finish([y]))


def utilisation(fabric: Fabric, rows: int, features: int, bits: int, frames: int) -> str:
    """One line: share of the peak rate of a product, and where the slots of both lanes go."""
    task = MatrixTask(fabric, rows, features, bits, (Band(0, ((0, rows),)),))
    counts = task.counts(frames)
    found = of_task(task, frames)
    cycles, runs = counts["cycles"], counts["run_cycles"]
    ideal = found.pop("products")
    lost = ", ".join(f"{name} {100 * value / cycles:.1f}" for name, value in found.items())
    return (
        f"| {rows} x {features} | {bits} | {200 * ideal / cycles:.1f} % | "
        f"{200 * ideal / runs:.1f} % | {100 * ideal / cycles:.1f} % | {lost} |"
    )


class Model:
    """Counts of the paper's network by widths, layer by layer."""

    def __init__(self, fabric: Fabric, frames: int) -> None:
        self.fabric, self.workload = fabric, Workload(frames)
        self.table = paper_table()
        self._layers: dict[tuple[str, Widths], tuple[Counts, Losses]] = {}

    def counts(self, widths: dict[str, int]) -> tuple[Counts, Losses]:
        """Counts of all layers, and where their cycles go."""
        direct = {layer.direct for layer in self.table if layer.direct}
        total, lost = np.zeros(len(INDEX), dtype=np.int64), Losses()
        for layer in self.table:
            bits = widths[layer.name]
            stored = bits if layer.name in direct else 16
            out = widths[layer.direct] if layer.direct else 16
            counts, found = self._layer(layer, Widths(bits, stored, out))
            total += counts
            add(lost, found)
        if round(sum(lost.values())) != total[INDEX["cycles"]]:
            raise MohaqError("the kinds of cycles do not add up")
        return total, lost

    def _layer(self, layer: Layer, widths: Widths) -> tuple[Counts, Losses]:
        key = (layer.name, widths)
        if key not in self._layers:
            program = lowered_layer(layer, widths, self.fabric)
            made = np.sum(list(count(program, self.fabric, self.workload).values()), axis=0)
            self._layers[key] = made, of_program(program, self.fabric, self.workload)
        return self._layers[key]


def worked_example(fabric: Fabric) -> tuple[int, list[int]]:
    """(edge of the last result, results) of a compiled program for the worked example."""
    weights, x = (np.array(v, dtype=np.int64) for v in WORKED)
    kernel = matvec(fabric, weights, x, 16)
    state = reset(fabric)
    for (tile, col, row), words in kernel.rows.items():
        state.sram[tile, col, row] = words
    found = run(fabric, kernel.programs, state)
    edges, values = [], []
    for row, col, at in kernel.results:
        mine = found.writes[(found.writes[:, 1:4] == (row, col, at)).all(axis=1)]
        edges.append(int(mine[-1, 0]))
        values.append(int(mine[-1, 4]))
    return max(edges), values


def bench(target: str, frames: int, tell: Tell) -> None:
    """Print all tables."""
    fabric = fabric_of(load_target(target))
    edge, values = worked_example(fabric_of(load_target("silago1-rtl")))
    tell(f"Worked example: y = {values}, last result at edge {edge} (by hand: 48)")
    tell("")
    tell(
        f"Products on {target}, {frames} vectors; share of the peak multiply-accumulate rate of one"
    )
    tell("lane a cell (the paper's machine), of both lanes, and where the rest of both goes, in %")
    tell("| shape | bits | one lane | runs alone | both lanes | lost of both |")
    tell("|---|---|---|---|---|---|")
    widths = [b for b in (16, 8, 4) if fabric.numerics == "wide_acc" or b == 16]
    for rows, features in SHAPES:
        for bits in widths:
            tell(utilisation(fabric, rows, features, bits, frames))
    tell("")
    tell(f"The paper's network on {target}, {frames} frames; energies of a frame in uJ")
    tell(
        "| bits | paper: speed-up | paper: energy | ideal cycles (one lane) | our cycles | ratio "
        "| of both lanes | our MAC + SRAM + rest |"
    )
    tell("|---|---|---|---|---|---|---|---|")
    model = Model(fabric, frames)
    for name, changes in MIXES.items():
        mix = {layer: changes.get(layer, 16) for layer in PAPER_MACS}
        if fabric.numerics != "wide_acc" and set(mix.values()) != {16}:
            continue
        tell(_row(name, mix, model, fabric, frames))
    tell("")
    tell("Where the cycles of a frame go (a cycle has a slot for every cell and both lanes)")
    tell(f"| kind | {' | '.join(f'all {b}' for b in widths)} |")
    tell("|---|" + "---|" * len(widths))
    lost = [model.counts(dict.fromkeys(PAPER_MACS, b))[1] for b in widths]
    for kind in KINDS:
        shares = (
            f"{one.get(kind, 0) / frames:,.0f} ({100 * one.get(kind, 0) / sum(one.values()):.1f} %)"
            for one in lost
        )
        tell(f"| {kind} | {' | '.join(shares)} |")


def _row(name: str, bits: dict[str, int], model: Model, fabric: Fabric, frames: int) -> str:
    paper = paper_energy(bits, fabric)
    counts, lost = model.counts(bits)
    macs, memory, rest = (1e6 * float(e) / frames for e in energies(counts, fabric))
    cycles = int(counts[INDEX["cycles"]]) / frames
    ideal = paper.cycles
    return (
        f"| {name} | {paper.speedup:.3f} | {1e6 * paper.joules:.2f} | {ideal:,.0f} | "
        f"{cycles:,.0f} | {100 * ideal / cycles:.1f} % | "
        f"{100 * lost['products'] / frames / cycles:.1f} % | {macs:.2f} + {memory:.2f} + {rest:.2f} |"
    )


def paper_energy(bits: dict[str, int], fabric: Fabric) -> PaperFigures:
    """The paper's figures of its network."""
    return paper_figures(PAPER_MACS, bits, PAPER_VECTOR_WORDS, fabric, operations=PAPER_OPERATIONS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--target", default="silago-mohaq")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--markdown", type=Path, help="write the tables to this file as well")
    options = parser.parse_args(arguments)
    lines: list[str] = []

    def tell(line: str) -> None:
        print(line)
        lines.append(line)

    bench(options.target, options.frames, tell)
    if options.markdown is not None:
        write_text(options.markdown, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
