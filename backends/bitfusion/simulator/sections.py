"""Executes a time step of a recurrence with products, section by section."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mohaq.backends.bitfusion.isa.blocks import PART_BITS, Stream
from mohaq.backends.bitfusion.isa.instructions import (
    BLOCK_START,
    Load,
    Lookup,
    Pad,
    PostOp,
    Product,
    State,
    Store,
)
from mohaq.backends.bitfusion.simulator.array import accumulate, array_cycles
from mohaq.backends.bitfusion.simulator.ppu import Registers, is_work, run_op
from mohaq.compiler.diagnostics import MohaqError

if TYPE_CHECKING:
    from mohaq.backends.bitfusion.simulator.execute import BlockRun

Array = npt.NDArray[np.int64]
LOOKUP_BITS = 32


class StepRun:
    """The time steps of one block. New states are seen when a step has ended."""

    def __init__(self, run: BlockRun) -> None:
        self.run = run
        self.block = run.block
        self.meter = run.meter
        self.states = {op.stream for op in self.block.post if isinstance(op, State)}
        self.fresh: dict[int, Array] = {}
        self.waiting = 0  # cycles of the post-processing unit since the last product

    def stage(self) -> None:
        """Execute the sections over all steps of the current tile."""
        for loop, ops in self.block.sections():
            if loop == self.block.post_loop:
                self._section(loop, ops, None)
                self._close()

    def _close(self) -> None:
        spent = self.run.machine.whole("ppu_step_latency")
        self.meter.busy(self.waiting + spent)
        self.meter.add("ppu_cycles", spent)
        self.waiting = 0

    def step(self, number: int) -> None:
        """Execute one time step of the current tile."""
        self.fresh = {}
        for loop, ops in self.block.sections():
            if loop != self.block.post_loop:
                self._section(loop, ops, number)
                self._close()
        for stream, tile in self.fresh.items():
            self.run.tiles[stream] = tile

    def _section(self, loop: int, ops: Sequence[PostOp], step: int | None) -> None:
        run = self.run
        products = [op for op in ops if isinstance(op, Product)]
        filled = False
        cut = loop not in {BLOCK_START, self.block.post_loop}
        for chunk in range(run.count[loop] if cut else 1):
            start, size = 0, run.size(run.column.id)
            if cut:
                run.index[loop] = chunk
                start, size = chunk * self.block.loops[loop].step, run.size(loop)
            if products and cut:
                self.meter.segment(run.fetch(loop, {op.weight for op in products}))
            registers = Registers()
            for op in ops:
                if isinstance(op, Product):
                    self._product(op, step, start, size, fill=not filled)
                    filled = True
                else:
                    self._post(op, registers, step, start, size)
        if cut:
            run.index[loop] = 0

    def _rows(self, tile: Array, step: int | None) -> Array:
        """[rows, channels] of a tile [steps or 1, sequences, channels]."""
        if tile.ndim != 3:
            return tile
        if step is None:
            return tile.reshape(-1, tile.shape[2])
        row: Array = tile[step if tile.shape[0] > 1 else 0]
        return row

    def _product(self, op: Product, step: int | None, start: int, size: int, *, fill: bool) -> None:
        run, meter = self.run, self.meter
        act, weight = self.block.streams[op.act], self.block.streams[op.weight]
        left, right = self._rows(run.tile(op.act), step), run.tile(op.weight)
        width, signed = act.width, act.signed
        if op.part:
            width, signed = PART_BITS, op.part == 2
            left = left >> PART_BITS if signed else left & ((1 << PART_BITS) - 1)
        if self.run.column.id in {a.loop for a in weight.axes}:  # all units are there
            right = right[start : start + size]
        rows, k = left.shape
        if right.shape != (size, k) or rows != self._height(step):
            raise MohaqError("the operands of a product have different tiles")
        run.tiles[op.acc] = accumulate(
            np.zeros((rows, size), dtype=np.int64),
            left,
            right,
            (width, signed),
            (weight.width, weight.signed),
            run.machine,
            bricks=run.bricks,
        )
        groups = -(-size // run.machine.columns)
        meter.read(act.pad, rows * k * groups * width)
        meter.read(Pad.WBUF, rows * right.size * weight.width)
        meter.write(Pad.OBUF, rows * size * 32)
        meter.add("macs", rows * size * k)
        meter.add("mac_passes", 1)
        cycles = array_cycles(rows, size, k, width, weight.width, run.machine)
        if fill:
            cycles += run.machine.rows + run.machine.columns
        meter.array_worked(cycles)
        # The array works while the operations since the last product finish.
        meter.busy(max(cycles, self.waiting))
        self.waiting = 0

    def _height(self, step: int | None) -> int:
        """Rows that a section works on: sequences, or steps times sequences."""
        batch = self.run.size(self.run.row.id)
        return batch if step is not None else batch * self.run.size(self.block.post_loop)

    def _post(
        self, op: PostOp, registers: Registers, step: int | None, start: int, size: int
    ) -> None:
        run, meter = self.run, self.meter
        rows = self._height(step)
        elements = rows * size
        if isinstance(op, Load):
            stream = self.block.streams[op.stream]
            registers[op.dst] = self._part(stream, step, start, rows, size)
            meter.read(stream.pad, elements * stream.width)
        elif isinstance(op, Store):
            self._store(op, registers, step, start, (rows, size))
        elif is_work(op):
            channel = np.arange(start, start + size)
            run_op(op, registers, run.tiles, channel, run.column.extent)
            turns = -(-elements // run.machine.lanes)
            meter.add("ppu_ops", elements)
            meter.add("ppu_cycles", turns)
            self.waiting += turns
            if isinstance(op, Lookup):
                meter.read(self.block.streams[op.table].pad, elements * LOOKUP_BITS)
        else:
            raise MohaqError(f"'{type(op).__name__}' cannot stand in a section")

    def _part(self, stream: Stream, step: int | None, start: int, rows: int, size: int) -> Array:
        tile = self.run.tile(stream.id)
        if tile.ndim == 3:
            tile = self._rows(tile, step)[:, start : start + size]
        # Else the sums of the section's chunk.
        if tile.ndim != 2 or tile.shape[1] != size or tile.shape[0] not in {1, rows}:
            raise MohaqError(f"stream {stream.id} has no tile of the section's units")
        return tile

    def _store(
        self,
        op: Store,
        registers: Registers,
        step: int | None,
        start: int,
        shape: tuple[int, int],
    ) -> None:
        run = self.run
        stream = self.block.streams[op.stream]
        value = np.broadcast_to(registers[op.src], shape)
        run.check_range(stream, value)
        full = run.shape(stream)
        held = self.fresh if op.stream in self.states else run.tiles
        if op.stream not in held or held[op.stream].shape != full:
            held[op.stream] = np.zeros(full, dtype=np.int64)
        tile = held[op.stream]
        batch = run.size(run.row.id)
        if tile.ndim != 3 or tile.shape[1] != batch or start + shape[1] > tile.shape[2]:
            raise MohaqError("a stored tile has another shape than the block's")
        if step is None:
            if full[0] * batch != shape[0]:
                raise MohaqError("a tile that is stored for all steps has none of its own")
            tile[:, :, start : start + shape[1]] = value.reshape(full[0], batch, shape[1])
        else:
            tile[step if full[0] > 1 else 0][:, start : start + shape[1]] = value
        self.meter.write(stream.pad, shape[0] * shape[1] * stream.width)
