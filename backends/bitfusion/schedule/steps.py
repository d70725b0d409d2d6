"""The time steps of a recurrence with products: how array and post-processing unit share them.

Sections over all steps of a stage come first: the products that do not wait for the recurrence. A
step is a row of sections; a section starts when the one before has written its results. In a
section with products the units are cut into chunks, and array and post-processing unit overlap:
slot j holds the array on product j and the operations in front of it, up to the product before.
The weights of a chunk stay in WBUF, or are fetched in every step while the chunk before is
worked on (docs/targets/bitfusion.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mohaq.backends.bitfusion.isa.blocks import EXTENTS, PART_BITS, Block
from mohaq.backends.bitfusion.isa.instructions import (
    BLOCK_START,
    Load,
    PostOp,
    Product,
    Section,
    State,
    Store,
)
from mohaq.backends.bitfusion.machine import Machine


@dataclass(frozen=True)
class Unit:
    """Numbers of a machine.

    Columns of the array, lanes, cycles that fill the array, latency of a section in cycles, DRAM
    bits a cycle.
    """

    columns: int
    lanes: int
    fill: int
    latency: int
    port: int


@dataclass(frozen=True)
class Job:
    """One product and the post-processing operations in front of it.

    `reach`: products that a column adds in a cycle at the operands' widths.
    """

    k: int
    before: int
    reach: int


@dataclass(frozen=True)
class StepSection:
    """Products in order, and operations after the last one (or all, without products).

    `fetched`: bits of a unit's weights that every step fetches; `whole`: it runs once for all
    steps of a stage.
    """

    jobs: tuple[Job, ...]
    after: int
    fetched: int = 0
    whole: bool = False


@dataclass(frozen=True)
class Step:
    """One time step of a tile of sequences, in cycles.

    `lead`: before the first chunk with products; `busy`: from the start of one chunk to that of
    the next, the last one up to the end of the step; `fetch`: cycles of the port for the weights
    of each chunk.
    """

    lead: int
    busy: tuple[int, ...]
    fetch: tuple[int, ...]

    def cycles(self, steps: int, before: int = 0) -> int:
        """Cycles of `steps` steps in a row: weights are fetched one chunk ahead.

        before: what comes in front of the first one.
        """
        if not self.busy:
            return before + steps * self.lead
        inner = sum(max(b, f) for b, f in zip(self.busy[:-1], self.fetch[1:], strict=True))
        last = self.busy[-1]
        again = (steps - 1) * max(last + self.lead, self.fetch[0])
        return max(before + self.lead, self.fetch[0]) + steps * inner + again + last


def is_work(op: PostOp) -> bool:
    """Whether an operation takes lanes."""
    return not isinstance(op, (Load, Store, State, Section, Product))


def sections_of(block: Block, machine: Machine) -> tuple[StepSection, ...]:
    """The sections of a block's stages and steps."""
    fetched = {
        move.stream for move in block.loads
        if move.loop != BLOCK_START and block.loops[move.loop].level > 2
    }  # fmt: skip
    found: list[StepSection] = []
    for loop, ops in block.sections():
        jobs: list[Job] = []
        pending, weights = 0, dict[int, int]()
        for op in ops:
            if isinstance(op, Product):
                act, stream = block.streams[op.act], block.streams[op.weight]
                k = inputs_of(block, op)
                width = PART_BITS if op.part else act.width
                jobs.append(Job(k, pending, reach_of(machine, width, stream.width)))
                pending = 0
                if op.weight in fetched:
                    weights[op.weight] = k * stream.width
            else:
                pending += is_work(op)
        whole = loop == block.post_loop
        found.append(StepSection(tuple(jobs), pending, sum(weights.values()), whole))
    return tuple(found)


def inputs_of(block: Block, product: Product) -> int:
    """Inputs that a product of a scan sums over."""
    weight = block.streams[product.weight]
    loops = (block.loops[axis.loop] for axis in weight.axes)
    return next(loop.extent for loop in loops if loop.level == EXTENTS)


def reach_of(machine: Machine, a_bits: int, w_bits: int) -> int:
    """Products that a column of the array adds in a cycle."""
    return machine.rows * machine.lanes_of(a_bits, w_bits)


def stage_of(sections: Sequence[StepSection], units: int, rows: int, unit: Unit) -> int:
    """Cycles of the sections over all steps of a stage; `rows` are steps times sequences."""
    total = 0
    turns = _up(rows * units, unit.lanes)
    for section in (s for s in sections if s.whole):
        for place, job in enumerate(section.jobs):
            array = rows * _up(units, unit.columns) * _up(job.k, job.reach)
            array += unit.fill if place == 0 else 0
            total += max(array, job.before * turns)
        total += section.after * turns + unit.latency
    return total


def step_of(
    sections: Sequence[StepSection], units: int, chunks: Sequence[int], batch: int, unit: Unit
) -> Step:
    """One step of `batch` sequences; `chunks` are the sizes of the chunks of `units`."""
    lead = 0
    busy: list[int] = []
    fetch: list[int] = []
    for section in (s for s in sections if not s.whole):
        if not section.jobs:
            spent = section.after * _up(batch * units, unit.lanes) + unit.latency
            if busy:
                busy[-1] += spent
            else:
                lead += spent
            continue
        after = 0
        for number, size in enumerate(chunks):
            turns = _up(batch * size, unit.lanes)
            time = 0
            for place, job in enumerate(section.jobs):
                array = batch * _up(size, unit.columns) * _up(job.k, job.reach)
                array += unit.fill if number == place == 0 else 0
                time += max(array, after + job.before * turns)
                after = 0
            after = section.after * turns
            busy.append(time)
            fetch.append(_up(size * section.fetched, unit.port))
        busy[-1] += after + unit.latency
    return Step(lead, tuple(busy), tuple(fetch))


def array_cycles(
    sections: Sequence[StepSection],
    chunks: Sequence[int],
    batch: int,
    steps: int,
    unit: Unit,
) -> int:
    """Array cycles of a stage, with those that fill the array."""
    total = 0
    for section in (s for s in sections if s.jobs):
        total += unit.fill * (1 if section.whole else steps)
        for job in section.jobs:
            sizes = [sum(chunks)] if section.whole else chunks
            rounds = sum(_up(size, unit.columns) for size in sizes)
            total += batch * steps * rounds * _up(job.k, job.reach)
    return total


def ppu_cycles(
    sections: Sequence[StepSection], chunks: Sequence[int], batch: int, steps: int, unit: Unit
) -> int:
    """Cycles of the post-processing unit in a stage."""
    total = 0
    for section in sections:
        ops = section.after + sum(job.before for job in section.jobs)
        if section.whole:
            total += ops * _up(batch * steps * sum(chunks), unit.lanes) + unit.latency
            continue
        sizes = chunks if section.jobs else (sum(chunks),)
        turns = sum(_up(batch * size, unit.lanes) for size in sizes)
        total += steps * (ops * turns + unit.latency)
    return total


def _up(x: int, y: int) -> int:
    return -(-x // y)
