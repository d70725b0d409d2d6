"""Our own schedule of one product: exact tiles, kept banks, everything overlapped.

Output stationary: a tile of [b, oc] sums stays in a bank of OBUF while K is walked; or K is the
outermost loop and partial sums of 32 bits are spilled to DRAM. IBUF and WBUF
have two banks; tiles that a bank still holds are not loaded again, and every second walk over
the inner loop (and over K) goes backwards, so that it starts with what is held. The timeline:

- one DRAM port, transfers one after the other; a finished tile is stored as soon as the port is
  free, a bank is loaded when its last use is over;
- or the next tile of the outer loop comes in equal parts during the current one;
- the array starts a tile when the first chunk (one reach of K) of its operands is there and ends
  it no earlier than one chunk after the last one; b c(oc/M) c(ic/L) passes cycles, edges exact;
- the post-processing unit takes c(b oc / lanes) cycles (`physical` alone).

Weights are packed densely. Two conventions: `refconv` reads and writes outputs at 32 bits and
has neither array fill nor post-processing; `physical` writes them once at the width of the
activations and pays both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product as product_of

import numpy as np
import numpy.typing as npt

from mohaq.backends.bitfusion.isa.instructions import Pad
from mohaq.backends.bitfusion.machine import Machine
from mohaq.backends.bitfusion.schedule.compat import SUM_BITS, Product, energies, up
from mohaq.backends.bitfusion.schedule.kernels import timeline
from mohaq.compiler.diagnostics import MohaqError

CONVENTIONS = ("refconv", "physical")
SLACK = 1.01
"""Among schedules this close to the fastest the one with the least energy is taken."""

PIECES = 12
"""Most extra cuts beyond the fewest that fit, along rows, columns and K."""


@dataclass(frozen=True)
class Schedule:
    """A schedule and its figures; bits, cycles, nanojoules."""

    b: int
    ic: int
    oc: int
    by_columns: bool
    spill: bool
    cycles: int
    dram_read_bits: int
    dram_write_bits: int
    energy_nj: float


def traffic_floor(product: Product, convention: str) -> int:
    """Bits that any schedule moves: weights, activations and outputs once."""
    read, write = _output_bits(product, convention)
    weights = product.inputs * product.outputs * product.w_bits
    outputs = product.rows * product.outputs * (read + write)
    return weights + product.rows * product.inputs * product.a_bits + outputs


def roofline(product: Product, machine: Machine, convention: str) -> int:
    """Cycles that no schedule beats: whole array passes, or all data once through the port."""
    return max(product.compute_bound(machine), up(traffic_floor(product, convention), machine.port))


def _output_bits(product: Product, convention: str) -> tuple[int, int]:
    if convention not in CONVENTIONS:
        raise MohaqError(f"unknown traffic convention '{convention}'")
    return (SUM_BITS, SUM_BITS) if convention == "refconv" else (0, product.a_bits)


def _all_cuts(
    extent: int, limits: Iterable[tuple[int, int]]
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """`_cuts` for each (unit, limit), each size once.

    The first is the product's own; the others are those of wider operands, whose schedules run at
    fewer bits as well: so fewer bits never cost more cycles.
    """
    seen: set[int] = set()
    for unit, limit in dict.fromkeys(limits):
        for step, sizes in _cuts(extent, unit, limit):
            if step not in seen:
                seen.add(step)
                yield step, sizes


def _wider(bits: int) -> list[int]:
    """The widths that an array operand of so many bits could have."""
    return [w for w in (2, 4, 8) if w >= bits] or [bits]


def _cuts(extent: int, unit: int, limit: int) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Equal pieces of at most `limit` units: (largest, sizes), from the fewest pieces on."""
    units = up(extent, unit)
    if limit < 1:
        return
    seen: set[int] = set()
    fewest = up(units, limit)
    wanted = [fewest + n for n in range(PIECES)] + [fewest << n for n in range(1, 13)] + [units]
    for pieces in wanted:
        size = up(units, min(pieces, units))
        if size in seen or size > limit:
            continue
        seen.add(size)
        step = min(size * unit, extent)
        count = up(extent, step)
        sizes = np.full(count, step, dtype=np.int64)
        sizes[-1] = extent - (count - 1) * step
        yield step, sizes


def schedule(
    product: Product, machine: Machine, convention: str, at_most: int | None = None
) -> Schedule:
    """The best schedule: cycles within `SLACK` of the fewest, among those the least energy.

    at_most: a bound [cycles] that the choice keeps if any schedule does, whatever the slack.

    Raises:
        MohaqError: unknown convention; nothing fits.
    """
    read, write = _output_bits(product, convention)
    physical = convention == "physical"
    reach, width = product.reach(machine), machine.columns
    found: list[Schedule] = []
    fewest = 0
    columns_limit = machine.capacity(Pad.OBUF) // (SUM_BITS * width)
    for oc, columns in _cuts(product.outputs, width, columns_limit):
        for ic, inner in _all_cuts(product.inputs, _depths(product, machine, oc)):
            sums = machine.capacity(Pad.OBUF) // (SUM_BITS * up(oc, width) * width)
            held = machine.capacity(Pad.IBUF) // ic
            most = [(1, min(sums, held // bits)) for bits in _wider(product.a_bits)]
            for b, rows in _all_cuts(product.rows, most):
                if len(rows) * len(columns) * len(inner) > 1 << 20:
                    continue
                for by_columns, spill, ahead in product_of((False, True), repeat=3):
                    whole = len(inner) == 1
                    if (spill and whole) or (ahead and not (whole or spill)):
                        continue
                    cycles, weights, acts, outputs = timeline(
                        rows, columns, inner, by_columns, spill, ahead, product.a_bits, product.w_bits, read,
                        write, reach, width, product.passes, machine.lanes if physical else 0,
                        machine.port, machine.rows + width if physical else 0,
                        fewest * SLACK if fewest else np.inf,
                    )  # fmt: skip
                    if not np.isfinite(cycles):
                        continue
                    total = int(np.ceil(cycles - 1e-6))
                    again = SUM_BITS * (len(inner) - 1) if spill else 0
                    written = product.rows * product.outputs * (write + again)
                    moved = weights + acts + outputs - written
                    if fewest and total > fewest * SLACK:
                        continue
                    energy = _energy(product, machine, moved, written, (b, ic, oc), weights, acts)
                    fewest = min(fewest or total, total)
                    found.append(
                        Schedule(b, ic, oc, by_columns, spill, total, moved, written, energy)
                    )
    if not found:
        raise MohaqError("no tile of this product fits the buffers")
    most_cycles = fewest * SLACK
    if at_most is not None:
        most_cycles = max(fewest, min(most_cycles, at_most))
    near = [s for s in found if s.cycles <= most_cycles]
    return min(near, key=lambda s: (s.energy_nj, s.cycles))


def _depths(product: Product, machine: Machine, oc: int) -> list[tuple[int, int]]:
    """(unit, most units) of the inputs of a tile with `oc` outputs, own widths first."""
    found = []
    for a, w in product_of(_wider(product.a_bits), _wider(product.w_bits)):
        reach = min(Product(1, product.inputs, 1, a, w).reach(machine), product.inputs)
        deepest = min(machine.capacity(Pad.WBUF) // (oc * w), machine.capacity(Pad.IBUF) // a)
        found.append((reach, deepest // reach))
    return found


def _energy(
    product: Product,
    machine: Machine,
    read: int,
    written: int,
    tiles: tuple[int, int, int],
    weights: int,
    acts: int,
) -> float:
    """Energy in the published simulator's accounting: operands read for every product."""
    macs = product.rows * product.inputs * product.outputs
    sums = product.rows * product.outputs * up(product.inputs, tiles[1]) * SUM_BITS * product.passes
    passes_a, passes_w = up(product.w_bits, 8), up(product.a_bits, 8)
    figures = {
        "dram_read_bits": read,
        "dram_write_bits": written,
        "ibuf_read_bits": macs * product.a_bits * passes_a,
        "ibuf_write_bits": acts,
        "wbuf_read_bits": macs * product.w_bits * passes_w,
        "wbuf_write_bits": weights,
        "obuf_read_bits": sums + written,
        "obuf_write_bits": sums + max(0, read - weights - acts),
    }
    return sum(energies(product.compute_bound(machine), figures, machine))
