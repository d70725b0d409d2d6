"""Costs of many assignments at once: counts by layer and widths, looked up and summed.

A layer's blocks depend on its shape, its two widths and on how its input is and its result will
be held (`passes/lower_to_qnn`), so a table row holds the counts of all its blocks. The blocks
are made by the lowering itself from a template of the layer's `qnn` code without data.
What stays on chip between two layers follows from both rows, what stays inside a layer from its
row and its two borders (`schedule/chain`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import CostModel, FloatArray, GeneSpace, IntArray, Options, Workload
from mohaq.backends.bitfusion.counters import COUNTERS, joules, seconds
from mohaq.backends.bitfusion.isa.blocks import Block
from mohaq.backends.bitfusion.lowering.build import (
    DEFAULT_MAX_ROWS,
    Lowered,
    Port,
    build_apart,
)
from mohaq.backends.bitfusion.lowering.cell_template import CELLS, cell_template
from mohaq.backends.bitfusion.lowering.chain import candidates
from mohaq.backends.bitfusion.lowering.template import template
from mohaq.backends.bitfusion.machine import Machine
from mohaq.backends.bitfusion.options import check_options
from mohaq.backends.bitfusion.schedule.chain import (
    LayerChain,
    Place,
    Value,
    agree,
    hold,
    layer_chain,
    moved,
)
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
    chain: LayerChain


Border = tuple[Place | None, Place | None]
"""Where a layer's input and its result stay on chip."""


class BitfusionCosts(CostModel):
    """Cost model of one program on one machine."""

    def __init__(self, table: LayerTable, space: GeneSpace, machine: Machine) -> None:
        self.table = table
        self.space = space
        self.machine = machine
        self._rows: dict[tuple[str, Key, str], _Row] = {}
        self._counts: dict[tuple[Any, ...], npt.NDArray[np.int64]] = {}
        self._direct = {t.direct: t.name for t in table if t.direct is not None}
        readers = Counter(t.source for t in table)
        # A result that one layer reads, the next one, may stay on chip for it.
        self._chained = {
            front.name
            for front, back in pairwise(table)
            if back.source == front.name
            and readers[front.name] == 1
            and not front.returned
            and not _is_padded(front)
        }

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
        keys = [self._keys(layer, widths, number) for layer in self.table]
        for place, layer in enumerate(self.table):
            # Costs of a layer depend on its own widths and, by what stays on chip, on those of
            # the layers in front of it and behind it.
            around = keys[max(0, place - 1) : place + 2]
            unique, inverse = np.unique(np.hstack(around), axis=0, return_inverse=True)
            counts, sizes = [], []
            for one in unique:
                found = [
                    _key(part, carried=workload.carried_state)
                    for part in np.split(one, len(around))
                ]
                mine = found[min(place, 1)]
                border = self._border(place, found, options)
                counts.append(self.counts(layer, mine, border, workload, options))
                row = self.row(layer, mine, options)
                sizes.append(row.size)
                # All layers look functions up in the same tables.
                tables |= row.tables
            total += np.stack(counts)[inverse.reshape(-1)]
            size += np.array(sizes, dtype=np.int64)[inverse.reshape(-1)]
        return total, size + sum(tables.values())

    def _border(self, place: int, keys: list[Key], options: Options) -> Border:
        """Where input and result of layer `place` stay; keys of it and its neighbours."""
        layers = self.table.layers[max(0, place - 1) : place + 2]
        rows = [self.row(t, k, options) for t, k in zip(layers, keys, strict=True)]
        found = [
            agree(front.chain, back.chain) if layer.name in self._chained else None
            for layer, (front, back) in zip(layers, pairwise(rows), strict=False)
        ]
        before = found.pop(0) if place else None
        return before, found[0] if found else None

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
        """Blocks and size of a layer at given widths, and what may stay on chip beside them."""
        place = (layer.name, key, options.prefer)
        if place not in self._rows:
            program = _template(layer, key)
            made = build_apart(program, self.machine, options.prefer, DEFAULT_MAX_ROWS)
            held = [r for r in made.regions if r.constant]
            (x, *_), (result, *_) = made.inputs, made.outputs
            given = layer.source in self._chained
            chain = layer_chain(
                made.blocks,
                [v for v in candidates(made.regions, made.ports) if moved(made.blocks, v)],
                self.machine,
                before=_value(made, x) if given else None,
                after=_value(made, result) if layer.name in self._chained else None,
            )
            self._rows[place] = _Row(
                made.blocks,
                sum(-(-r.bits // 8) for r in held if not r.table),
                {r.name: -(-r.bits // 8) for r in held if r.table},
                chain,
            )
        return self._rows[place]

    def counts(
        self, layer: Layer, key: Key, border: Border, workload: Workload, options: Options
    ) -> npt.NDArray[np.int64]:
        """Counts [len(COUNTERS)] of a layer at given widths and borders."""
        rows = workload.frames * workload.batch
        stays = tuple(None if p is None else (p.pad, rows <= p.rows) for p in border)
        place = (layer.name, key, options.prefer, workload, stays)
        if place not in self._counts:
            row = self.row(layer, key, options)
            found = np.zeros(len(COUNTERS), dtype=np.int64)
            for block in hold(row.blocks, row.chain.places(*border), DEFAULT_MAX_ROWS):
                found += count_block(block, workload, self.machine)
            self._counts[place] = found
        return self._counts[place]


def _value(made: Lowered, port: Port) -> Value:
    """The argument or result of a program as a value between blocks."""
    at = port.views[0].address
    region = next(r for r in made.regions if r.address <= at < r.address + r.bits)
    return Value(region.address, region.pitch)


def _is_padded(layer: Layer) -> bool:
    """Whether a layer's result lies among the zeros of a projection (docs/targets/bitfusion.md)."""
    return layer.projected and layer.directions == 1 and layer.recurrent_inputs != layer.hidden
