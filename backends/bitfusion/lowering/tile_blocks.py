"""Blocks over [rows, channels]: matrix products with their post-processing, and elementwise."""

from __future__ import annotations

import numpy as np
from xdsl.ir import SSAValue

from mohaq.backends.base import Workload
from mohaq.backends.bitfusion.counters import INDEX, joules
from mohaq.backends.bitfusion.isa.blocks import Axis, Block, Pass, fires
from mohaq.backends.bitfusion.isa.instructions import (
    Extent,
    Kind,
    LdMem,
    Load,
    LoopOf,
    Pad,
    StMem,
    Store,
)
from mohaq.backends.bitfusion.lowering.context import Lowering, Streams, stored_outside
from mohaq.backends.bitfusion.lowering.groups import ELEMENTWISE, Group, is_vector
from mohaq.backends.bitfusion.lowering.microcode import Microprogram
from mohaq.backends.bitfusion.lowering.placement import View
from mohaq.backends.bitfusion.machine import Machine
from mohaq.backends.bitfusion.schedule.counts import count_block
from mohaq.backends.bitfusion.schedule.front import Choice, pareto, pick
from mohaq.backends.bitfusion.schedule.tiling import (
    NOMINAL_ROWS,
    GemmShape,
    GemmTiles,
    Phase,
    TileTask,
    gemm_front,
    stream_tiles,
)
from mohaq.backends.bitfusion.weights import parameter_of
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.qnn.table import TABLE_SIZE
from mohaq.compiler.dialects.types import int_width, shape_of

TABLE_BITS = TABLE_SIZE * 16

SHORT_ROWS = 100
"""Rows of a shorter run that tiles are judged by as well."""


class TileBuilder:
    """Builds one block of a group; loops 0 and 1 are rows and channels in either order."""

    def __init__(self, low: Lowering, group: Group, layer: int) -> None:
        self.low = low
        self.group = group
        self.layer = layer
        self.streams = Streams()
        self.loops: list[LoopOf] = []
        self.loads: list[LdMem] = []
        self.row = 0
        self.column = 1
        self.posts = [op for op in group.ops if isinstance(op, ELEMENTWISE)]
        self.stores = [r for op in group.ops for r in op.results if stored_outside(group, r)]
        self.tables = list(
            dict.fromkeys(
                op.table.root_reference.data for op in self.posts if isinstance(op, qnn.LookupOp)
            )
        )
        self.vectors = list(
            dict.fromkeys(v for op in self.posts for v in op.operands if is_vector(v))
        )

    def view_axes(self, view: View) -> tuple[Axis, ...]:
        """Axes of a view's tile: rows, channels."""
        return Axis(self.row, view.row_pitch), Axis(self.column, view.pitch)

    def nest(self, rows: int, columns: int, *, columns_outer: bool) -> None:
        """Create loops 0 and 1."""
        top = self.low.memory.max_rows
        self.row, self.column = (1, 0) if columns_outer else (0, 1)
        row = LoopOf(self.row, self.row, self.group.extent, top, min(rows, top))
        column = LoopOf(self.column, self.column, Extent.FIXED, self.group.channels, columns)
        self.loops = [column, row] if columns_outer else [row, column]

    def load(self, stream: int) -> int:
        """Add the transfer that fills a stream's tiles."""
        self.loads.append(LdMem(stream, fires(self.streams.made[stream].axes, self.loops)))
        return stream

    def vector_bits(self) -> int:
        """PBUF bits of one channel."""
        return sum(self.low.constants[parameter_of(v)].width for v in self.vectors)

    def fixed_bits(self) -> int:
        """PBUF bits of the tables."""
        return len(self.tables) * TABLE_BITS

    def out_bits(self) -> int:
        """Stored bits of one element of all results."""
        return sum(self.low.view(v).width for v in self.stores)

    def sources(self, tensors: dict[SSAValue, int]) -> tuple[dict[SSAValue, int], dict[str, int]]:
        """Streams of vectors and tables, added to those of tensors."""
        found = dict(tensors)
        for vector in self.vectors:
            region = self.low.constants[parameter_of(vector)]
            signed = int_width(vector)[1]
            axes = (Axis(self.column, region.width),)
            made = self.streams.add(Pad.PBUF, region.width, axes, region.address, signed=signed)
            found[vector] = self.load(made)
        tables: dict[str, int] = {}
        if self.tables:
            points = LoopOf(len(self.loops), 3, Extent.FIXED, TABLE_SIZE, TABLE_SIZE)
            self.loops.append(points)
            for name in self.tables:
                region = self.low.constants[f"table {name}"]
                made = self.streams.add(Pad.PBUF, 16, (Axis(points.id, 16),), region.address)
                tables[name] = self.load(made)
        return found, tables

    def post(self, sources: dict[SSAValue, int], tables: dict[str, int]) -> Microprogram:
        """The microprogram, with a stream for every stored result."""
        program = Microprogram(self.posts, sources, tables)
        for value in self.stores:
            program.expect(value)
        pending = [v for v in self.stores if v in sources]
        for value in pending:
            self._store(program, value)
        for op in self.posts:
            program.add(op)
            if op.results[0] in self.stores:
                self._store(program, op.results[0])
        return program

    def _store(self, program: Microprogram, value: SSAValue) -> None:
        view = self.low.view(value)
        program.store(value, self.streams.of_view(Pad.OBUF, view, self.view_axes(view)))

    def finish(
        self, kind: Kind, program: Microprogram, a_bits: int = 0, w_bits: int = 0,
        passes: tuple[Pass, ...] = (),
    ) -> Block:  # fmt: skip
        """The block."""
        stores = tuple(StMem(op.stream, 1) for op in program.ops if isinstance(op, Store))
        return Block(
            kind, self.layer, a_bits, w_bits, tuple(self.loops), tuple(self.streams.made),
            tuple(self.loads), stores, passes, 1, tuple(program.ops),
        )  # fmt: skip


def stream_block(low: Lowering, group: Group, layer: int) -> Block:
    """An elementwise chain: DRAM to IBUF, post-processing unit, OBUF to DRAM."""
    build = TileBuilder(low, group, layer)
    made: set[SSAValue] = {r for op in group.ops for r in op.results}
    tensors = dict.fromkeys(
        v for op in build.posts for v in op.operands if v not in made and not is_vector(v)
    )
    views = {v: low.view(v) for v in tensors}
    task = TileTask.of(low.machine, 0, 0, low.prefer)
    rows, columns = stream_tiles(
        group.channels,
        sum(v.width for v in views.values()),
        build.out_bits(),
        build.vector_bits(),
        build.fixed_bits(),
        task,
    )
    build.nest(rows, columns, columns_outer=False)
    ids = {
        value: build.load(build.streams.of_view(Pad.IBUF, view, build.view_axes(view)))
        for value, view in views.items()
    }
    sources, tables = build.sources(ids)
    return build.finish(Kind.STREAM, build.post(sources, tables))


def copy_block(low: Lowering, group: Group, layer: int) -> Block:
    """Copies one part of a join that could not be written where it belongs."""
    assert group.copy is not None
    part, op, number = group.copy
    build = TileBuilder(low, group, layer)
    source, target = low.view(part), low.joined(op, number)
    task = TileTask.of(low.machine, 0, 0, low.prefer)
    rows, columns = stream_tiles(group.channels, source.width, target.width, 0, 0, task)
    build.nest(rows, columns, columns_outer=False)
    read = build.load(build.streams.of_view(Pad.IBUF, source, build.view_axes(source)))
    write = build.streams.of_view(Pad.OBUF, target, build.view_axes(target))
    program = Microprogram([], {}, {})
    program.ops += [Load(0, read), Store(0, write)]
    return build.finish(Kind.STREAM, program)


def gemm_block(low: Lowering, group: Group, layer: int) -> Block:
    """Products on the array, output stationary, and what follows on their sums."""
    build = TileBuilder(low, group, layer)
    products = [op for op in group.ops if isinstance(op, qnn.MatmulOp)]
    a_bits, w_bits = int_width(products[0].input)[0], int_width(products[0].weight)[0]
    phases = _phases(low, products)
    shape = GemmShape(
        group.channels,
        a_bits,
        w_bits,
        tuple(_phase_shape(ops, a_bits, w_bits) for ops in phases),
        build.out_bits(),
        build.vector_bits(),
        build.fixed_bits(),
        len(build.posts),
    )
    front = gemm_front(shape, TileTask.of(low.machine, a_bits, w_bits, low.prefer))
    made = [_product_block(low, group, layer, phases, one.what, a_bits, w_bits) for one in front]
    choices = [figures_of(block, low.machine, low.memory.max_rows) for block in made]
    return pick(pareto(choices), low.prefer).what


def figures_of(block: Block, machine: Machine, max_rows: int) -> Choice[Block]:
    """A block with what runs of the lengths that tiles are chosen for cost together."""
    runs = {min(rows, max_rows) for rows in (NOMINAL_ROWS, SHORT_ROWS)}
    every = [count_block(block, Workload(rows, 1), machine) for rows in sorted(runs)]
    counts = np.sum(every, axis=0)
    moved = counts[INDEX["dram_read_bits"]] + counts[INDEX["dram_write_bits"]]
    energy = float(joules(counts, machine)) * 1e12
    return Choice(float(counts[INDEX["cycles"]]), energy, float(moved), block)


def _product_block(
    low: Lowering,
    group: Group,
    layer: int,
    phases: list[list[qnn.MatmulOp]],
    tiles: GemmTiles,
    a_bits: int,
    w_bits: int,
) -> Block:
    build = TileBuilder(low, group, layer)
    build.nest(tiles.rows, tiles.columns, columns_outer=tiles.columns_outer)
    for ops, step in zip(phases, tiles.k, strict=True):
        k = shape_of(ops[0].weight)[1]
        build.loops.append(LoopOf(len(build.loops), 2, Extent.FIXED, k, step))
    passes: list[Pass] = []
    sums: dict[SSAValue, int] = {}
    for number, ops in enumerate(phases):
        passes += _passes(build, ops, 2 + number, sums)
    sources, tables = build.sources(sums)
    return build.finish(Kind.GEMM, build.post(sources, tables), a_bits, w_bits, tuple(passes))


def _phases(low: Lowering, products: list[qnn.MatmulOp]) -> list[list[qnn.MatmulOp]]:
    """Products that reduce over the same elements run tile by tile together."""
    found: dict[tuple[int, int, int], list[qnn.MatmulOp]] = {}
    for op in products:
        view = low.view(op.input)
        # Both bytes of a 16-bit element belong together.
        key = (view.channels, view.address // 16, view.row_pitch)
        found.setdefault(key, []).append(op)
    return list(found.values())


def _phase_shape(ops: list[qnn.MatmulOp], a_bits: int, w_bits: int) -> Phase:
    acts = len(dict.fromkeys(op.input for op in ops))
    weights = len(dict.fromkeys(parameter_of(op.weight) for op in ops))
    return Phase(shape_of(ops[0].weight)[1], acts * a_bits, weights * w_bits, len(ops))


def _passes(
    build: TileBuilder, ops: list[qnn.MatmulOp], loop: int, sums: dict[SSAValue, int]
) -> list[Pass]:
    acts: dict[SSAValue, int] = {}
    weights: dict[str, int] = {}
    found: list[Pass] = []
    for op in ops:
        if op.input not in acts:
            view = build.low.view(op.input)
            axes = (Axis(build.row, view.row_pitch), Axis(loop, view.pitch))
            acts[op.input] = build.load(build.streams.of_view(Pad.IBUF, view, axes))
        symbol = parameter_of(op.weight)
        if symbol not in weights:
            weights[symbol] = build.load(_weight_stream(build, op, loop))
        sums[op.result] = build.streams.add(
            Pad.OBUF, 32, (Axis(build.row, 0), Axis(build.column, 0))
        )
        found.append(Pass(acts[op.input], weights[symbol], sums[op.result], loop))
    return found


def _weight_stream(build: TileBuilder, op: qnn.MatmulOp, loop: int) -> int:
    region = build.low.constants[parameter_of(op.weight)]
    k = shape_of(op.weight)[1]
    axes = (Axis(build.column, k * region.width), Axis(loop, region.width))
    signed = int_width(op.weight)[1]
    return build.streams.add(Pad.WBUF, region.width, axes, region.address, signed=signed)
