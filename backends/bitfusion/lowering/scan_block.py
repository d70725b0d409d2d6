"""A recurrence as a microprogram over units, with its states held in PBUF."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.ir import Block as IrBlock
from xdsl.ir import Operation, SSAValue

from mohaq.backends.bitfusion.isa.blocks import Axis, Block, fires
from mohaq.backends.bitfusion.isa.instructions import (
    NO_STREAM,
    Extent,
    Kind,
    LdMem,
    LoopOf,
    Pad,
    PostOp,
    State,
    StMem,
)
from mohaq.backends.bitfusion.lowering.context import Lowering, Streams
from mohaq.backends.bitfusion.lowering.feed import Feed
from mohaq.backends.bitfusion.lowering.groups import ELEMENTWISE, Group, extent_of, is_vector
from mohaq.backends.bitfusion.lowering.microcode import Microprogram
from mohaq.backends.bitfusion.lowering.placement import Region, View, storage_bits
from mohaq.backends.bitfusion.lowering.tile_blocks import TABLE_BITS
from mohaq.backends.bitfusion.schedule.tiling import ScanShape, TileTask, scan_tiles
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.qnn.table import TABLE_SIZE
from mohaq.compiler.dialects.types import int_width, shape_of

UNITS, BATCH, STEPS, POINTS = 0, 1, 2, 3
"""Loop ids of a scan block."""


@dataclass(frozen=True)
class Body:
    """A scan's body sorted by role; `ops` without constants and views."""

    scan: qnn.ScanOp
    ops: tuple[Operation, ...]
    states: tuple[SSAValue, ...]
    vectors: tuple[SSAValue, ...]
    captured: tuple[SSAValue, ...]
    tables: tuple[str, ...]

    @property
    def block(self) -> IrBlock:
        """The block of the body."""
        return self.scan.body.block

    @property
    def products(self) -> tuple[qnn.MatmulOp, ...]:
        """Products inside the recurrence."""
        return tuple(op for op in self.ops if isinstance(op, qnn.MatmulOp))

    @property
    def yielded(self) -> tuple[SSAValue, ...]:
        """Outputs of the step, then the next states."""
        end = self.block.last_op
        assert isinstance(end, qnn.YieldOp)
        return tuple(end.values)


def sort_body(scan: qnn.ScanOp) -> Body:
    """Check and sort the body.

    Raises:
        MohaqError: an operation or value that the post-processing unit cannot have.
    """
    ops: list[Operation] = []
    vectors: dict[SSAValue, None] = {}
    captured: dict[SSAValue, None] = {}
    tables: dict[str, None] = {}
    halves: set[SSAValue] = set()
    for op in scan.body.block.ops:
        if isinstance(op, (LoadOp, qnn.YieldOp)):
            continue
        if isinstance(op, qnn.SplitOp):
            halves.update(op.results)
            if all(isinstance(u.operation, qnn.MatmulOp) for r in op.results for u in r.uses):
                continue
        if not isinstance(op, (*ELEMENTWISE, qnn.MatmulOp)):
            raise MohaqError(
                f"Bit Fusion cannot run '{op.name}' inside a recurrence",
                hint="the units of a step have products and elementwise operations",
            )
        ops.append(op)
        if isinstance(op, qnn.LookupOp):
            tables[op.table.root_reference.data] = None
    inner = set(scan.body.block.args) | {r for op in ops for r in op.results} | halves
    end = scan.body.block.last_op
    assert end is not None
    for value in (v for op in (*ops, end) for v in op.operands):
        if isinstance(value.owner, LoadOp) and len(shape_of(value)) == 2:
            continue  # the weights of a product
        if is_vector(value):
            vectors[value] = None
        elif value not in inner:
            captured[value] = None
    states = tuple(scan.body.block.args[len(scan.inputs) :])
    body = Body(scan, tuple(ops), states, tuple(vectors), tuple(captured), tuple(tables))
    made = [r for op in ops for r in op.results]
    widths = {extent_of(v)[1] for v in (*scan.body.block.args, *captured, *body.yielded, *made)}
    if len(widths) != 1 or any(extent_of(v)[0] != Extent.BATCH for v in captured):
        raise MohaqError("all values of a recurrence must have the same number of units")
    return body


def scan_block(low: Lowering, group: Group, layer: int, feed: Feed | None = None) -> Block:
    """One recurrence: tiles of units and sequences, and chunks of steps inside them.

    feed: products that run inside the block.
    """
    scan = group.ops[0]
    assert isinstance(scan, qnn.ScanOp)
    body = sort_body(scan)
    if body.products or feed:
        from mohaq.backends.bitfusion.lowering.step_block import StepBuilder

        return StepBuilder(low, body, group.channels, layer, feed).build()
    return ScanBuilder(low, body, group.channels, layer).build()


class ScanBuilder:
    """Builds the block of a recurrence without products."""

    def __init__(self, low: Lowering, body: Body, hidden: int, layer: int) -> None:
        self.low = low
        self.body = body
        self.hidden = hidden
        self.layer = layer
        self.streams = Streams()
        self.loads: list[LdMem] = []
        self.stores: list[StMem] = []
        self.head: list[PostOp] = []
        outs = body.scan.output_count
        self.sequences = body.scan.outs[:outs]
        self.finals = body.scan.outs[outs:]
        self.widths = 0, 0
        self.points = POINTS
        self.loops = self._loops()

    def _loops(self) -> list[LoopOf]:
        scan, low = self.body.scan, self.low
        states = [storage_bits(int_width(s)[0]) for s in self.body.states]
        shape = ScanShape(
            self.hidden,
            sum(low.view(v).width for v in scan.inputs),
            sum(low.view(v).width for v in self.sequences if list(v.uses)),
            sum(states) * (2 if scan.init else 1)
            + sum(low.view(v).width for v in self.body.captured),
            sum(self._region(v).width for v in self.body.vectors),
            len(self.body.tables) * TABLE_BITS,
        )
        units, batch, steps = scan_tiles(shape, TileTask.of(low.machine, 0, 0, low.prefer))
        top = low.memory.max_rows
        loops = [
            LoopOf(UNITS, 0, Extent.FIXED, self.hidden, units),
            LoopOf(BATCH, 1, Extent.BATCH, top, min(batch, top)),
            LoopOf(STEPS, 2, Extent.STEPS, top, min(steps, top)),
        ]
        if self.body.tables:
            loops.append(LoopOf(POINTS, 3, Extent.FIXED, TABLE_SIZE, TABLE_SIZE))
        return loops

    def _region(self, value: SSAValue) -> Region:
        assert isinstance(value.owner, LoadOp)
        return self.low.constants[value.owner.symbol]

    def _load(self, stream: int) -> int:
        axes = self.streams.made[stream].axes
        self.loads.append(LdMem(stream, fires(axes, self.loops)))
        return stream

    @staticmethod
    def _state_axes(view: View) -> tuple[Axis, ...]:
        return Axis(BATCH, view.row_pitch), Axis(UNITS, view.pitch)

    @staticmethod
    def _step_axes(view: View) -> tuple[Axis, ...]:
        # Rows are t * B + b, so one step is B rows on.
        time = Axis(STEPS, view.row_pitch, by_batch=True)
        return time, Axis(BATCH, view.row_pitch), Axis(UNITS, view.pitch)

    def build(self) -> Block:
        """The block."""
        body, scan = self.body, self.body.scan
        sources: dict[SSAValue, int] = {}
        for arg, value in zip(body.block.args, scan.inputs, strict=False):
            sources[arg] = self._input(arg, value)
        for number, state in enumerate(body.states):
            sources[state] = self._state(number, state)
        for value in body.captured:
            view = self.low.view(value)
            sources[value] = self._load(
                self.streams.of_view(Pad.PBUF, view, self._state_axes(view))
            )
        tables = self._constants(sources)
        post = self._program(sources, tables)
        kind = Kind.FORWARD if scan.direction.data == "forward" else Kind.REVERSE
        return Block(
            kind, self.layer, *self.widths, tuple(self.loops), tuple(self.streams.made),
            tuple(self.loads), tuple(self.stores), (), STEPS, tuple(self.head + post),
        )  # fmt: skip

    def _input(self, arg: SSAValue, value: SSAValue) -> int:  # noqa: ARG002
        """The stream of a step's input."""
        view = self.low.view(value)
        return self._load(self.streams.of_view(Pad.IBUF, view, self._step_axes(view)))

    def _state(self, number: int, state: SSAValue) -> int:
        """The stream of a state, its start value and where its last value goes."""
        width, signed = int_width(state)
        final = self.finals[number]
        if list(final.uses):
            view = self.low.view(final)
            stream = self.streams.of_view(Pad.PBUF, view, self._state_axes(view))
            self.stores.append(StMem(stream, BATCH))
        else:
            idle = (Axis(BATCH, 0), Axis(UNITS, 0))
            stream = self.streams.add(Pad.PBUF, storage_bits(width), idle, signed=signed)
        init = NO_STREAM
        if self.body.scan.init:
            view = self.low.view(self.body.scan.init[number])
            axes = self._state_axes(view)
            init = self._load(self.streams.of_view(Pad.PBUF, view, axes))
        self.head.append(State(stream, init))
        return stream

    def _constants(self, sources: dict[SSAValue, int]) -> dict[str, int]:
        for vector in self.body.vectors:
            region = self._region(vector)
            axes = (Axis(UNITS, region.width),)
            signed = int_width(vector)[1]
            made = self.streams.add(Pad.PBUF, region.width, axes, region.address, signed=signed)
            sources[vector] = self._load(made)
        tables: dict[str, int] = {}
        for name in self.body.tables:
            region = self.low.constants[f"table {name}"]
            made = self.streams.add(Pad.PBUF, 16, (Axis(self.points, 16),), region.address)
            tables[name] = self._load(made)
        return tables

    def _program(self, sources: dict[SSAValue, int], tables: dict[str, int]) -> list[PostOp]:
        """Steps' outputs are stored when they are ready, states when all is computed."""
        program = Microprogram(self.body.ops, sources, tables)
        self._expect(program)
        for op in self.body.ops:
            program.add(op)
        self._results(program, sources)
        return program.ops

    def _outputs(self) -> list[tuple[SSAValue, SSAValue]]:
        """(value of a step, sequence) of the outputs that are used."""
        count = self.body.scan.output_count
        pairs = zip(self.body.yielded[:count], self.sequences, strict=True)
        return [(value, result) for value, result in pairs if list(result.uses)]

    def _nexts(self) -> list[tuple[SSAValue, SSAValue]]:
        """(next value, state) of all states."""
        count = self.body.scan.output_count
        return list(zip(self.body.yielded[count:], self.body.states, strict=True))

    def _expect(self, program: Microprogram) -> None:
        for value, _ in (*self._outputs(), *self._nexts()):
            program.expect(value)

    def _results(self, program: Microprogram, sources: dict[SSAValue, int]) -> None:
        nexts = self._nexts()
        for value, result in self._outputs():
            view = self.low.view(result)
            stream = self.streams.of_view(Pad.OBUF, view, self._step_axes(view))
            program.store(value, stream)
            self.stores.append(StMem(stream, STEPS))
        for value, _ in nexts:
            program.read(value)
        for value, state in nexts:
            program.store(value, sources[state])
