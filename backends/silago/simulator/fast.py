"""The fast engine: the same edges as cycle.py in compiled loops (kernels.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mohaq.backends.silago.isa.fields import DPU_MODES
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.simulator import kernels
from mohaq.backends.silago.simulator.faults import Fault, fault
from mohaq.backends.silago.simulator.nacu import table
from mohaq.backends.silago.simulator.sequencer import last_word
from mohaq.backends.silago.simulator.state import Delivery, Ints, Run, State, sorted_rows
from mohaq.backends.silago.simulator.tables import COLUMNS, table_of

CHUNK = 2048
"""Edges between two looks at the log."""

LONGEST = 1 << 30
STREAMS = 64
WRITES_PER_EDGE = 18
"""Most register-file words that a cell can store at one edge: a block, w0, w1."""


class FastEngine:
    """Runs one segment in compiled chunks; results equal those of `CycleEngine`."""

    def __init__(
        self, fabric: Fabric, state: State, programs: Mapping[tuple[int, int], Sequence[int]]
    ) -> None:
        self.fabric = fabric
        self.state = state
        cells = fabric.cells
        self.words = sum(len(words) for words in programs.values())
        self.programs = np.zeros((cells, fabric.imem_words + 1, COLUMNS), np.int64)
        self.seq = np.zeros((cells, 6), dtype=np.int64)
        for (row, col), words in programs.items():
            cell = row * fabric.cols + col
            self.programs[cell] = table_of(tuple(words), row, col, fabric)
            final = last_word(len(words), fabric.imem_words)
            self.seq[cell] = 0, 1 + fabric.skew(row, col), 1, final, -1, -1

    def run(self, edges: int | None, log: bool, deliveries: Sequence[Delivery] = ()) -> Run:
        """Run until all is quiet, or the edges 0 .. edges-1.

        Raises:
            MohaqError: an instruction whose effect is not known, or a program that never ends.
        """
        fabric, state, cells = self.fabric, self.state, self.fabric.cells
        ring = kernels.RING
        loops = np.zeros((cells, 4, 6), dtype=np.int64)
        slots = np.zeros((cells, 6, kernels.SLOT_COLUMNS), dtype=np.int64)
        streams = np.zeros((STREAMS, kernels.SLOT_COLUMNS), dtype=np.int64)
        busy = np.full((fabric.tile_rows * fabric.cols, 3), -1, dtype=np.int64)
        due_out = np.full((cells, ring), -1, dtype=np.int64)
        due = np.full((cells, ring, 4), -1, dtype=np.int64)
        clear_at = np.full(cells, -1, dtype=np.int64)
        bus = np.zeros((cells, ring, 16), dtype=np.int16)
        bus_edge = np.full((cells, ring), -1, dtype=np.int64)
        blocks = np.zeros((cells, ring, 16), dtype=np.int16)
        blocks_edge = np.full((cells, ring), -1, dtype=np.int64)
        counters = np.zeros(kernels.COUNTERS, dtype=np.int64)
        held: dict[str, Any] = {
            name: np.ascontiguousarray(getattr(state, name)).reshape(cells, *shape)
            for name, shape in _SHAPES.items()
        }
        held["sram"] = np.ascontiguousarray(state.sram).reshape(-1, fabric.tile_depth, 16)
        bw_out = held["bw"].copy()
        driven = np.zeros((cells, 2), dtype=np.bool_)
        lines = CHUNK * cells * WRITES_PER_EDGE if log else 1
        buffer = np.zeros((lines, 4), dtype=np.int64)
        sram_buffer = np.zeros((CHUNK * STREAMS if log else 1, 3), dtype=np.int64)
        written, problem = np.zeros(2, dtype=np.int64), np.zeros(3, dtype=np.int64)
        geometry = (
            fabric.cols, fabric.tile_depth, fabric.q_shift, "bw_latch" in fabric.repairs,
            fabric.read_base, fabric.write_base, fabric.numerics == "wide_acc",
            "lane_slice" in fabric.repairs,
        )  # fmt: skip
        kept: list[Ints] = []
        kept_sram: list[Ints] = []
        edge, end = 0, LONGEST if edges is None else edges
        coming = sorted(deliveries, key=lambda one: one.edge)
        tiles = held["sram"].reshape(state.sram.shape)
        while edge < end:
            while coming and coming[0].edge <= edge:
                coming.pop(0).put(tiles)
            upto = min(edge + CHUNK, end, coming[0].edge if coming else end)
            reached = kernels.advance(
                edge, upto, edges is None, geometry, self.programs, self.seq, loops, held["regs"],
                slots, streams, busy, due_out, due, clear_at, bus, bus_edge, blocks, blocks_edge,
                bw_out, driven, held["rf"], held["sram"], held["source"], held["route"],
                held["mode"], held["change"], held["shift"], held["bw"],
                held["raw"], held["raw_bits"], held["ir"], held["status"], held["draining"], held["drained"], table("sigmoid"), table("tanh"),
                counters, log, buffer, sram_buffer, written, problem,
            )  # fmt: skip
            if log:
                kept.append(buffer[: written[0]].copy())
                kept_sram.append(sram_buffer[: written[1]].copy())
            if reached < 0:
                row, col = divmod(int(problem[0]), fabric.cols)
                raise fault(-1 - reached, row, col, int(problem[1]), int(problem[2]))
            if reached < upto:
                break
            edge = upto
        else:
            if edges is None:
                raise fault(Fault.ENDLESS, 0, 0, edge)
        return self._report(held, counters, kept, kept_sram)

    def _report(
        self, held: Mapping[str, Any], counters: Ints, kept: list[Ints], kept_sram: list[Ints]
    ) -> Run:
        for name in (*_SHAPES, "sram"):
            getattr(self.state, name)[...] = held[name].reshape(getattr(self.state, name).shape)
        cols = self.fabric.cols
        raw = np.concatenate(kept) if kept else np.zeros((0, 4), dtype=np.int64)
        log = np.stack([raw[:, 0], raw[:, 1] // cols, raw[:, 1] % cols, raw[:, 2], raw[:, 3]], 1)
        memory = np.concatenate(kept_sram) if kept_sram else np.zeros((0, 3), dtype=np.int64)
        memory = np.stack(
            [memory[:, 0], 1 + memory[:, 1] // cols, memory[:, 1] % cols, memory[:, 2]], 1
        )
        k = kernels
        found = {
            "macs_16": counters[k.N_MAC16], "macs_8": counters[k.N_MAC8],
            "macs_4": counters[k.N_MAC4], "sram_bits_read": counters[k.N_READ_BITS],
            "sram_bits_written": counters[k.N_WRITE_BITS], "words_loaded": self.words,
            "decodes": counters[k.N_DECODES], "rf_words_read": counters[k.N_RF_READ],
            "rf_words_written": counters[k.N_RF_WRITE], "lost_patterns": counters[k.N_LOST],
        }  # fmt: skip
        for mode, name in enumerate(DPU_MODES):
            found[f"dpu_{name}"] = counters[k.N_MODES + mode]
        return Run(
            sorted_rows(log, 5),
            sorted_rows(memory, 4),
            int(counters[k.N_LAST_ACCESS]),
            int(counters[k.N_LAST_DECODE]),
            {name: int(value) for name, value in found.items() if value},
        )


_SHAPES: Mapping[str, tuple[int, ...]] = {
    "rf": (64,), "regs": (16,), "source": (6,), "route": (2, 2), "mode": (), "change": (),
    "shift": (), "bw": (), "raw": (2, 4), "raw_bits": (), "ir": (2,), "status": (), "draining": (), "drained": (),
}  # fmt: skip
