"""Counts of a recurrence with products, in closed form (docs/targets/bitfusion.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mohaq.backends.bitfusion.counters import INDEX
from mohaq.backends.bitfusion.isa.blocks import CHUNKS, PART_BITS, Block
from mohaq.backends.bitfusion.isa.instructions import BLOCK_START, Product
from mohaq.backends.bitfusion.machine import Machine
from mohaq.backends.bitfusion.schedule.steps import (
    Unit,
    array_cycles,
    inputs_of,
    ppu_cycles,
    sections_of,
    stage_of,
    step_of,
)

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class StepCounts:
    """Figures of the stages, each a chunk of steps of a tile of sequences: [1, J, K].

    Cycles that a stage takes, array and post-processing cycles, bits fetched meanwhile.
    """

    busy: Counts
    array: Counts
    ppu: Counts
    fetched: Counts


def unit_of(machine: Machine) -> Unit:
    """The numbers that time steps depend on."""
    return Unit(
        machine.columns,
        machine.lanes,
        machine.rows + machine.columns,
        machine.whole("ppu_step_latency"),
        machine.port,
    )


def count_steps(
    block: Block, batches: Counts, steps: Counts, counts: Counts, machine: Machine
) -> StepCounts:
    """Add what the products count; give the stages.

    Args:
        block: a scan with products.
        batches: sequences of each tile [J].
        steps: steps of each chunk [K].
        counts: [len(COUNTERS)], added to.
        machine: the target.

    Returns:
        arrays [1, J, K].
    """
    unit = unit_of(machine)
    sections = sections_of(block, machine)
    units = block.columns.extent
    chunk = next((p.step for p in block.level(CHUNKS)), units)
    sizes = [min(chunk, units - at) for at in range(0, units, chunk)]
    shape = (1, len(batches), len(steps))
    busy, array, ppu = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    for batch in np.unique(batches).tolist():
        step = step_of(sections, units, sizes, batch, unit)
        mine = batches == batch
        for length in np.unique(steps).tolist():
            place = mine[:, None] & (steps == length)[None, :]
            before = stage_of(sections, units, batch * length, unit)
            busy[0][place] = step.cycles(length, before)
            array[0][place] = array_cycles(sections, sizes, batch, length, unit)
            ppu[0][place] = ppu_cycles(sections, sizes, batch, length, unit)
    per_step = sum(s.fetched for s in sections) * units
    fetched = np.zeros(shape, dtype=np.int64)
    fetched[0] = per_step * steps[None, :]
    times = int(steps.sum())
    rows = int(batches.sum()) * times
    for loop, one in _products(block):
        whole = loop == block.post_loop
        parts = [units] if whole else sizes
        groups = sum(-(-size // machine.columns) for size in parts)
        act, weight = block.streams[one.act], block.streams[one.weight]
        k = inputs_of(block, one)
        width = PART_BITS if one.part else act.width
        counts[INDEX[f"{act.pad.name.lower()}_read_bits"]] += rows * k * groups * width
        counts[INDEX["wbuf_read_bits"]] += rows * units * k * weight.width
        counts[INDEX["obuf_write_bits"]] += rows * units * 32
        counts[INDEX["macs"]] += rows * units * k
        runs = len(steps) if whole else times * len(sizes)
        counts[INDEX["mac_passes"]] += len(batches) * runs
    counts[INDEX["wbuf_write_bits"]] += int(fetched.sum())
    return StepCounts(busy, array, ppu, fetched)


def _products(block: Block) -> list[tuple[int, Product]]:
    """All products with the loop of their section."""
    return [(loop, op) for loop, ops in block.sections() for op in ops if isinstance(op, Product)]


def is_fetched(block: Block, loop: int) -> bool:
    """Whether a transfer of a loop belongs to the time steps."""
    return loop != BLOCK_START and block.loops[loop].level == CHUNKS
