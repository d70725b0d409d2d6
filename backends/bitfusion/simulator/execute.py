"""Executes blocks: walks the loop nest, moves tiles, runs array and post-processing unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mohaq.backends.bitfusion.isa.blocks import Block, Stream
from mohaq.backends.bitfusion.isa.instructions import (
    BLOCK_START,
    NO_STREAM,
    Extent,
    Kind,
    Load,
    Lookup,
    LoopOf,
    Pad,
    State,
    Store,
)
from mohaq.backends.bitfusion.machine import Machine
from mohaq.backends.bitfusion.simulator.array import accumulate, array_cycles
from mohaq.backends.bitfusion.simulator.held import Held
from mohaq.backends.bitfusion.simulator.memory import Dram
from mohaq.backends.bitfusion.simulator.meter import Meter, Stage
from mohaq.backends.bitfusion.simulator.ppu import Registers, is_work, run_op
from mohaq.backends.bitfusion.simulator.sections import LOOKUP_BITS, StepRun
from mohaq.compiler.diagnostics import MohaqError

Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Launch:
    """What the host sets for a run: steps T and sequences B."""

    steps: int
    batch: int


class BlockRun:
    """One block in execution. Tiles are arrays whose axes follow `_order` of their stream."""

    def __init__(
        self,
        block: Block,
        launch: Launch,
        dram: Dram,
        machine: Machine,
        held: Held,
        *,
        bricks: bool,
    ) -> None:
        self.block = block
        self.launch = launch
        self.dram = dram
        self.held = held
        self.machine = machine
        self.bricks = bricks
        self.meter = Meter()
        self.extent = {p.id: self._extent(p) for p in block.loops}
        self.count = {p.id: -(-self.extent[p.id] // p.step) for p in block.loops}
        self.index = dict.fromkeys(self.extent, 0)
        self.tiles: dict[int, Array] = {}
        (self.outer,), (self.middle,) = block.level(0), block.level(1)
        pair = (self.outer, self.middle)
        self.row = next(p for p in pair if p.source != Extent.FIXED)
        self.column = next(p for p in pair if p.source == Extent.FIXED)
        held.check_room(block, machine)

    def _extent(self, loop: LoopOf) -> int:
        rows = self.launch.steps * self.launch.batch
        values = {
            Extent.FIXED: loop.extent,
            Extent.ROWS: rows,
            Extent.BATCH: self.launch.batch,
            Extent.STEPS: self.launch.steps,
        }
        value = values[Extent(loop.source)]
        if value > loop.extent:
            raise MohaqError(
                f"the run has {rows} rows, the program was compiled for {loop.extent}",
                hint="compile with a larger max_rows or run shorter pieces",
            )
        return value

    def size(self, loop: int) -> int:
        """Size of the current tile along a loop: its step, clamped at the end."""
        step = self.block.loops[loop].step
        return min(step, self.extent[loop] - self.index[loop] * step)

    def _order(self, stream: Stream) -> tuple[int, ...]:
        """Loops of a tile's axes. Missing ones have size 1."""
        held = {a.loop for a in stream.axes}
        if len(held) != len(stream.axes):
            raise MohaqError(f"stream {stream.id} runs twice along one loop")
        inner = [a for a in held if self.block.loops[a].level == 2]
        points = [a for a in held if self.block.loops[a].level == 3]
        if points and self.block.is_scan and self.block.post_loop in held:
            order: tuple[int, ...] = (self.block.post_loop, self.row.id, *points)
        elif points:
            order = tuple(sorted(held))
        elif self.block.is_scan:
            order = (self.block.post_loop, self.row.id, self.column.id)
        elif inner:
            order = (self.row.id if stream.pad == Pad.IBUF else self.column.id, inner[0])
        else:
            order = (self.row.id, self.column.id)
        if held - set(order):
            raise MohaqError(f"stream {stream.id} runs along loops that do not go together")
        return order

    def _axes(self, stream: Stream) -> tuple[int, list[tuple[int, int]]]:
        """First address of the current tile, and (count, stride) of its axes."""
        strides = {a.loop: a.stride * (self.launch.batch if a.by_batch else 1) for a in stream.axes}
        base = stream.address
        axes: list[tuple[int, int]] = []
        for loop in self._order(stream):
            stride = strides.get(loop)
            if stride is None:
                axes.append((1, 0))
                continue
            start, count = self.index[loop] * self.block.loops[loop].step, self.size(loop)
            if self.block.kind == Kind.REVERSE and loop == self.block.post_loop:
                # Backwards, tile position t stands for time T-1-t: held in memory order.
                start = self.extent[loop] - start - count
            base += start * stride
            axes.append((count, stride))
        return base, axes

    def shape(self, stream: Stream) -> tuple[int, ...]:
        """Shape of a stream's current tile."""
        held = {a.loop for a in stream.axes}
        return tuple(self.size(p) if p in held else 1 for p in self._order(stream))

    def load(self, loop: int) -> None:
        """Fire the loads of a loop.

        Raises:
            MohaqError: a stream runs along an inner loop of several tiles.
        """
        for move in self.block.loads:
            if move.loop == loop:
                stream = self.block.streams[move.stream]
                bits, window = self._fill(stream, loop), self.held.window(stream.address)
                if window is None:
                    self.meter.loaded(stream.pad, bits)
                else:
                    self.meter.brought(stream.pad, window.pad, bits)

    def fetch(self, loop: int, streams: set[int]) -> int:
        """Fire the loads of a loop inside the time steps, those of some streams; gives bits."""
        total = 0
        for move in self.block.loads:
            if move.loop == loop and move.stream in streams:
                stream = self.block.streams[move.stream]
                bits = self._fill(stream, loop)
                self.meter.fetched(stream.pad, bits)
                total += bits
        return total

    def _fill(self, stream: Stream, loop: int) -> int:
        """Fill a stream's tile from where its value lives; gives bits."""
        self._check_firing(stream, loop)
        base, axes = self._axes(stream)
        memory = self.held.window(stream.address) or self.dram
        tile = memory.read(base, axes, stream.width, signed=stream.signed)
        self.tiles[stream.id] = tile
        return tile.size * stream.width

    def store(self, loop: int) -> None:
        """Fire the stores of a loop."""
        for move in self.block.stores:
            if move.loop == loop:
                stream = self.block.streams[move.stream]
                self._check_firing(stream, loop)
                base, axes = self._axes(stream)
                tile = self.tile(stream.id)
                bits, window = tile.size * stream.width, self.held.window(stream.address)
                (window or self.dram).write(base, axes, stream.width, tile)
                if window is None:
                    self.meter.stored(stream.pad, bits)
                else:
                    self.meter.kept(stream.pad, window.pad, bits)

    def _check_firing(self, stream: Stream, loop: int) -> None:
        level = -1 if loop == BLOCK_START else self.block.loops[loop].level
        for axis in stream.axes:
            other = self.block.loops[axis.loop]
            deeper = other.level > level or (other.level == level and other.id != loop)
            if deeper and self.count[axis.loop] > 1:
                raise MohaqError(f"stream {stream.id} is moved outside a loop that it runs along")

    def tile(self, stream: int) -> Array:
        """The current tile of a stream.

        Raises:
            MohaqError: nothing filled it.
        """
        if stream not in self.tiles:
            raise MohaqError(f"stream {stream} is used before it is filled")
        return self.tiles[stream]

    def run(self) -> Meter:
        """Execute the block."""
        self.meter.stages.append(Stage())
        self.load(BLOCK_START)
        fresh = True
        for i in range(self.count[self.outer.id]):
            self.index.update({self.outer.id: i, self.middle.id: 0})
            self._reset_inner()
            if not fresh:
                self.meter.stages.append(Stage())
            self.load(self.outer.id)
            for j in range(self.count[self.middle.id]):
                self.index[self.middle.id] = j
                self._reset_inner()
                if j:
                    self.meter.stages.append(Stage())
                self.load(self.middle.id)
                self._inner()
                self.store(self.middle.id)
            self.store(self.outer.id)
            fresh = False
        self.store(BLOCK_START)
        if self.block.passes:
            # Filling the pipeline once: a row and a column of units.
            fill = self.machine.rows + self.machine.columns
            self.meter.stages[0].array_cycles += fill
            self.meter.add("array_cycles", fill)
        self.meter.close(self.machine.port, self.machine.path, with_array=bool(self.block.passes))
        return self.meter

    def _reset_inner(self) -> None:
        for loop in self.block.level(2):
            self.index[loop.id] = 0

    def _inner(self) -> None:
        if self.block.is_scan:
            self._steps()
            return
        written: set[int] = set()
        first = True
        for loop in self.block.level(2):
            for k in range(self.count[loop.id]):
                self.index[loop.id] = k
                if not first:
                    self.meter.stages.append(Stage())
                first = False
                self.load(loop.id)
                self._compute(loop.id, written)
                self.store(loop.id)
        self._post(Registers(), None)

    def _compute(self, loop: int, written: set[int]) -> None:
        block = self.block
        rows, columns, k = self.size(self.row.id), self.size(self.column.id), self.size(loop)
        for one in block.passes:
            if one.loop != loop:
                continue
            act, weight = block.streams[one.act], block.streams[one.weight]
            if one.acc not in written:
                self.tiles[one.acc] = np.zeros((rows, columns), dtype=np.int64)
            left, right = self.tile(one.act), self.tile(one.weight)
            if left.shape != (rows, k) or right.shape != (columns, k):
                raise MohaqError("the operands of compute have different tiles")
            self.tiles[one.acc] = accumulate(
                self.tiles[one.acc],
                left,
                right,
                (act.width, act.signed),
                (weight.width, weight.signed),
                self.machine,
                bricks=self.bricks,
            )
            meter = self.meter
            groups = -(-columns // self.machine.columns)
            meter.read(Pad.IBUF, left.size * groups * act.width)
            meter.read(Pad.WBUF, rows * right.size * weight.width)
            if one.acc in written:
                meter.read(Pad.OBUF, rows * columns * 32)
            meter.write(Pad.OBUF, rows * columns * 32)
            written.add(one.acc)
            meter.add("macs", rows * columns * k)
            meter.add("mac_passes", 1)
            meter.array_worked(
                array_cycles(rows, columns, k, act.width, weight.width, self.machine)
            )

    def _steps(self) -> None:
        """Chunks of time steps; states stay in their tiles from one chunk to the next."""
        loop = self.block.post_loop
        for op in self.block.post:
            if isinstance(op, State):
                stream = self.block.streams[op.stream]
                shape = self.shape(stream)
                tile = np.zeros(shape, dtype=np.int64)
                if op.init != NO_STREAM:
                    tile = self.tile(op.init).copy()
                    if tile.shape != shape:
                        raise MohaqError("a state and its start value have different tiles")
                self.tiles[op.stream] = tile
        steps = StepRun(self) if self.block.products else None
        for chunk in range(self.count[loop]):
            self.index[loop] = chunk
            if chunk:
                self.meter.stages.append(Stage())
            self.load(loop)
            size = self.size(loop)
            backwards = self.block.kind == Kind.REVERSE
            if steps:
                steps.stage()
            for t in reversed(range(size)) if backwards else range(size):
                if steps:
                    steps.step(t)
                    continue
                self._post(Registers(), t)
                self.meter.ppu_worked(self.machine.whole("ppu_step_latency"))
            self.store(loop)

    def _post(self, registers: Registers, step: int | None) -> None:
        """The microprogram on one tile, in a scan on one step of it."""
        rows, columns = self.size(self.row.id), self.size(self.column.id)
        elements = rows * columns
        start = self.index[self.column.id] * self.column.step
        channel = np.arange(start, start + columns)
        turns = -(-elements // self.machine.lanes)
        work = 0
        for op in self.block.post:
            if isinstance(op, Load):
                stream = self.block.streams[op.stream]
                registers[op.dst] = self._part(self.tile(op.stream), step)
                self.meter.read(stream.pad, elements * stream.width)
            elif isinstance(op, Store):
                self._write(op, registers, step, (rows, columns))
            elif is_work(op):
                run_op(op, registers, self.tiles, channel, self.column.extent)
                work += 1
                if isinstance(op, Lookup):
                    pad = self.block.streams[op.table].pad
                    self.meter.read(pad, elements * LOOKUP_BITS)
        self.meter.add("ppu_ops", work * elements)
        self.meter.ppu_worked(work * turns)

    @staticmethod
    def _part(tile: Array, step: int | None) -> Array:
        if step is None:
            return tile
        row: Array = tile[step if tile.shape[0] > 1 else 0]
        return row

    @staticmethod
    def check_range(stream: Stream, value: Array) -> None:
        """Every value fits the elements of a stream.

        Raises:
            MohaqError: one does not.
        """
        low, high = (-(1 << (stream.width - 1)), (1 << (stream.width - 1)) - 1)
        if not stream.signed:
            low, high = 0, (1 << stream.width) - 1
        if int(value.min()) < low or int(value.max()) > high:
            raise MohaqError(f"a value does not fit stream {stream.id} of {stream.width} bits")

    def _write(
        self, op: Store, registers: Registers, step: int | None, shape: tuple[int, int]
    ) -> None:
        stream = self.block.streams[op.stream]
        value = np.broadcast_to(registers[op.src], shape)
        self.check_range(stream, value)
        full = self.shape(stream)
        if step is None:
            if full != shape:
                raise MohaqError("a stored tile has another shape than the block's")
            self.tiles[op.stream] = value
        else:
            if op.stream not in self.tiles or self.tiles[op.stream].shape != full:
                self.tiles[op.stream] = np.zeros(full, dtype=np.int64)
            tile = self.tiles[op.stream]
            if tile[0].shape != shape:
                raise MohaqError("a stored tile has another shape than the block's")
            tile[step if full[0] > 1 else 0] = value
        self.meter.write(stream.pad, shape[0] * shape[1] * stream.width)
