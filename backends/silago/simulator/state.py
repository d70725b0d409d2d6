"""What a fabric keeps from one program segment to the next, and what a run reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.backends.silago.machine import Fabric

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.int16]

SINKS = 6
"""Switchbox destinations of a cell: w0, w1, in0..in3."""

NO_SOURCE = -1


@dataclass
class State:
    """Contents of the fabric while no program runs. R, C: rows and columns of cells.

    rf: [R, C, 64]; sram: [tile rows, C, depth, 16], index 0 = tile row 1, the one next to the
    fabric; regs: RACCU [R, C, 16].
    source: [R, C, 6] what drives each sink: (row * C + col) * 4 + 2 * is_dpu + port, or -1.
    route: [R, C, 2, 2] (tile row * C + tile col, hops) for reads and writes, -1 while unset.
    mode, change, shift, bw: [R, C] live settings of the datapath.
    raw: [R, C, 2, 4] register of each NACU by lane; raw_bits: operand width of those lanes.
    ir: [R, C, 2] constants; status: last compare; draining, drained: lanes that the draining mode
    (our extension) has shown, and the word that it shows next.
    """

    rf: Words
    sram: Words
    regs: Ints
    source: Ints
    route: Ints
    mode: Ints
    change: Ints
    shift: Ints
    bw: Ints
    raw: Ints
    raw_bits: Ints
    ir: Ints
    status: Ints
    draining: Ints
    drained: Ints

    def copy(self) -> State:
        """An independent copy."""
        return State(**{f.name: getattr(self, f.name).copy() for f in fields(self)})

    def equals(self, other: State) -> bool:
        """Whether all contents agree."""
        return all(
            np.array_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)
        )


def reset(fabric: Fabric) -> State:
    """The state after reset: everything 0, nothing connected."""
    cells = (fabric.rows, fabric.cols)

    def zeros(*more: int) -> Ints:
        return np.zeros((*cells, *more), dtype=np.int64)

    words = fabric.row_bits // fabric.word_bits
    return State(
        rf=np.zeros((*cells, fabric.rf_words), dtype=np.int16),
        sram=np.zeros((fabric.tile_rows, fabric.cols, fabric.tile_depth, words), dtype=np.int16),
        regs=zeros(fabric.raccu_regs),
        source=np.full((*cells, SINKS), NO_SOURCE, dtype=np.int64),
        route=np.full((*cells, 2, 2), -1, dtype=np.int64),
        mode=zeros(),
        change=zeros(),
        shift=zeros(),
        bw=zeros(),
        raw=zeros(2, 4),
        raw_bits=np.full(cells, 16, dtype=np.int64),
        ir=zeros(2),
        status=zeros(),
        draining=zeros(),
        drained=zeros(),
    )


COUNTERS = (
    "macs_16", "macs_8", "macs_4", "sram_bits_read", "sram_bits_written", "words_loaded",
    "decodes", "rf_words_read", "rf_words_written", "lost_patterns",
)  # fmt: skip
"""Counters of a run, besides `dpu_<mode>` (operations a NACU did, whole words)."""


@dataclass(frozen=True)
class Delivery:
    """Rows [n, 16] that the port brings to a tile; reads from an edge on find them."""

    edge: int
    tile: int
    col: int
    row: int
    words: Words

    def put(self, sram: Words) -> None:
        """Write the rows into [tile rows, C, depth, 16]."""
        sram[self.tile, self.col, self.row : self.row + len(self.words)] = self.words


@dataclass(frozen=True)
class Run:
    """What one program segment did; edges count from its own start.

    writes: [N, 5] edge, row, col, address, value of every register-file write, sorted.
    sram_writes: [N, 4] edge, tile row, tile col, row. Both are empty when not logged.
    """

    writes: Ints
    sram_writes: Ints
    last_access: int
    """Edge of the last register-file or SRAM access."""
    last_decode: int
    """Edge of the last instruction, HALT included."""
    counters: Mapping[str, int]

    @property
    def cycles(self) -> int:
        """Edges until the segment is over."""
        return max(self.last_access, self.last_decode)


def sorted_rows(rows: Any, width: int) -> Ints:
    """Log entries as a sorted array [N, width]."""
    array = np.array(rows, dtype=np.int64).reshape(-1, width)
    if not len(array):
        return array
    low, high = array.min(axis=0).tolist(), array.max(axis=0).tolist()
    bits = [(last - first).bit_length() for first, last in zip(low, high, strict=True)]
    if sum(bits) > 62:
        return array[np.lexsort(array.T[::-1])]
    # One number a row: logs come nearly sorted, and then this sort is quick.
    key = np.zeros(len(array), dtype=np.int64)
    for column, first, count in zip(array.T, low, bits, strict=True):
        key = key << count | (column - first)
    return array[np.argsort(key, kind="stable")]
