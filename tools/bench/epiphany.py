"""The paper-size SRU network on Epiphany: where the time goes, and published figures.

    python -m mohaq.tools.bench.epiphany [--frames 1,16,100] [--published] [--markdown FILE]

Latencies come from the backend's cost model, which equals the estimate and the running project's
counters; kernels' cycles from the analyzer. `weights` are read in the background: a layer takes
the larger of compute and weights. Published figures stand beside the model with their marks:
D = datasheet or abstract read, R = remembered, M = measured by simulator and scoreboard. They are
printed, never asserted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mohaq.backends.base import Workload
from mohaq.backends.epiphany import BACKEND
from mohaq.backends.epiphany.analyzer import kernel_cycles
from mohaq.backends.epiphany.cost_model import EpiphanyCosts
from mohaq.backends.epiphany.costs import summed
from mohaq.backends.epiphany.estimate import layer_counters
from mohaq.backends.epiphany.machine import Machine
from mohaq.backends.epiphany.passes import cycles_of
from mohaq.compiler.analysis.layers import LayerTable
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import write_text
from mohaq.tools.bench.bitfusion import network

PARTS = ("compute", "weight", "activation", "elementwise", "exchange", "barrier")
"""Causes of cycles, in the names of the backend's counters."""

CASES: dict[str, tuple[int, int]] = {
    "16 x 16": (16, 16),
    "8 x 8": (8, 8),
    "4 x 8": (4, 8),
    "4 x 4": (4, 4),
    "2 x 2": (2, 2),
}
"""(weight, activation) bits of all layers."""

LONGEST = 100
BLOCKS = {8: 70.5, 16: 89.5, 20: 92.5, 24: 93.7, 32: 95.9}
"""Float block products of n x n x n by one core, % of peak (arXiv 1410.8772, R)."""

DRAM_PRODUCT = (512, 8.3, 5.2e6)
"""Size, GFLOPS of 64 cores (arXiv 1410.8772, R), bytes of block traffic (facts section 10)."""

PUSHED_BYTES = 80

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Model:
    """The cost model of the network on a target."""

    target: str
    table: LayerTable
    costs: EpiphanyCosts

    @classmethod
    def of(cls, target: str) -> Model:
        """Load a target."""
        table, loaded = network(), BACKEND.load_target(target)
        costs = BACKEND.cost_model(table, BACKEND.space(table, loaded), loaded)
        assert isinstance(costs, EpiphanyCosts)
        return cls(target, table, costs)

    @property
    def machine(self) -> Machine:
        """The target's constants."""
        return self.costs.machine

    def counters(self, bits: tuple[int, int], frames: int) -> dict[str, int]:
        """Counters of the network at uniform (weight, activation) bits."""
        widths = {
            Slot(layer.name, slot): bits[slot in {"input", "hidden"}]
            for layer in self.table
            for slot in layer.slots
        }
        genome = tuple(int(v) for v in self.costs.space.encode(widths))
        stages = self.costs.plan(genome).stages
        return summed(layer_counters(stages, self.machine, Workload(frames), cycles_of))

    def milliseconds(self, cycles: float) -> float:
        """Time of cycles."""
        return 1e3 * cycles / self.machine.whole("clock")


def breakdown(model: Model, frames: Sequence[int], tell: Tell) -> None:
    """Milliseconds by cause."""
    tell(f"\n{model.target}, milliseconds of a run of so many frames")
    tell("| weights x activations | frames | " + " | ".join(PARTS) + " | all | per frame |")
    tell("|---|---|" + "---|" * (len(PARTS) + 2))
    for name, bits in CASES.items():
        for count in frames:
            try:
                found = model.counters(bits, count)
            except MohaqError as error:
                tell(f"| {name} | {count} | does not fit: {error.what} ({error.why}) |")
                continue
            cells = [model.milliseconds(found[f"{part}_cycles"]) for part in PARTS]
            total = model.milliseconds(found["cycles"])
            shown = " | ".join(f"{c:.3g}" for c in (*cells, total, total / count))
            tell(f"| {name} | {count} | {shown} |")


def crossover(model: Model, bits: tuple[int, int], longest: int = LONGEST) -> int | None:
    """Fewest frames for which multiplying takes longer than reading weights; None: never.

    Frames are tried up to `longest`. Long runs are cut into blocks that fit local memory, and
    each block reads the weights again, so there may be none.
    """
    for frames in range(1, longest + 1):
        found = model.counters(bits, frames)
        if found["compute_cycles"] >= found["weight_cycles"]:
            return frames
    return None


def widths_pay(model: Model, frames: int, tell: Tell) -> None:
    """What fewer bits buy: memory time, not multiply time."""
    base = model.counters(CASES["8 x 8"], frames)
    for name, bits in CASES.items():
        try:
            found = model.counters(bits, frames)
        except MohaqError:
            tell(f"| {model.target} | {name} | does not fit |")
            continue
        at = crossover(model, bits)
        ratios = [
            found[f"{part}_cycles"] / base[f"{part}_cycles"] if base[f"{part}_cycles"] else 0.0
            for part in ("compute", "weight")
        ]
        tell(
            f"| {model.target} | {name} | {ratios[0]:.2f} | {ratios[1]:.2f} | "
            f"{found['weight_bytes'] / 1e6:.2f} | {at or f'none to {LONGEST}'} |"
        )


def published(models: dict[str, Model]) -> Iterator[str]:
    """Lines of published figures beside the model's."""
    for size, percent in BLOCKS.items():
        cycles = (size // 4) ** 2 * kernel_cycles("mohaq_tile4_w8", size)
        yield (
            f"| {size}^3 block product, one core | {percent} % of peak, float assembly [R] | "
            f"{100 * size**3 / cycles:.1f} % (mohaq_tile4_w8, integer) |"
        )
    yield (
        "| same, 32^3 | 34,586 cycles: sheet's scoreboard on the published code [M] | "
        f"{64 * kernel_cycles('mohaq_tile4_w8', 32):,} cycles |"
    )
    e64 = models["epiphany-e64"]
    size, gflops, traffic = DRAM_PRODUCT
    cores, clock = e64.machine.cores, e64.machine.whole("clock")
    macs = size**3 / cores
    multiply = macs * kernel_cycles("mohaq_tile4_w8", 32) / (16 * 32) / clock
    moving = traffic / e64.machine.whole("dram_read_all")
    yield (
        f"| {size}^3 product, 64 cores, operands in DRAM | {gflops} GFLOPS, 85 % of it transfers "
        f"[R] | {2 * size**3 / (multiply + moving) / 1e9:.1f}, "
        f"{100 * moving / (multiply + moving):.0f} % |"
    )
    stores = PUSHED_BYTES // 8
    cycles = e64.machine.whole("push_setup_cycles") + stores * e64.machine.whole(
        "push_cycles_per_store"
    )
    yield (
        f"| write of {PUSHED_BYTES} bytes to another core | 11.1 to 12.6 ns per 4 bytes [R] | "
        f"{1e9 * cycles / clock / (PUSHED_BYTES // 4):.1f} ns |"
    )
    e16 = models["epiphany-e16"]
    for bits, load in ((8, 31.3), (4, 15.6), (2, 7.8)):
        found = e16.counters((bits, 8), 4)
        yield (
            f"| 5.5 M weights of {bits} bits read once by 16 cores | {load} ms (sheet's formula, "
            f"bandwidth [R]) | {e16.milliseconds(found['weight_cycles']):.1f} ms, "
            f"{found['weight_bytes'] / 1e6:.2f} MB with padding |"
        )
    found = e16.counters((8, 8), 16)
    yield (
        "| the same, multiplying, per frame | 0.62 ms (sheet's formula) | "
        f"{e16.milliseconds(found['compute_cycles']) / 16:.2f} ms at 16 frames |"
    )


def bench(frames: Sequence[int], only_published: bool, tell: Tell) -> None:
    """Print the tables."""
    models = {name: Model.of(name) for name in BACKEND.targets()}
    if not only_published:
        for model in models.values():
            breakdown(model, frames, tell)
        tell("\nWhat widths change, 16 frames, beside 8 x 8; frames from which multiplying lasts")
        tell("longer than reading weights")
        tell("| target | bits | compute | weights | MB read | from frames |")
        tell("|---|---|---|---|---|---|")
        for model in models.values():
            widths_pay(model, 16, tell)
    tell("\nPublished figures beside the model")
    tell("| what | published | model |")
    tell("|---|---|---|")
    for line in published(models):
        tell(line)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", default="1,16,100", help="lengths, separated by commas")
    parser.add_argument("--published", action="store_true", help="only the published figures")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file as well")
    options = parser.parse_args(arguments)
    counts = [int(n) if n.isdigit() else 0 for n in options.frames.split(",")]
    if min(counts) < 1:
        parser.error(f"--frames {options.frames} is not a list of positive whole numbers")
    lines: list[str] = []

    def tell(line: str) -> None:
        print(line)
        lines.append(line)

    bench(counts, options.published, tell)
    if options.markdown is not None:
        write_text(options.markdown, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
