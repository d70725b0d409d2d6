"""Tile sizes: a small exhaustive search that honours the banks of every scratchpad.

Candidates are judged by closed figures for `NOMINAL_ROWS` rows: cycles (the largest of array,
post-processing and DRAM time, plus the first fill and the last drain), energy, DRAM traffic. Of
the Pareto-optimal ones the lowering makes blocks, counts them exactly and takes the one that
`prefer` wants (`front.pick`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from mohaq.backends.base import NoRoom
from mohaq.backends.bitfusion.isa.instructions import Pad
from mohaq.backends.bitfusion.machine import Machine
from mohaq.backends.bitfusion.schedule.front import Choice, pareto

NOMINAL_ROWS = 256
"""Rows that tile sizes are chosen for; programs run with any number."""

ROW_STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
LANE_TURNS = 4
"""A scan tile fills the lanes at least so often, where batch and channels allow."""

MAX_CHUNK = 64
"""Most time steps in one chunk of a scan, most rows in one tile of a stream block."""


@dataclass(frozen=True)
class Phase:
    """Products that share their reduction: K, bits of activations and weights per element."""

    k: int
    act_bits: int
    weight_bits: int
    passes: int


@dataclass(frozen=True)
class GemmShape:
    """What the tile sizes of a matrix block depend on.

    `out_bits` are stored bits of one result element, `vector_bits` the bits of all vectors of
    one column, `fixed_bits` what PBUF holds besides (tables).
    """

    n: int
    a_bits: int
    w_bits: int
    phases: tuple[Phase, ...]
    out_bits: int
    vector_bits: int
    fixed_bits: int
    post_ops: int


@dataclass(frozen=True)
class GemmTiles:
    """Tile sizes; `columns_outer` says that channels are the outer loop, rows the inner."""

    rows: int
    columns: int
    k: tuple[int, ...]
    columns_outer: bool


PRICES = (
    "dram_pj_per_bit", "ibuf_write_pj_per_bit", "wbuf_write_pj_per_bit", "ibuf_read_pj_per_bit",
    "obuf_read_pj_per_bit", "obuf_write_pj_per_bit",
)  # fmt: skip


@dataclass(frozen=True)
class TileTask:
    """Machine numbers that tiles depend on, hashable for the cache."""

    ibuf: int
    obuf: int
    wbuf: int
    pbuf: int
    port: int
    lanes: int
    columns: int
    reach: int
    prefer: str
    prices: tuple[float, ...]
    """pJ a bit: DRAM, writes to IBUF and WBUF, reads of IBUF, reads and writes of OBUF."""

    @staticmethod
    def of(machine: Machine, a_bits: int, w_bits: int, prefer: str) -> TileTask:
        """The numbers of a machine at a precision."""
        lanes = machine.lanes_of(a_bits, w_bits) if a_bits else 1
        return TileTask(
            machine.capacity(Pad.IBUF),
            machine.capacity(Pad.OBUF),
            machine.capacity(Pad.WBUF),
            machine.capacity(Pad.PBUF),
            machine.port,
            machine.lanes,
            machine.columns,
            machine.rows * lanes,
            prefer,
            tuple(machine.constants[name] for name in PRICES),
        )


def _up(x: int, y: int) -> int:
    return -(-x // y)


def _k_tiles(phases: tuple[Phase, ...], task: TileTask) -> Iterator[tuple[int, ...]]:
    """K tiles of all phases: 1, 2, 3, ... equal pieces, rounded up to whole array reaches."""
    seen: set[tuple[int, ...]] = set()
    for pieces in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 1024, 1 << 20):
        cut = tuple(
            min(p.k, _up(_up(p.k, pieces), task.reach) * task.reach if pieces < 1 << 20 else 1)
            for p in phases
        )
        if cut not in seen:
            seen.add(cut)
            yield cut


def _column_tiles(n: int, columns: int) -> list[int]:
    found = {n, 1}
    size = columns
    while size < n:
        found.add(size)
        size *= 2
    found.update(c for c in (columns // 2, columns // 4) if 0 < c < n)
    return sorted(found)


@lru_cache(maxsize=4096)
def gemm_front(shape: GemmShape, task: TileTask) -> tuple[Choice[GemmTiles], ...]:
    """Pareto-optimal tile sizes of a matrix block by closed figures, fastest first.

    Raises:
        MohaqError: not even one element fits the buffers.
    """
    found: list[Choice[GemmTiles]] = []
    accumulators = sum(p.passes for p in shape.phases)
    for columns in _column_tiles(shape.n, task.columns):
        if columns * shape.vector_bits + shape.fixed_bits > task.pbuf:
            continue
        per_row = columns * (32 * accumulators + shape.out_bits)
        for k in _k_tiles(shape.phases, task):
            weights = max(
                columns * kt * p.weight_bits for kt, p in zip(k, shape.phases, strict=True)
            )
            if _held(shape, k, columns, weights=True) > task.wbuf:
                continue
            act = _held(shape, k, 1, weights=False)
            rows = min(task.obuf // per_row, task.ibuf // act)
            if rows < 1 or weights < 1:
                continue
            for size in {rows, *(s for s in ROW_STEPS if rows // 4 < s < rows)}:
                for outer in (False, True):
                    tiles = GemmTiles(min(size, 4096), columns, k, outer)
                    found.append(Choice(*_figures(shape, tiles, task), tiles))
    if not found:
        raise NoRoom(
            "no tile of a matrix product fits the target's buffers",
            why=f"{shape.n} outputs, reductions of {[p.k for p in shape.phases]}",
        )
    return pareto(found)


def _held(shape: GemmShape, k: tuple[int, ...], per: int, *, weights: bool) -> int:
    """Bits that the tiles of all phases hold in a bank at once."""
    return sum(
        per * kt * (p.weight_bits if weights else p.act_bits)
        for kt, p in zip(k, shape.phases, strict=True)
    )


def _figures(shape: GemmShape, tiles: GemmTiles, task: TileTask) -> tuple[float, float, float]:
    """(cycles, energy in pJ of what depends on tiles, DRAM bits) for `NOMINAL_ROWS` rows."""
    rows, n = NOMINAL_ROWS, shape.n
    row_tiles, column_tiles = _up(rows, tiles.rows), _up(n, tiles.columns)
    whole = all(kt == p.k for kt, p in zip(tiles.k, shape.phases, strict=True))
    stays = tiles.columns_outer or column_tiles == 1
    groups = (column_tiles - 1) * _up(tiles.columns, task.columns) + _up(
        n - (column_tiles - 1) * tiles.columns, task.columns
    )
    dram, to_ibuf, to_wbuf, from_ibuf, from_obuf, to_obuf = task.prices
    array = post = traffic = 0
    energy = 0.0
    for p, kt in zip(shape.phases, tiles.k, strict=True):
        full, rest = divmod(p.k, kt)
        array += rows * groups * p.passes * (full * _up(kt, task.reach) + _up(rest, task.reach))
        act_times = 1 if whole and not tiles.columns_outer else column_tiles
        weight_times = 1 if whole and stays else row_tiles
        acts = rows * p.k * p.act_bits * act_times
        weights = n * p.k * p.weight_bits * weight_times
        traffic += acts + weights
        energy += acts * to_ibuf + weights * to_wbuf
        energy += rows * p.k * groups * p.passes * shape.a_bits * from_ibuf
        sums = rows * n * 32 * p.passes
        energy += sums * (_up(p.k, kt) * (from_obuf + to_obuf) - from_obuf)
    traffic += rows * n * shape.out_bits
    traffic += n * shape.vector_bits * (1 if stays else row_tiles)
    tile = min(tiles.rows, rows) * min(tiles.columns, n)
    post = row_tiles * column_tiles * shape.post_ops * _up(tile, task.lanes)
    first = min(tiles.rows, rows) * tiles.k[0] * shape.phases[0].act_bits
    first += tiles.columns * tiles.k[0] * shape.phases[0].weight_bits
    edge = first + tile * shape.out_bits
    cycles = max(array, post, _up(traffic, task.port)) + _up(edge, task.port)
    cycles += shape.post_ops * _up(tile, task.lanes)
    return float(cycles), energy + traffic * dram, float(traffic)


def stream_tiles(
    channels: int, in_bits: int, out_bits: int, vector_bits: int, fixed_bits: int, task: TileTask
) -> tuple[int, int]:
    """(rows, columns) of an elementwise block: whole rows if they fit, then as many as fit.

    Raises:
        MohaqError: not even one element fits the buffers.
    """
    columns = min(channels, task.ibuf // max(1, in_bits), task.obuf // max(1, out_bits))
    if vector_bits:
        columns = min(columns, (task.pbuf - fixed_bits) // vector_bits)
    if columns < 1 or fixed_bits > task.pbuf:
        raise NoRoom("no tile of an elementwise operation fits the target's buffers")
    rows = min(
        task.ibuf // max(1, in_bits * columns), task.obuf // max(1, out_bits * columns), MAX_CHUNK
    )
    return rows, columns


@dataclass(frozen=True)
class ScanShape:
    """What the tiles of a recurrence depend on.

    Bits of one unit of one sequence: step inputs, step outputs, states with captured values; of
    one unit: vectors; of the whole tile: tables.
    """

    hidden: int
    in_bits: int
    out_bits: int
    state_bits: int
    vector_bits: int
    fixed_bits: int


def scan_tiles(shape: ScanShape, task: TileTask) -> tuple[int, int, int]:
    """(units, sequences, steps) of a scan block.

    All units if they fit; the fewest sequences that fill the lanes `LANE_TURNS` times; then as
    many steps as fit, at most `MAX_CHUNK`.

    Raises:
        MohaqError: not even one unit fits the buffers.
    """
    room = task.pbuf - shape.fixed_bits
    units = min(
        shape.hidden,
        room // max(1, shape.vector_bits + shape.state_bits),
        task.ibuf // max(1, shape.in_bits),
        task.obuf // max(1, shape.out_bits),
    )
    if units < 1:
        raise NoRoom("no tile of a recurrence fits the target's buffers")
    batch = _up(LANE_TURNS * task.lanes, units)
    left = room - units * shape.vector_bits
    batch = min(batch, left // max(1, units * shape.state_bits))
    batch = min(batch, task.ibuf // max(1, units * shape.in_bits))
    batch = max(1, min(batch, task.obuf // max(1, units * shape.out_bits)))
    tile = units * batch
    steps = min(
        task.ibuf // max(1, tile * shape.in_bits), task.obuf // max(1, tile * shape.out_bits)
    )
    return units, batch, max(1, min(steps, MAX_CHUNK))
