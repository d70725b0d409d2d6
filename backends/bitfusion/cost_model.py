"""Costs of many assignments at once: counts by layer and widths, looked up and summed.

A layer's blocks depend on its shape, its two widths and on how its input is and its result will
be held (`passes/lower_to_qnn`), so a table row holds the counts of all its blocks. The blocks
are made by the lowering itself from a template of the layer's `qnn` code without data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import CostModel, FloatArray, GeneSpace, IntArray, Options, Workload
from mohaq.backends.bitfusion.counters import COUNTERS, joules, seconds
from mohaq.backends.bitfusion.isa.blocks import Block
from mohaq.backends.bitfusion.lowering.build import DEFAULT_MAX_ROWS, build
from mohaq.backends.bitfusion.lowering.cell_template import CELLS, cell_template
from mohaq.backends.bitfusion.lowering.template import template
from mohaq.backends.bitfusion.machine import Machine
from mohaq.backends.bitfusion.options import check_options
from mohaq.backends.bitfusion.schedule.counts import count_block
from mohaq.compiler.analysis.layers import Layer, LayerTable
from mohaq.compiler.assignment import Slot
from mohaq.compiler.program import Program

STORED = 16


@dataclass(frozen=True)
class Key:
    """What the blocks of a layer depend on besides its shape."""

    a_bits: int
    w_bits: int
    out_bits: int
    in_bits: int
    hidden_bits: int = 0
    recurrent_bits: int = 0
    """Operands of the product inside the recurrence; 0 without one."""
    carried: bool = False
    """Whether recurrent states come in and go out."""


def _key(widths: IntArray, *, carried: bool) -> Key:
    a_bits, w_bits, out_bits, in_bits, hidden, recurrent = (int(v) for v in widths)
    return Key(a_bits, w_bits, out_bits, in_bits, hidden, recurrent, carried)


def _template(layer: Layer, key: Key) -> Program:
    if layer.kind not in CELLS:
        widths = key.a_bits, key.w_bits, key.out_bits, key.in_bits
        return template(layer, *widths, carried=key.carried)
    named = {
        "input": key.a_bits,
        "weight": key.w_bits,
        "hidden": key.hidden_bits,
        "recurrent": key.recurrent_bits,
    }
    return cell_template(layer, named, key.in_bits, carried=key.carried)


@dataclass(frozen=True)
class _Row:
    blocks: tuple[Block, ...]
    size: int
    tables: dict[str, int]
    """Bytes of the tables by name."""


class BitfusionCosts(CostModel):
    """Cost model of one program on one machine."""

    def __init__(self, table: LayerTable, space: GeneSpace, machine: Machine) -> None:
        self.table = table
        self.space = space
        self.machine = machine
        self._rows: dict[tuple[str, Key, str], _Row] = {}
        self._counts: dict[tuple[str, Key, str, Workload], npt.NDArray[np.int64]] = {}
        self._direct = {t.direct: t.name for t in table if t.direct is not None}

    def cost(
        self, genomes: npt.ArrayLike, workload: Workload, options: Options
    ) -> dict[str, FloatArray]:
        """Costs of genomes [N, G]: `latency` [s], `energy` [J], `size` [bytes], each [N].

        Raises:
            NoRoom: a layer of one of them does not fit.
            MohaqError: unknown options, genomes of the wrong shape, too many rows.
        """
        total, size = self.total(genomes, workload, options)
        return {
            "latency": np.asarray(seconds(total, self.machine), dtype=np.float64),
            "energy": np.asarray(joules(total, self.machine), dtype=np.float64),
            "size": size.astype(np.float64),
        }

    def total(
        self, genomes: npt.ArrayLike, workload: Workload, options: Options
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Counts [N, len(COUNTERS)] and sizes [N] in bytes behind `cost`.

        Raises:
            MohaqError: as `cost`.
        """
        check_options(options)
        widths = self.space.widths(genomes)
        number = len(next(iter(widths.values())))
        total = np.zeros((number, len(COUNTERS)), dtype=np.int64)
        size = np.zeros(number, dtype=np.int64)
        tables: dict[str, int] = {}
        for layer in self.table:
            keys = self._keys(layer, widths, number)
            unique, inverse = np.unique(keys, axis=0, return_inverse=True)
            rows = [_key(one, carried=workload.carried_state) for one in unique]
            counts = [self.counts(layer, key, workload, options) for key in rows]
            held = [self.row(layer, key, options) for key in rows]
            total += np.stack(counts)[inverse.reshape(-1)]
            size += np.array([r.size for r in held], dtype=np.int64)[inverse.reshape(-1)]
            # All layers look functions up in the same tables.
            for one in held:
                tables |= one.tables
        return total, size + sum(tables.values())

    def _keys(self, layer: Layer, widths: dict[Slot, IntArray], number: int) -> IntArray:
        """[N, 6]: the widths of `Key` for each genome."""
        full = np.full(number, STORED, dtype=np.int64)
        a = widths[Slot(layer.name, "input")]
        w = widths[Slot(layer.name, "weight")]
        out = full if layer.direct is None else widths[Slot(layer.direct, "input")]
        stored = a if layer.name in self._direct else full
        inner = [
            widths[Slot(layer.name, s)] if s in layer.slots else np.zeros_like(full)
            for s in ("hidden", "recurrent")
        ]
        return np.stack([a, w, out, stored, *inner], axis=1)

    def row(self, layer: Layer, key: Key, options: Options) -> _Row:
        """Blocks and size of a layer at given widths."""
        place = (layer.name, key, options.prefer)
        if place not in self._rows:
            program = _template(layer, key)
            made = build(program, self.machine, options.prefer, DEFAULT_MAX_ROWS)
            held = [r for r in made.regions if r.constant]
            self._rows[place] = _Row(
                made.blocks,
                sum(-(-r.bits // 8) for r in held if not r.table),
                {r.name: -(-r.bits // 8) for r in held if r.table},
            )
        return self._rows[place]

    def counts(
        self, layer: Layer, key: Key, workload: Workload, options: Options
    ) -> npt.NDArray[np.int64]:
        """Counts [len(COUNTERS)] of a layer at given widths."""
        place = (layer.name, key, options.prefer, workload)
        if place not in self._counts:
            blocks = self.row(layer, key, options).blocks
            found = np.zeros(len(COUNTERS), dtype=np.int64)
            for block in blocks:
                found += count_block(block, workload, self.machine)
            self._counts[place] = found
        return self._counts[place]
