"""Counts of a stage for a workload, as the running cores count them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from mohaq.backends.epiphany.counters import ACTIVATIONS, WEIGHTS, Counts, Ints, scaled
from mohaq.backends.epiphany.lowering.split import STEP_BYTES, STEPS
from mohaq.backends.epiphany.machine import Machine
from mohaq.backends.epiphany.plan.shapes import TransferShape
from mohaq.backends.epiphany.plan.tiles import ColumnTiles, ProductPlan, StagePlan


@cache
def hops_to(rows: int, columns: int, active: int) -> Ints:
    """[P]: hops from each core to all of the first `active` cores together."""
    at = np.arange(rows * columns)
    row, column = np.divmod(at, columns)
    far = np.abs(row[:, None] - row[None, :active]) + np.abs(
        column[:, None] - column[None, :active]
    )
    found: Ints = far.sum(axis=1).astype(np.int64)
    return found


class Counter:
    """Adds up what a stage does on every core."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._cores = machine.cores
        self._at = np.arange(self._cores)

    def stage(self, plan: StagePlan, frames: int, batch: int) -> Counts:
        """Counters of a stage for sequences of `frames` steps, `batch` of them.

        Moving states in and out counts with what surrounds the layers, like loading.
        """
        shape, found = plan.shape, Counts(self._cores)
        works = self._works(shape.active)
        quads = -(-frames // STEPS)
        blocks = -(-quads // plan.quads)
        if shape.constants:
            self._read(found, ACTIVATIONS, works * shape.constants, works)
        for number, pieces in enumerate(plan.operands):
            for piece, tiles in enumerate(pieces):
                self._operand(found, plan, number, piece, tiles, quads, blocks)
        if not plan.operands:
            found.barriers += 1
        for product in plan.products:
            if not product.shape.batched:
                for piece, tiles in enumerate(product.tiles):
                    self._product(found, product, piece, tiles, frames, frames)
        self._exchanges(found, plan, frames, works)
        for kind, count, active in shape.elements:
            found.elements[kind] += frames * count * self._works(active)
        for transfer in shape.fetches:
            self._read(found, ACTIVATIONS, *self._own(transfer, quads))
        for transfer in shape.outputs:
            self._write(found, *self._own(transfer, quads))
        return scaled(found, batch)

    def setup(self, plans: Sequence[StagePlan]) -> Counts:
        """Counters of loading resident weights, before a run."""
        found = Counts(self._cores)
        for plan in plans:
            for product in plan.products:
                if product.resident:
                    works = self._works(product.shape.active)
                    self._read(found, WEIGHTS, works * product.bytes, works)
        return found

    def _works(self, active: int) -> Ints:
        return (self._at < active).astype(np.int64)

    def _own(self, transfer: TransferShape, quads: int) -> tuple[Ints, Ints]:
        """Bytes and transfers of a core's own units."""
        works = self._works(transfer.active) * quads
        return transfer.values * STEP_BYTES * works, transfer.count * works

    def _read(self, found: Counts, channel: int, amount: Ints, transfers: Ints) -> None:
        found.read_bytes[channel] += amount
        found.reads[channel] += transfers

    def _write(self, found: Counts, amount: Ints, transfers: Ints) -> None:
        found.write_bytes[ACTIVATIONS] += amount
        found.writes[ACTIVATIONS] += transfers

    def _operand(
        self,
        found: Counts,
        plan: StagePlan,
        number: int,
        piece: int,
        tiles: ColumnTiles,
        quads: int,
        blocks: int,
    ) -> None:
        """The exchange of an operand's tiles and the products with them."""
        shape, cores = plan.shape, self._cores
        found.barriers += 2 * tiles.count * blocks
        share = plan.share(tiles, cores)
        targets = shape.active - self._works(shape.active)
        far = hops_to(self._machine.whole("rows"), self._machine.whole("columns"), shape.active)
        for tile in range(tiles.count):
            mine = np.clip(tiles.inside(tile) - self._at * share, 0, share)
            some = (mine > 0).astype(np.int64)
            self._read(found, ACTIVATIONS, quads * mine * STEP_BYTES, quads * some)
            found.elements["convert"] += quads * mine * STEPS
            wide = mine * STEPS * 4
            found.pushes += quads * some * targets
            found.push_bytes += quads * wide * targets
            found.push_stores += quads * (wide // 8) * targets
            found.push_byte_hops += quads * wide * far
        for product in plan.products:
            if product.shape.batched and product.shape.source == number:
                self._product(found, product, piece, tiles, quads, blocks)

    def _product(
        self,
        found: Counts,
        product: ProductPlan,
        piece: int,
        tiles: ColumnTiles,
        runs: int,
        loads: int,
    ) -> None:
        """All tiles `runs` times; weights are read `loads` times where they are streamed."""
        shape, works = product.shape, self._works(product.shape.active)
        runs, loads = runs * tiles.count, loads * tiles.count
        name = f"{'tile4' if shape.batched else 'mv8'}_w{shape.bits}"
        key = name, tiles.columns
        calls = runs * shape.blocks * works
        found.kernels[key] = found.kernels.get(key, np.zeros_like(works)) + calls
        if not product.resident:
            amount = loads * product.tile_bytes(piece) * works
            self._read(found, WEIGHTS, amount, loads * product.chunks * works)
        if shape.wide:
            lanes = STEPS if shape.batched else 1
            found.elements["flush"] += runs * shape.rows * lanes * works

    def _exchanges(self, found: Counts, plan: StagePlan, frames: int, works: Ints) -> None:
        rows, columns = self._machine.whole("rows"), self._machine.whole("columns")
        levels = {e.level for e in plan.shape.exchanges}
        found.barriers += frames * len(levels)
        for exchange in plan.shape.exchanges:
            amount = exchange.values * 4
            size = 8 if exchange.values % 2 == 0 else 4
            gives = self._works(exchange.active)
            targets = (plan.shape.active - works) * gives
            far = hops_to(rows, columns, plan.shape.active) * gives
            found.pushes += frames * targets
            found.push_bytes += frames * amount * targets
            found.push_stores += frames * (amount // size) * targets
            found.push_byte_hops += frames * amount * far
