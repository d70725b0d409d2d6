"""`compat` timing: the cost model of the published Bit Fusion simulator, for one product.

A fully connected layer is a 1x1 convolution over B rows, K inputs and N outputs. All formulas are
those of the published simulator's optimizer and accelerator model; c(x/y) is the ceiling, R and M
are rows and columns of the array, L = R * pf the inputs that one cycle reduces.

- bits of a tile: weights c(ic/L) L oc w, activations b ic a, outputs b c(oc/M) M 32, each at most
  half its buffer;
- DRAM traffic: loops from the innermost to the outermost, see `_traffic`;
- compute = tiles * b * c(oc/M) * c(ic/L); the first fill and the last drain of what is resident
  are never overlapped, all other traffic only lengthens what exceeds the compute cycles;
- no array fill, no edges of tiles, 32-bit outputs read and written.

16-bit operands are no part of that simulator. They follow our rule (docs/targets/bitfusion.md):
lanes as for 8 bits, c(a/8) c(w/8) passes, each reads its bytes and its accumulators.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

from mohaq.backends.bitfusion.isa.instructions import Pad
from mohaq.backends.bitfusion.machine import Machine
from mohaq.compiler.diagnostics import MohaqError

SUM_BITS = 32
"""Width of an accumulator, in the buffer and in DRAM."""

UNIT_BITS = 8
"""Widest operand of one pass."""

LOOPS = ("B", "IC", "OC")
ORDERS: tuple[tuple[str, ...], ...] = tuple(permutations(LOOPS))
DEPENDS = {"weights": {"IC", "OC"}, "activations": {"B", "IC"}, "outputs": {"B", "OC"}}
"""Loops that change the tile of a stream."""

WIDTHS = (2, 4, 8, 16)


def up(x: int, y: int) -> int:
    """Ceiling of x / y."""
    return -(-x // y)


@dataclass(frozen=True)
class Product:
    """[rows, inputs] x [inputs, outputs] with operands of `a_bits` and `w_bits` bits."""

    rows: int
    inputs: int
    outputs: int
    a_bits: int
    w_bits: int

    def __post_init__(self) -> None:
        if min(self.rows, self.inputs, self.outputs) < 1:
            raise MohaqError("the extents of a product must be positive")
        if self.a_bits not in WIDTHS or self.w_bits not in WIDTHS:
            raise MohaqError(f"operands have 2, 4, 8 or 16 bits, got {self.a_bits}/{self.w_bits}")

    @property
    def passes(self) -> int:
        """Passes of at most 8 x 8 bits."""
        return up(self.a_bits, UNIT_BITS) * up(self.w_bits, UNIT_BITS)

    def lanes(self, machine: Machine) -> int:
        """Products of one unit and cycle, pf."""
        return machine.lanes_of(min(self.a_bits, UNIT_BITS), min(self.w_bits, UNIT_BITS))

    def reach(self, machine: Machine) -> int:
        """Inputs that one cycle reduces, L."""
        return machine.rows * self.lanes(machine)

    def compute_bound(self, machine: Machine) -> int:
        """Fewest array cycles: rows c(N/M) c(K/L) passes."""
        groups = up(self.outputs, machine.columns)
        return self.rows * groups * up(self.inputs, self.reach(machine)) * self.passes


@dataclass(frozen=True)
class Tiling:
    """Tile sizes, and the loops from the outermost to the innermost."""

    b: int
    ic: int
    oc: int
    order: tuple[str, ...]

    def counts(self, product: Product) -> dict[str, int]:
        """Tiles along each loop."""
        return {
            "B": up(product.rows, self.b),
            "IC": up(product.inputs, self.ic),
            "OC": up(product.outputs, self.oc),
        }


@dataclass(frozen=True)
class Result:
    """Figures of one product under one tiling; bits, cycles, nanojoules."""

    tiling: Tiling
    stationary: str
    total_cycles: int
    compute_cycles: int
    mem_stall_cycles: int
    dram_read_bits: int
    dram_write_bits: int
    ibuf_read_bits: int
    ibuf_write_bits: int
    wbuf_read_bits: int
    wbuf_write_bits: int
    obuf_read_bits: int
    obuf_write_bits: int
    energy_core_nj: float
    energy_sram_nj: float
    energy_dram_nj: float

    @property
    def energy_nj(self) -> float:
        """All energy."""
        return self.energy_core_nj + self.energy_sram_nj + self.energy_dram_nj


def evaluate(product: Product, tiling: Tiling, machine: Machine) -> Result | None:
    """Figures of a tiling; None if a tile does not fit half its buffer.

    Raises:
        MohaqError: the loop order is none of `ORDERS`.
    """
    if tiling.order not in ORDERS:
        raise MohaqError(f"a loop order has B, IC and OC once each, got {'>'.join(tiling.order)}")
    reach, columns = product.reach(machine), machine.columns
    padded_k = up(tiling.ic, reach) * reach
    padded_n = up(tiling.oc, columns) * columns
    tile = {
        "weights": padded_k * tiling.oc * product.w_bits,
        "activations": tiling.b * tiling.ic * product.a_bits,
        "outputs": tiling.b * padded_n * SUM_BITS,
    }
    room = {
        "weights": machine.capacity(Pad.WBUF),
        "activations": machine.capacity(Pad.IBUF),
        "outputs": machine.capacity(Pad.OBUF),
    }
    if any(tile[stream] > room[stream] for stream in tile):
        return None
    counts = tiling.counts(product)
    moved: dict[str, int] = {}
    resident: dict[str, int] = {}
    for stream, bits in tile.items():
        moved[stream], resident[stream] = _traffic(
            bits, room[stream], DEPENDS[stream], tiling.order, counts
        )
    outputs = moved["outputs"]
    read = sum(moved.values())
    number = counts["B"] * counts["IC"] * counts["OC"]
    compute = number * tiling.b * (padded_n // columns) * (padded_k // reach) * product.passes
    filled = sum(resident.values())
    latency = up(filled, machine.port) + up(resident["outputs"], machine.port)
    middle = up(read + outputs - filled - resident["outputs"], machine.port)
    stalls = max(0, middle - compute) + latency
    kind, on_chip = _on_chip(product, tiling, padded_k, padded_n)
    ibuf, wbuf, obuf = (number * bits for bits in on_chip)
    figures = {
        "dram_read_bits": read,
        "dram_write_bits": outputs,
        "ibuf_read_bits": ibuf,
        "ibuf_write_bits": moved["activations"],
        "wbuf_read_bits": wbuf,
        "wbuf_write_bits": moved["weights"],
        "obuf_read_bits": obuf + outputs,
        "obuf_write_bits": obuf + outputs,
    }
    core, sram, dram = energies(compute, figures, machine)
    return Result(
        tiling, kind, compute + stalls, compute, stalls, **figures,
        energy_core_nj=core, energy_sram_nj=sram, energy_dram_nj=dram,
    )  # fmt: skip


def energies(compute: int, figures: dict[str, int], machine: Machine) -> tuple[float, float, float]:
    """(core, SRAM, DRAM) energy [nJ] of compute cycles and bits moved."""
    numbers = machine.constants
    core = compute * numbers["core_pj_per_cycle"] / 1e3
    sram = 0.0
    for pad in ("ibuf", "wbuf", "obuf"):
        for way in ("read", "write"):
            sram += figures[f"{pad}_{way}_bits"] * numbers[f"{pad}_{way}_pj_per_bit"]
    dram = figures["dram_read_bits"] + figures["dram_write_bits"]
    return core, sram / 1e3, dram * numbers["dram_pj_per_bit"] / 1e3


def _traffic(
    bits: int, room: int, depends: set[str], order: tuple[str, ...], counts: dict[str, int]
) -> tuple[int, int]:
    """(DRAM bits of a stream, bits of its resident part).

    While a stream is resident, a loop that it does not depend on is free, one that it depends on
    makes it larger; when it outgrows half the buffer every further loop moves it again.
    """
    held, resident = bits, True
    for loop in reversed(order):
        if not resident:
            bits *= counts[loop]
        elif loop in depends:
            bits *= counts[loop]
            if bits > room:
                resident = False
            else:
                held = bits
    return bits, held


def _on_chip(
    product: Product, tiling: Tiling, padded_k: int, padded_n: int
) -> tuple[str, tuple[int, int, int]]:
    """The cheapest of input, output and weight stationary, and its buffer bits of one tile.

    Chosen by padded extents, charged by true ones (activations, weights, outputs one way).
    """
    a = product.a_bits * up(product.w_bits, UNIT_BITS)
    w = product.w_bits * up(product.a_bits, UNIT_BITS)
    out = SUM_BITS * product.passes
    rows = tiling.b
    work = {
        "IS": padded_k * rows * (a + padded_n * (w + out)),
        "OS": padded_n * rows * (out + padded_k * (a + w)),
        "WS": padded_k * padded_n * (w + rows * (a + out)),
    }
    kind = min(work, key=lambda name: work[name])
    ik, io = tiling.b * tiling.ic, tiling.b * tiling.oc
    every = ik * tiling.oc
    if kind == "IS":
        return kind, (ik * a, every * w, every * out)
    if kind == "OS":
        return kind, (every * a, every * w, io * out)
    return kind, (every * a, tiling.ic * tiling.oc * w, every * out)


def _sizes(extent: int, first: int = 1) -> Iterator[int]:
    """first, 2 first, 4 first, ... and the extent itself."""
    size = first
    while size < extent:
        yield size
        size *= 2
    yield extent


def search(product: Product, machine: Machine) -> Result:
    """The published simulator's choice: fewest cycles, energy breaks exact ties.

    Raises:
        MohaqError: not even the smallest tile fits.
    """
    best: Result | None = None
    for b in _sizes(product.rows):
        for ic in _sizes(product.inputs):
            for oc in _sizes(product.outputs, machine.columns):
                for order in ORDERS:
                    found = evaluate(product, Tiling(b, ic, oc, order), machine)
                    if found is None:
                        break
                    if best is None or _better(found, best):
                        best = found
    if best is None:
        raise MohaqError("no tile of this product fits the buffers")
    return best


def _better(one: Result, other: Result) -> bool:
    return (one.total_cycles, one.energy_nj) < (other.total_cycles, other.energy_nj)
