"""A recurrence with products: sections of a time step on the array and the PPU.

A product reads all units of its operand, so what feeds one is written by the section before.
Every operation runs in the last section that it may, and values that a later section reads go
through a scratchpad. Products that feed the recurrence alone run in a section of their own over
all steps of a stage.
"""

from __future__ import annotations

from dataclasses import replace

from xdsl.ir import Operation, SSAValue

from mohaq.backends.bitfusion.isa.blocks import CHUNKS, EXTENTS, Axis
from mohaq.backends.bitfusion.isa.instructions import (
    BLOCK_START,
    NO_STREAM,
    Extent,
    LoopOf,
    Pad,
    PostOp,
    Product,
    Section,
)
from mohaq.backends.bitfusion.lowering.context import Lowering
from mohaq.backends.bitfusion.lowering.feed import Feed
from mohaq.backends.bitfusion.lowering.groups import is_vector
from mohaq.backends.bitfusion.lowering.microcode import Microprogram
from mohaq.backends.bitfusion.lowering.placement import storage_bits
from mohaq.backends.bitfusion.lowering.scan_block import BATCH, STEPS, UNITS, Body, ScanBuilder
from mohaq.backends.bitfusion.lowering.tile_blocks import TABLE_BITS
from mohaq.backends.bitfusion.schedule.step_counts import unit_of
from mohaq.backends.bitfusion.schedule.step_tiles import StepShape, step_tiles
from mohaq.backends.bitfusion.schedule.steps import Job, StepSection, reach_of
from mohaq.backends.bitfusion.schedule.tiling import TileTask
from mohaq.backends.bitfusion.weights import parameter_of
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.qnn.table import TABLE_SIZE
from mohaq.compiler.dialects.types import int_width, shape_of

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
    return parameter_of(op.weight)


def cut_sections(ops: tuple[Operation, ...]) -> list[list[Operation]]:
    """Operations by section, in their order."""
    maker: dict[SSAValue, Operation] = {r: op for op in ops for r in op.results}
    first: dict[Operation, int] = {}
    for op in ops:
        waits = isinstance(op, qnn.MatmulOp)
        first[op] = max((first[maker[v]] + waits for v in _reads(op) if v in maker), default=0)
    count = max(first.values(), default=0) + 1
    last = dict.fromkeys(ops, count - 1)
    for op in reversed(ops):
        for value in _reads(op):
            if value in maker:
                before = last[op] - isinstance(op, qnn.MatmulOp)
                last[maker[value]] = min(last[maker[value]], before)
    return [[op for op in ops if last[op] == number] for number in range(count)]


class StepBuilder(ScanBuilder):
    """Builds the block of a recurrence with products, inside its steps or in front of them."""

    def __init__(
        self, low: Lowering, body: Body, hidden: int, layer: int, feed: Feed | None = None
    ) -> None:
        self.feed = feed
        self.weights: dict[tuple[str, int], int] = {}
        super().__init__(low, body, hidden, layer)

    def _loops(self) -> list[LoopOf]:
        body, low, machine = self.body, self.low, self.low.machine
        self.sections = cut_sections(body.ops)
        self.passed = self._passed()
        self.widths = self._widths()
        self.tiles = step_tiles(
            self._shape(), TileTask.of(machine, *self.widths, low.prefer), unit_of(machine)
        )
        top = low.memory.max_rows
        loops = [
            LoopOf(UNITS, 0, Extent.FIXED, self.hidden, self.hidden),
            LoopOf(BATCH, 1, Extent.BATCH, top, min(self.tiles.batch, top)),
            LoopOf(STEPS, 2, Extent.STEPS, top, min(self.tiles.steps, top)),
        ]

        def add(level: int, extent: int, step: int) -> int:
            loops.append(LoopOf(len(loops), level, Extent.FIXED, extent, step))
            return len(loops) - 1

        if body.products:
            self.chunk = add(CHUNKS, self.hidden, self.tiles.chunk)
            self.inputs = add(EXTENTS, self.hidden, self.hidden)
        if self.feed:
            features = shape_of(self.feed.products[0].weight)[1]
            self.features = add(EXTENTS, features, features)
        if body.tables:
            self.points = add(EXTENTS, TABLE_SIZE, TABLE_SIZE)
        return loops

    def _shape(self) -> StepShape:
        body, low, feed = self.body, self.low, self.feed
        symbols = {_symbol(p): low.constants[_symbol(p)].width for p in body.products}
        held = [storage_bits(int_width(s)[0]) for s in body.states]
        operands = {_operand(p)[0] for p in body.products}
        temps = dict.fromkeys(Pad, 0)
        for value, pad in self.passed.items():
            temps[pad] += storage_bits(int_width(value)[0])
        inputs = sum(
            storage_bits(int_width(arg)[0]) if feed and arg in feed.rows else low.view(v).width
            for arg, v in zip(body.block.args, body.scan.inputs, strict=False)
        )
        sections = [self._section(ops) for ops in self.sections]
        vectors = sum(self._region(v).width for v in body.vectors)
        acts = fed = 0
        if feed:
            k = shape_of(feed.products[0].weight)[1]
            acts = k * sum(low.view(v).width for v in {_operand(p)[0] for p in feed.products})
            stored = {_symbol(p): low.constants[_symbol(p)].width for p in feed.products}
            fed = k * len(feed.rows) * sum(stored.values())
            given = {v for op in feed.group.ops for v in op.operands if is_vector(v)}
            vectors += len(feed.rows) * sum(self._region(v).width for v in given)
            sections.insert(0, self._fed_section(feed, k))
        return StepShape(
            self.hidden,
            inputs,
            temps[Pad.IBUF],
            sum(low.view(v).width for v in self.sequences if list(v.uses)),
            sum(held) * (2 if body.scan.init else 1)
            # The product of a later chunk reads what an earlier one replaces.
            + sum(w for s, w in zip(body.states, held, strict=True) if s in operands)
            + sum(low.view(v).width for v in body.captured)
            + temps[Pad.PBUF],
            vectors,
            self.hidden * sum(symbols.values()),
            len(body.tables) * TABLE_BITS,
            tuple(sections),
            acts,
            fed,
        )

    def _fed_section(self, feed: Feed, k: int) -> StepSection:
        one = self._section(feed.group.ops, k)
        jobs = [*one.jobs]
        for _ in range(len(feed.rows) - 1):
            jobs.append(replace(one.jobs[0], before=one.jobs[0].before + one.after))
            jobs += one.jobs[1:]
        return StepSection(tuple(jobs), one.after, 0, whole=True)

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
        """The widest operands on the array; each product has those of its streams."""
        for product in self.body.products:
            if shape_of(product.weight) != (self.hidden, self.hidden):
                raise MohaqError(
                    f"a product of {shape_of(product.weight)} weights in a recurrence of "
                    f"{self.hidden} units",
                    why="a time step's values have one element a unit",
                )
        products = (*self.body.products, *(self.feed.products if self.feed else ()))
        found = [(int_width(p.input)[0], self._weight_bits(p)) for p in products]
        return max(a for a, _ in found), max(w for _, w in found)

    def _weight_bits(self, op: qnn.MatmulOp) -> int:
        return self.low.constants[_symbol(op)].width

    def _section(self, ops: list[Operation], k: int | None = None) -> StepSection:
        size = k or self.hidden
        jobs: list[Job] = []
        pending, weights = 0, dict[str, int]()
        for op in ops:
            if isinstance(op, qnn.MatmulOp):
                reach = reach_of(self.low.machine, int_width(op.input)[0], self._weight_bits(op))
                jobs.append(Job(size, pending, reach))
                pending = 0
                weights[_symbol(op)] = size * self._weight_bits(op)
            else:
                pending += 1
        return StepSection(tuple(jobs), pending, sum(weights.values()))

    def _input(self, arg: SSAValue, value: SSAValue) -> int:
        if self.feed is None or arg not in self.feed.rows:
            return super()._input(arg, value)
        width, signed = int_width(arg)
        axes = (Axis(STEPS, 0), Axis(BATCH, 0), Axis(UNITS, 0))
        return self.streams.add(Pad.IBUF, storage_bits(width), axes, signed=signed)

    def _fed(self, feed: Feed, sources: dict[SSAValue, int]) -> list[PostOp]:
        """The section that makes the inputs of all steps of a stage."""
        axes = (Axis(STEPS, 0), Axis(BATCH, 0), Axis(UNITS, 0))
        acc = self.streams.add(Pad.OBUF, ACCUMULATOR, axes)
        acts: dict[SSAValue, int] = {}
        found: list[PostOp] = [Section(STEPS)]
        for arg, start in feed.rows.items():
            vectors = dict.fromkeys(v for op in feed.group.ops for v in op.operands if is_vector(v))
            known = {v: self._rows_of(v, start) for v in vectors}
            known |= {p.result: acc for p in feed.products}
            rest = [op for op in feed.group.ops if not isinstance(op, qnn.MatmulOp)]
            program = Microprogram(rest, known, {})
            program.expect(feed.value)
            for op in feed.group.ops:
                if not isinstance(op, qnn.MatmulOp):
                    program.add(op, (start, self.hidden))
                    continue
                value, part = _operand(op)
                if value not in acts:
                    view = self.low.view(value)
                    time, batch, _ = self._step_axes(view)
                    given = (time, batch, Axis(self.features, view.pitch))
                    acts[value] = self._load(self.streams.of_view(Pad.IBUF, view, given))
                weight = self._weight(op, UNITS, self.features, start)
                program.ops.append(Product(acts[value], weight, acc, part))
                program.read(op.result)
            program.store(feed.value, sources[arg])
            found += program.ops
        return found

    def _rows_of(self, vector: SSAValue, start: int) -> int:
        region = self._region(vector)
        address = region.address + start * region.width
        signed = int_width(vector)[1]
        axes = (Axis(UNITS, region.width),)
        return self._load(self.streams.add(Pad.PBUF, region.width, axes, address, signed=signed))

    def _program(self, sources: dict[SSAValue, int], tables: dict[str, int]) -> list[PostOp]:
        idle = Axis(BATCH, 0)
        found = self._fed(self.feed, sources) if self.feed else []
        acc = NO_STREAM
        if self.body.products:
            acc = self.streams.add(Pad.OBUF, ACCUMULATOR, (idle, Axis(self.chunk, 0)))
        for value, pad in self.passed.items():
            width, signed = int_width(value)
            sources[value] = self.streams.add(
                pad, storage_bits(width), (idle, Axis(UNITS, 0)), signed=signed
            )
        for number, ops in enumerate(self.sections):
            products = any(isinstance(op, qnn.MatmulOp) for op in ops)
            found.append(Section(self.chunk if products else BLOCK_START))
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
                    program.ops.append(self._product(op, sources, acc))
                    program.read(op.result)
                else:
                    program.add(op)
                if op.results[0] in self.passed:
                    program.store(op.results[0], sources[op.results[0]])
            if last:
                self._results(program, sources)
            found += program.ops
        return found

    def _product(self, op: qnn.MatmulOp, sources: dict[SSAValue, int], acc: int) -> Product:
        rows = UNITS if self.tiles.resident else self.chunk
        value, part = _operand(op)
        return Product(sources[value], self._weight(op, rows, self.inputs), acc, part)

    def _weight(self, op: qnn.MatmulOp, rows: int, columns: int, start: int = 0) -> int:
        """The stream of a product's weights, from row `start` on."""
        symbol = _symbol(op)
        if (symbol, start) not in self.weights:
            region, k = self.low.constants[symbol], shape_of(op.weight)[1]
            axes = (Axis(rows, k * region.width), Axis(columns, region.width))
            address = region.address + start * k * region.width
            signed = int_width(op.weight)[1]
            made = self.streams.add(Pad.WBUF, region.width, axes, address, signed=signed)
            self.weights[symbol, start] = self._load(made)
        return self.weights[symbol, start]
