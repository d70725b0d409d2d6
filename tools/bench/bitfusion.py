"""The paper-size SRU network on Bit Fusion: cycles, energy, utilisation, speedup.

    python -m mohaq.tools.bench.bitfusion [--target bitfusion-e] [--frames 100]

Four bidirectional SRU layers of 550 units with projections to 256 between them, 23 features in,
1904 classes out. Figures come from the backend's cost model, which equals the estimate and the
simulator's counters. `speedup` is over 16 bits: `paper` is MOHAQ's accounting, the mean over all
products of 256 / (weight bits x input bits); `true` is the ratio of times. `array` is the share
of the array's cycles in all cycles, `lanes` the products over what the array could have done
meanwhile.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np

from mohaq.backends.base import Options, Workload
from mohaq.backends.bitfusion import BACKEND
from mohaq.backends.bitfusion.cost_model import BitfusionCosts
from mohaq.backends.bitfusion.counters import INDEX
from mohaq.backends.bitfusion.machine import load_target, machine_of
from mohaq.compiler.analysis.layers import Layer, LayerTable
from mohaq.compiler.assignment import Slot
from mohaq.tools.console import table as table_of

HIDDEN, PROJECTION, FEATURES, CLASSES, DEPTH = 550, 256, 23, 1904, 4
Widths = Mapping[str, tuple[int, int]]
"""(weight, input) bits by layer."""


def network() -> LayerTable:
    """The layer table; no weights are needed."""
    layers: list[Layer] = []
    source: str | None = None

    def linear(name: str, outputs: int, direct: str | None = None) -> None:
        nonlocal source
        slots = ("weight", "input")
        layers.append(Layer(name, "linear", 2 * HIDDEN, outputs, slots, source, direct, bias=True))
        source = name

    for number in range(DEPTH):
        name = f"sru{number}"
        layers.append(
            Layer(
                name, "sru", PROJECTION if number else FEATURES, 6 * HIDDEN, ("weight", "input"),
                source, None, bias=True, hidden=HIDDEN, directions=2, gates=3,
                functions=("sigmoid", "identity"),
            )
        )  # fmt: skip
        source = name
        if number < DEPTH - 1:
            linear(f"projection{number}", PROJECTION, f"sru{number + 1}")
    linear("output", CLASSES)
    return LayerTable(tuple(layers))


def rows(table: LayerTable) -> dict[str, Widths]:
    """Uniform widths, and two mixed assignments."""
    found: dict[str, Widths] = {
        str(bits): dict.fromkeys(table.names, (bits, bits)) for bits in (16, 8, 4, 2)
    }
    found["weights 4, inputs 8"] = dict.fromkeys(table.names, (4, 8))
    ends = {table.names[0], table.names[-1]}
    found["ends 8, rest 4"] = {n: (8, 8) if n in ends else (4, 4) for n in table.names}
    return found


def measure(target: str, frames: int) -> list[dict[str, float | str]]:
    """A line for each assignment: counts, joules, seconds and speedups."""
    machine_file = load_target(target)
    machine = machine_of(machine_file)
    table = network()
    space = BACKEND.space(table, machine_file)
    model = BACKEND.cost_model(table, space, machine_file)
    assert isinstance(model, BitfusionCosts)
    workload, options = Workload(frames), Options()
    lines: list[dict[str, float | str]] = []
    products = sum(x.weights for x in table)
    for name, widths in rows(table).items():
        bits = {Slot(n, "weight"): w for n, (w, _) in widths.items()}
        bits |= {Slot(n, "input"): a for n, (_, a) in widths.items()}
        genome = space.encode(bits)[None]
        cost = model.cost(genome, workload, options)
        counts = model.total(genome, workload, options)[0][0]
        cycles = int(counts[INDEX["cycles"]])
        room = sum(
            x.weights * frames / (machine.rows * machine.columns * _speed(*widths[x.name]))
            for x in table
        )
        paper = sum(x.weights * 256 / np.prod(widths[x.name]) for x in table) / products
        lines.append(
            {
                "bits": name,
                "cycles": cycles,
                "ms": float(cost["latency"][0]) * 1e3,
                "mJ": float(cost["energy"][0]) * 1e3,
                "KiB": float(cost["size"][0]) / 1024,
                "array": int(counts[INDEX["array_cycles"]]) / cycles,
                "lanes": room / cycles,
                "paper": float(paper),
            }
        )
    for line in lines:
        line["true"] = float(lines[0]["ms"]) / float(line["ms"])
    return lines


def _speed(w: int, a: int) -> float:
    """Products of one unit and cycle; a 16-bit operand takes two passes."""
    one = [8 // min(max(b, 2), 8) / (2 if b > 8 else 1) for b in (w, a)]
    return one[0] * one[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="bitfusion-e")
    parser.add_argument("--frames", type=int, default=100)
    given = parser.parse_args()
    lines = measure(given.target, given.frames)
    title = f"SRU {DEPTH} x {HIDDEN} on {given.target}, {given.frames} frames"
    shown = [[v if isinstance(v, (str, int)) else f"{v:.4g}" for v in x.values()] for x in lines]
    table_of(title, list(lines[0]), shown)


if __name__ == "__main__":
    main()
