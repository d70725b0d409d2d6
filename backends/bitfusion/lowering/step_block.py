"""A recurrence with products: sections of a time step on the array and the PPU.

A product reads all units of its operand, so what feeds one is written by the section before.
Every operation runs in the last section that it may, and values that a later section reads go
through a scratchpad.
"""

from __future__ import annotations

from xdsl.ir import Operation, SSAValue

from mohaq.backends.bitfusion.isa.blocks import CHUNKS, EXTENTS, Axis
from mohaq.backends.bitfusion.isa.instructions import (
    BLOCK_START,
    Extent,
    LoopOf,
    Pad,
    PostOp,
    Product,
    Section,
)
from mohaq.backends.bitfusion.lowering.microcode import Microprogram
from mohaq.backends.bitfusion.lowering.placement import storage_bits
from mohaq.backends.bitfusion.lowering.scan_block import BATCH, STEPS, UNITS, ScanBuilder
from mohaq.backends.bitfusion.lowering.tile_blocks import TABLE_BITS
from mohaq.backends.bitfusion.schedule.step_counts import unit_of
from mohaq.backends.bitfusion.schedule.step_tiles import StepShape, step_tiles
from mohaq.backends.bitfusion.schedule.steps import Job, StepSection
from mohaq.backends.bitfusion.schedule.tiling import TileTask
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.qnn.table import TABLE_SIZE
from mohaq.compiler.dialects.types import int_width, shape_of

CHUNK, INPUTS, TABLE_POINTS = 3, 4, 5
"""Loop ids beside those of every scan."""

ACCUMULATOR = 32


def _operand(op: qnn.MatmulOp) -> tuple[SSAValue, int]:
    """(value, part) that a product reads: 0 whole, 1 low byte, 2 high byte."""
    owner = op.input.owner
    if isinstance(owner, qnn.SplitOp):
        return owner.input, 2 if op.input is owner.high else 1
    return op.input, 0


def _reads(op: Operation) -> list[SSAValue]:
    """Values that an operation reads, without constants."""
    given = [_operand(op)[0]] if isinstance(op, qnn.MatmulOp) else list(op.operands)
    return [v for v in given if not isinstance(v.owner, LoadOp)]


def _symbol(op: qnn.MatmulOp) -> str:
    if not isinstance(op.weight.owner, LoadOp):
        raise MohaqError("Bit Fusion needs the weights of 'qnn.matmul' to be a parameter")
    return op.weight.owner.symbol


def cut_sections(ops: tuple[Operation, ...]) -> list[list[Operation]]:
    """Operations by section, in their order."""
    maker: dict[SSAValue, Operation] = {r: op for op in ops for r in op.results}
    first: dict[Operation, int] = {}
    for op in ops:
        waits = isinstance(op, qnn.MatmulOp)
        first[op] = max((first[maker[v]] + waits for v in _reads(op) if v in maker), default=0)
    count = max(first.values()) + 1
    last = dict.fromkeys(ops, count - 1)
    for op in reversed(ops):
        for value in _reads(op):
            if value in maker:
                before = last[op] - isinstance(op, qnn.MatmulOp)
                last[maker[value]] = min(last[maker[value]], before)
    return [[op for op in ops if last[op] == number] for number in range(count)]


class StepBuilder(ScanBuilder):
    """Builds the block of a recurrence with products."""

    def _loops(self) -> list[LoopOf]:
        body, low = self.body, self.low
        self.sections = cut_sections(body.ops)
        self.passed = self._passed()
        self.widths = self._widths()
        self.points = TABLE_POINTS
        symbols = {_symbol(p): low.constants[_symbol(p)].width for p in body.products}
        held = [storage_bits(int_width(s)[0]) for s in body.states]
        operands = {_operand(p)[0] for p in body.products}
        temps = dict.fromkeys(Pad, 0)
        for value, pad in self.passed.items():
            temps[pad] += storage_bits(int_width(value)[0])
        shape = StepShape(
            self.hidden,
            sum(low.view(v).width for v in body.scan.inputs),
            temps[Pad.IBUF],
            sum(low.view(v).width for v in self.sequences if list(v.uses)),
            sum(held) * (2 if body.scan.init else 1)
            # The product of a later chunk reads what an earlier one replaces.
            + sum(w for s, w in zip(body.states, held, strict=True) if s in operands)
            + sum(low.view(v).width for v in body.captured)
            + temps[Pad.PBUF],
            sum(self._region(v).width for v in body.vectors),
            self.hidden * sum(symbols.values()),
            len(body.tables) * TABLE_BITS,
            tuple(self._section(ops) for ops in self.sections),
        )
        task = TileTask.of(low.machine, *self.widths, low.prefer)
        self.tiles = step_tiles(shape, task, unit_of(low.machine, *self.widths))
        top = low.memory.max_rows
        loops = [
            LoopOf(UNITS, 0, Extent.FIXED, self.hidden, self.hidden),
            LoopOf(BATCH, 1, Extent.BATCH, top, min(self.tiles.batch, top)),
            LoopOf(STEPS, 2, Extent.STEPS, top, min(self.tiles.steps, top)),
            LoopOf(CHUNK, CHUNKS, Extent.FIXED, self.hidden, self.tiles.chunk),
            LoopOf(INPUTS, EXTENTS, Extent.FIXED, self.hidden, self.hidden),
        ]
        if body.tables:
            loops.append(LoopOf(TABLE_POINTS, EXTENTS, Extent.FIXED, TABLE_SIZE, TABLE_SIZE))
        return loops

    def _passed(self) -> dict[SSAValue, Pad]:
        """Values that a later section reads, and the scratchpad they go through."""
        place = {op: n for n, ops in enumerate(self.sections) for op in ops}
        maker: dict[SSAValue, Operation] = {r: op for op in self.body.ops for r in op.results}
        found: dict[SSAValue, Pad] = {}
        for op, number in place.items():
            for value in _reads(op):
                if value in maker and place[maker[value]] < number:
                    product = isinstance(op, qnn.MatmulOp)
                    found[value] = Pad.IBUF if product else found.get(value, Pad.PBUF)
        end = len(self.sections) - 1
        for value in self.body.yielded:
            if value in maker and place[maker[value]] < end:
                found.setdefault(value, Pad.PBUF)
        return found

    def _widths(self) -> tuple[int, int]:
        """Operand widths on the array, the same for all products of a recurrence."""
        found = {(int_width(p.input)[0], int_width(p.weight)[0]) for p in self.body.products}
        if len(found) != 1:
            raise MohaqError(f"products of a recurrence have different widths: {sorted(found)}")
        for product in self.body.products:
            if shape_of(product.weight) != (self.hidden, self.hidden):
                raise MohaqError(
                    f"a product of {shape_of(product.weight)} weights in a recurrence of "
                    f"{self.hidden} units",
                    why="a time step's values have one element a unit",
                )
        return found.pop()

    def _section(self, ops: list[Operation]) -> StepSection:
        jobs: list[Job] = []
        pending, weights = 0, dict[str, int]()
        for op in ops:
            if isinstance(op, qnn.MatmulOp):
                jobs.append(Job(self.hidden, pending))
                pending = 0
                weights[_symbol(op)] = self.hidden * self.low.constants[_symbol(op)].width
            else:
                pending += 1
        return StepSection(tuple(jobs), pending, sum(weights.values()))

    def _program(self, sources: dict[SSAValue, int], tables: dict[str, int]) -> list[PostOp]:
        idle = Axis(BATCH, 0)
        acc = self.streams.add(Pad.OBUF, ACCUMULATOR, (idle, Axis(CHUNK, 0)))
        for value, pad in self.passed.items():
            width, signed = int_width(value)
            sources[value] = self.streams.add(
                pad, storage_bits(width), (idle, Axis(UNITS, 0)), signed=signed
            )
        weights: dict[str, int] = {}
        found: list[PostOp] = []
        for number, ops in enumerate(self.sections):
            products = any(isinstance(op, qnn.MatmulOp) for op in ops)
            found.append(Section(CHUNK if products else BLOCK_START))
            made = {r for op in ops for r in op.results}
            # Values of this section are in registers, those of earlier ones in scratchpads.
            known = {v: s for v, s in sources.items() if v not in made}
            known |= {op.results[0]: acc for op in ops if isinstance(op, qnn.MatmulOp)}
            program = Microprogram(
                [op for op in ops if not isinstance(op, qnn.MatmulOp)], known, tables
            )
            for value in self.passed:
                if value in made:
                    program.expect(value)
            last = number == len(self.sections) - 1
            if last:
                self._expect(program)
            for op in ops:
                if isinstance(op, qnn.MatmulOp):
                    program.ops.append(self._product(op, sources, weights, acc))
                    program.read(op.result)
                else:
                    program.add(op)
                if op.results[0] in self.passed:
                    program.store(op.results[0], sources[op.results[0]])
            if last:
                self._results(program, sources)
            found += program.ops
        return found

    def _product(
        self, op: qnn.MatmulOp, sources: dict[SSAValue, int], weights: dict[str, int], acc: int
    ) -> Product:
        symbol = _symbol(op)
        if symbol not in weights:
            region = self.low.constants[symbol]
            rows = UNITS if self.tiles.resident else CHUNK
            axes = (Axis(rows, self.hidden * region.width), Axis(INPUTS, region.width))
            signed = int_width(op.weight)[1]
            stream = self.streams.add(Pad.WBUF, region.width, axes, region.address, signed=signed)
            weights[symbol] = self._load(stream)
        value, part = _operand(op)
        return Product(sources[value], weights[symbol], acc, part)
