"""The time steps of a recurrence with products: how array and post-processing unit share them.

A step is a row of sections; a section starts when the one before has written its results. In a
section with products the units are cut into chunks, and array and post-processing unit overlap:
slot j holds the array on product j and the operations in front of it, up to the product before.
The weights of a chunk stay in WBUF, or are fetched in every step while the chunk before is
worked on (docs/targets/bitfusion.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mohaq.backends.bitfusion.isa.blocks import Block
from mohaq.backends.bitfusion.isa.instructions import BLOCK_START, Load, PostOp, Product, Store


@dataclass(frozen=True)
class Unit:
    """Numbers of a machine.

    Products that a column adds in a cycle at the operands' widths, columns, lanes, cycles that
    fill the array, latency of a section in cycles, DRAM bits a cycle.
    """

    reach: int
    columns: int
    lanes: int
    fill: int
    latency: int
    port: int


@dataclass(frozen=True)
class Job:
    """One product and the post-processing operations in front of it."""

    k: int
    before: int


@dataclass(frozen=True)
class StepSection:
    """Products in order, and operations after the last one (or all, without products).

    `fetched`: bits of a unit's weights that every step fetches.
    """

    jobs: tuple[Job, ...]
    after: int
    fetched: int = 0


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

    def cycles(self, steps: int) -> int:
        """Cycles of `steps` steps in a row: weights are fetched one chunk ahead."""
        inner = sum(max(b, f) for b, f in zip(self.busy[:-1], self.fetch[1:], strict=True))
        last = self.busy[-1]
        again = (steps - 1) * max(last + self.lead, self.fetch[0])
        return max(self.lead, self.fetch[0]) + steps * inner + again + last


def is_work(op: PostOp) -> bool:
    """Whether an operation takes lanes."""
    return not isinstance(op, (Load, Store, Product))


def sections_of(block: Block) -> tuple[StepSection, ...]:
    """The sections of a block's time step."""
    fetched = {
        move.stream for move in block.loads
        if move.loop != BLOCK_START and block.loops[move.loop].level > 2
    }  # fmt: skip
    found: list[StepSection] = []
    for _, ops in block.sections():
        jobs: list[Job] = []
        pending, weights = 0, dict[int, int]()
        for op in ops:
            if isinstance(op, Product):
                stream = block.streams[op.weight]
                k = next(
                    block.loops[a.loop].extent
                    for a in stream.axes
                    if block.loops[a.loop].level == 3
                )
                jobs.append(Job(k, pending))
                pending = 0
                if op.weight in fetched:
                    weights[op.weight] = k * stream.width
            else:
                pending += is_work(op)
        found.append(StepSection(tuple(jobs), pending, sum(weights.values())))
    return tuple(found)


def step_of(
    sections: Sequence[StepSection], units: int, chunks: Sequence[int], batch: int, unit: Unit
) -> Step:
    """One step of `batch` sequences; `chunks` are the sizes of the chunks of `units`."""
    lead = 0
    busy: list[int] = []
    fetch: list[int] = []
    for section in sections:
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
                array = batch * _up(size, unit.columns) * _up(job.k, unit.reach)
                array += unit.fill if number == place == 0 else 0
                time += max(array, after + job.before * turns)
                after = 0
            after = section.after * turns
            busy.append(time)
            fetch.append(_up(size * section.fetched, unit.port))
        busy[-1] += after + unit.latency
    return Step(lead, tuple(busy), tuple(fetch))


def array_cycles(
    sections: Sequence[StepSection], chunks: Sequence[int], batch: int, unit: Unit
) -> int:
    """Array cycles of one step, with those that fill the array."""
    total = 0
    for section in (s for s in sections if s.jobs):
        total += unit.fill
        for job in section.jobs:
            rounds = sum(_up(size, unit.columns) for size in chunks)
            total += batch * rounds * _up(job.k, unit.reach)
    return total


def ppu_cycles(
    sections: Sequence[StepSection], units: int, chunks: Sequence[int], batch: int, unit: Unit
) -> int:
    """Cycles of the post-processing unit in one step."""
    total = 0
    for section in sections:
        ops = section.after + sum(job.before for job in section.jobs)
        sizes = chunks if section.jobs else (units,)
        total += ops * sum(_up(batch * size, unit.lanes) for size in sizes) + unit.latency
    return total


def _up(x: int, y: int) -> int:
    return -(-x // y)
