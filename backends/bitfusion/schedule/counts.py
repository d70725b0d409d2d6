"""Counts of a block for a launch, in closed form over its tiles (docs/targets/bitfusion.md).

Works from the block's structure alone; nothing is executed. The simulator counts the same
figures on its own while it executes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import Workload
from mohaq.backends.bitfusion.counters import COUNTERS, INDEX
from mohaq.backends.bitfusion.isa.blocks import Block, Stream
from mohaq.backends.bitfusion.isa.instructions import (
    BLOCK_START,
    Extent,
    Load,
    Lookup,
    LoopOf,
    Pad,
    Store,
)
from mohaq.backends.bitfusion.machine import Machine
from mohaq.backends.bitfusion.schedule.step_counts import StepCounts, count_steps, is_fetched
from mohaq.backends.bitfusion.schedule.steps import is_work
from mohaq.compiler.diagnostics import MohaqError

Counts = npt.NDArray[np.int64]

TABLE_READ_BITS = 32
"""A lookup reads two neighbouring 16-bit points."""


def extent_of(loop: LoopOf, workload: Workload) -> int:
    """Extent of a loop at launch.

    Raises:
        MohaqError: more rows than the program was compiled for.
    """
    value = {
        Extent.FIXED: loop.extent,
        Extent.ROWS: workload.frames * workload.batch,
        Extent.BATCH: workload.batch,
        Extent.STEPS: workload.frames,
    }[Extent(loop.source)]
    if value > loop.extent:
        raise MohaqError(
            f"{workload.frames} steps of {workload.batch} sequences are too many rows",
            why=f"the program was compiled for {loop.extent}",
            hint="compile with a larger max_rows or run shorter pieces",
        )
    return value


def tiles_of(loop: LoopOf, workload: Workload) -> Counts:
    """Sizes of a loop's tiles: `step`, the last one clamped."""
    extent = extent_of(loop, workload)
    count = -(-extent // loop.step)
    sizes = np.full(count, loop.step, dtype=np.int64)
    sizes[-1] = extent - (count - 1) * loop.step
    return sizes


@dataclass
class _Nest:
    """Tile sizes of all loops laid along the block's stage axes.

    Stages are [outer, middle, inner]; `inner` runs over the tiles of all level-2 loops one
    after the other (one stage when there are none).
    """

    block: Block
    sizes: dict[int, Counts]

    def __post_init__(self) -> None:
        self.outer = self.block.level(0)[0]
        self.middle = self.block.level(1)[0]
        self.inner = self.block.level(2)
        counts = [len(self.sizes[p.id]) for p in self.inner]
        self.starts = {p.id: sum(counts[:i]) for i, p in enumerate(self.inner)}
        self.depth = max(1, sum(counts))
        self.shape = (len(self.sizes[self.outer.id]), len(self.sizes[self.middle.id]), self.depth)

    def along(self, loop: int) -> Counts:
        """Sizes of a loop broadcast over the stages (0 where an inner loop does not run)."""
        sizes = self.sizes[loop]
        if loop == self.outer.id:
            return sizes[:, None, None]
        if loop == self.middle.id:
            return sizes[None, :, None]
        if loop in self.starts:
            full = np.zeros(self.depth, dtype=np.int64)
            full[self.starts[loop] : self.starts[loop] + len(sizes)] = sizes
            return full[None, None, :]
        return sizes.reshape(1, 1, 1)

    def when(self, loop: int, *, end: bool) -> npt.NDArray[np.bool_]:
        """Stages in which a transfer of a loop fires: at the start or end of its iterations."""
        last = -1 if end else 0
        fires = np.zeros(self.shape, dtype=bool)
        if loop == BLOCK_START:
            fires[last, last, last] = True
        elif loop == self.outer.id:
            fires[:, last, last] = True
        elif loop == self.middle.id:
            fires[:, :, last] = True
        else:
            start = self.starts[loop]
            fires[:, :, start : start + len(self.sizes[loop])] = True
        return fires

    def elements(self, stream: Stream) -> Counts:
        """Elements of a stream's tile in each stage.

        A loop inside the one that fires the transfer has a single tile (checked by the
        simulator), so its first size stands for all.
        """
        total = np.ones(self.shape, dtype=np.int64)
        for axis in stream.axes:
            if axis.loop in self.starts and len(self.sizes[axis.loop]) == 1:
                total = total * self.sizes[axis.loop][0]
            else:
                total = total * self.along(axis.loop)
        return total


def count_block(block: Block, workload: Workload, machine: Machine) -> Counts:
    """Counts [len(COUNTERS)] of one block."""
    return walk_block(block, workload, machine)[0]


def walk_block(block: Block, workload: Workload, machine: Machine) -> tuple[Counts, Slots]:
    """Counts [len(COUNTERS)] of one block, and what its units do slot by slot."""
    nest = _Nest(block, {p.id: tiles_of(p, workload) for p in block.loops})
    counts = np.zeros(len(COUNTERS), dtype=np.int64)
    load, store, brought, kept = (np.zeros(nest.shape, dtype=np.int64) for _ in range(4))
    rows = workload.frames * workload.batch
    steps = _count_products(block, nest, counts, machine)
    for move in block.loads:
        if is_fetched(block, move.loop):
            continue
        stream = block.streams[move.stream]
        bits = nest.elements(stream) * nest.when(move.loop, end=False) * stream.width
        if pad := _held_in(block, stream, rows):
            brought += bits
            _add(counts, f"{pad}_read_bits", bits)
        else:
            load += bits
        _add(counts, f"{stream.pad.name.lower()}_write_bits", bits)
    for out in block.stores:
        stream = block.streams[out.stream]
        bits = nest.elements(stream) * nest.when(out.loop, end=True) * stream.width
        if pad := _held_in(block, stream, rows):
            kept += bits
            _add(counts, f"{pad}_write_bits", bits)
        else:
            store += bits
        _add(counts, f"{stream.pad.name.lower()}_read_bits", bits)
    _add(counts, "dram_read_bits", load)
    _add(counts, "dram_write_bits", store)
    _add(counts, "chip_bits", brought + kept)
    array = _count_array(block, nest, counts, machine)
    ppu = _count_post(block, nest, counts, machine)
    busy, fetched = ppu, np.zeros(nest.shape, dtype=np.int64)
    if steps:
        array, ppu, busy, fetched = steps.array, steps.ppu, steps.busy, steps.fetched
        _add(counts, "dram_read_bits", fetched)
    _add(counts, "array_cycles", array)
    _add(counts, "ppu_cycles", ppu)
    stages = [x.reshape(-1) for x in (load, array, busy, store, fetched, brought, kept)]
    slots = slots_of(stages, machine, with_array=bool(block.passes))
    counts[INDEX["cycles"]] = int(slots.length.sum())
    return counts, slots


def _held_in(block: Block, stream: Stream, rows: int) -> str | None:
    """The scratchpad that holds what a stream moves in a run of so many rows, if any does."""
    hold = block.hold_of(stream)
    return Pad(hold.pad).name.lower() if hold is not None and rows <= hold.rows else None


def _count_products(
    block: Block, nest: _Nest, counts: Counts, machine: Machine
) -> StepCounts | None:
    if not block.products:
        return None
    batches, steps = nest.sizes[nest.middle.id], nest.sizes[block.post_loop]
    return count_steps(block, batches, steps, counts, machine)


def _add(counts: Counts, name: str, values: Counts) -> None:
    counts[INDEX[name]] += int(values.sum())


def _count_array(block: Block, nest: _Nest, counts: Counts, machine: Machine) -> Counts:
    """Array cycles of each stage, and the counters of the multiply-accumulates."""
    cycles = np.zeros(nest.shape, dtype=np.int64)
    if not block.passes:
        return cycles
    reach = machine.rows * machine.lanes_of(block.a_bits, block.w_bits)
    row = next(p for p in block.loops if p.level < 2 and p.source != Extent.FIXED)
    r, n = nest.along(row.id), nest.along(block.columns.id)
    groups = -(-n // machine.columns)
    first: set[int] = set()
    for one in block.passes:
        k = nest.along(one.loop)
        runs = np.broadcast_to(k > 0, nest.shape)
        cycles += r * groups * -(-k // reach)
        _add(counts, "macs", r * n * k)
        counts[INDEX["mac_passes"]] += int(runs.sum())
        _add(counts, "ibuf_read_bits", r * k * groups * block.a_bits)
        _add(counts, "wbuf_read_bits", r * n * k * block.w_bits)
        _add(counts, "obuf_write_bits", r * n * runs * 32)
        _add(counts, "obuf_read_bits", r * n * runs * 32)
        if one.acc not in first:
            # The first sum into an accumulator does not read it.
            first.add(one.acc)
            begin = np.zeros(nest.depth, dtype=np.int64)
            begin[nest.starts[one.loop]] = 1
            counts[INDEX["obuf_read_bits"]] -= int((r * n * 32 * begin[None, None, :]).sum())
    cycles[0, 0, 0] += machine.rows + machine.columns
    return cycles


def _count_post(block: Block, nest: _Nest, counts: Counts, machine: Machine) -> Counts:
    """Cycles of the post-processing unit in each stage, and its counters."""
    ops = sum(is_work(op) for op in block.post)
    outer, middle = nest.along(nest.outer.id), nest.along(nest.middle.id)
    tile = outer * middle
    times = np.zeros(nest.shape, dtype=np.int64)
    if block.is_scan:
        times[:] = nest.along(block.post_loop)
    else:
        times[:, :, -1] = 1
    work = tile * times
    _add(counts, "ppu_ops", work * ops)
    for op in block.post:
        if isinstance(op, (Load, Store)):
            stream = block.streams[op.stream]
            action = "read" if isinstance(op, Load) else "write"
            _add(counts, f"{stream.pad.name.lower()}_{action}_bits", work * stream.width)
        elif isinstance(op, Lookup):
            pad = block.streams[op.table].pad
            assert pad == Pad.PBUF
            _add(counts, "pbuf_read_bits", work * TABLE_READ_BITS)
    latency = machine.whole("ppu_step_latency") if block.is_scan else 0
    return times * (ops * -(-tile // machine.lanes) + latency)


@dataclass(frozen=True)
class Slots:
    """Cycles that the units of one block work in each slot [S].

    `array`: of tiles of products (of time steps: what array and PPU take together counts as
    `ppu`); `port`: of the DRAM port, for all that it moves; `path`: between scratchpads, for
    values that stay on chip.
    """

    array: Counts
    ppu: Counts
    port: Counts
    path: Counts

    @property
    def length(self) -> Counts:
        """Cycles of each slot: all units leave it together."""
        units = np.stack([self.array, self.ppu, self.port, self.path])
        longest: Counts = units.max(axis=0)
        return longest


def slots_of(stages: Sequence[Counts], machine: Machine, *, with_array: bool) -> Slots:
    """The slots of one block, which all units leave together.

    `stages` are, by stage: bits loaded before it, array cycles, cycles of post-processing (of
    time steps with products: all that they take), bits stored after it, bits fetched during it,
    bits of held values brought before it and kept after it.

    With the array a slot holds: array on stage j, post-processing of j-1, and on the DRAM port
    the load of j+1 and the store of j-2. Without it: post-processing of j, load of j+1, store
    of j-1. What stays on chip moves beside the port, at the same times.
    """
    load, array, ppu, store, fetched, brought, kept = stages
    depth = 2 if with_array else 1
    count = len(load)
    slots = count + depth + 1

    def shifted(values: Counts, by: int) -> Counts:
        line = np.zeros(slots, dtype=np.int64)
        line[by : by + count] = values
        return line

    bits = shifted(load, 0) + shifted(store, depth + 1) + shifted(fetched, depth)
    chip = shifted(brought, 0) + shifted(kept, depth + 1)
    worked = shifted(array, 1) if with_array else np.zeros(slots, dtype=np.int64)
    return Slots(worked, shifted(ppu, depth), -(-bits // machine.port), -(-chip // machine.path))
