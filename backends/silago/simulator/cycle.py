"""The plain engine: one Python step per clock edge, written to be read next to the ISA page.

Within the cycle that ends at edge e: settings that become live, reads, datapath outputs, the
switchbox, register-file and SRAM writes at e, the datapaths' registers, then the decode at e.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mohaq.backends.silago.isa.instructions import (
    Bw,
    BwConfig,
    Dpu,
    Mode,
    Port,
    Refi,
    Route,
    Sram,
    Swb,
)
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.simulator.datapath import (
    DRAIN,
    LANE_BITS,
    Arithmetic,
    Datapath,
    Setting,
    compute,
    needs,
    output,
    signed_shift,
)
from mohaq.backends.silago.simulator.faults import Fault, fault
from mohaq.backends.silago.simulator.patterns import Pattern, refi_access, sram_access
from mohaq.backends.silago.simulator.refusals import refused, source_of, tile_of
from mohaq.backends.silago.simulator.sequencer import Decoded, Sequencer
from mohaq.backends.silago.simulator.state import (
    NO_SOURCE,
    SINKS,
    Delivery,
    Run,
    State,
    sorted_rows,
)
from mohaq.compiler.diagnostics import MohaqError

ROW_WORDS = 16
KEPT = 32
"""Edges that a block read for the memory can be on its way."""
BLOCK_SLOT = {Port.W0: 4, Port.R0: 5}
"""Block patterns (dimarch = 1) have their own address generators beside those of the ports."""
W0, W1, R0, R1, BLOCK_W, BLOCK_R = range(6)


@dataclass
class _Cell:
    """One cell while it runs. `due` maps an edge to settings live in the cycle ending there."""

    row: int
    col: int
    rf: list[int]
    d: Datapath
    source: list[int]
    route: list[list[int]]
    setting: Setting
    bw_out: int
    sequencer: Sequencer | None = None
    slots: list[Pattern | None] = field(default_factory=lambda: [None] * 6)
    due: dict[int, list[tuple[str, int, int]]] = field(default_factory=dict)
    clear_at: int = -1
    shown: tuple[int, int] = (0, 0)
    out_driven: tuple[bool, bool] = (False, False)
    blocks_read: dict[int, list[int]] = field(default_factory=dict)


@dataclass
class _Stream:
    """An SRAM pattern under way."""

    cell: _Cell
    tile: tuple[int, int]
    hops: int
    write: bool
    pattern: Pattern


class CycleEngine:
    """Runs one segment edge by edge."""

    def __init__(
        self, fabric: Fabric, state: State, programs: Mapping[tuple[int, int], Sequence[int]]
    ) -> None:
        self.fabric = fabric
        self.state = state
        self.cells = [[self._cell(r, c) for c in range(fabric.cols)] for r in range(fabric.rows)]
        self.counters: Counter[str] = Counter()
        for (r, c), words in programs.items():
            cell = self.cells[r][c]
            cell.sequencer = Sequencer(
                words, fabric.imem_words, 1 + fabric.skew(r, c), [int(v) for v in state.regs[r, c]]
            )
            self.counters["words_loaded"] += len(words)
        self.streams: list[_Stream] = []
        self.busy: dict[tuple[tuple[int, int], int], int] = {}
        self.bus: dict[int, dict[tuple[int, int], list[int]]] = {}
        self.writes: list[tuple[int, int, int, int, int]] = []
        self.sram_writes: list[tuple[int, int, int, int]] = []
        self.last_access = 0
        self.last_decode = 0
        self.arithmetic = Arithmetic(
            fabric.q_shift, fabric.numerics == "wide_acc", "lane_slice" in fabric.repairs
        )

    def run(self, edges: int | None, deliveries: Sequence[Delivery] = ()) -> Run:
        """Run until all is quiet, or the edges 0 .. edges-1.

        Raises:
            MohaqError: an instruction whose effect is not known, or a program that never ends.
        """
        edge = 0
        while edge < edges if edges is not None else self._alive(edge):
            for one in deliveries:
                if one.edge == edge:
                    one.put(self.state.sram)
            self._step(edge)
            edge += 1
            if edges is None and edge > 1 << 26:
                raise fault(Fault.ENDLESS, 0, 0, edge)
        self._store()
        return Run(
            sorted_rows(self.writes, 5),
            sorted_rows(self.sram_writes, 4),
            self.last_access,
            self.last_decode,
            {name: n for name, n in self.counters.items() if n},
        )

    def _alive(self, edge: int) -> bool:
        return (
            edge <= self.last_decode + 2
            or bool(self.streams)
            or any(cell.sequencer is not None and cell.sequencer.active for cell in self._all())
            or any(slot is not None for cell in self._all() for slot in cell.slots)
        )

    def _all(self) -> list[_Cell]:
        return [cell for row in self.cells for cell in row]

    @property
    def _latched(self) -> bool:
        return "bw_latch" in self.fabric.repairs

    def _step(self, edge: int) -> None:
        for cell in self._all():
            self._settle(cell, edge)
        wires = {(cell.row, cell.col): self._sources(cell, edge) for cell in self._all()}
        sinks = {
            (cell.row, cell.col): [self._sink(cell, v, wires) for v in range(SINKS)]
            for cell in self._all()
        }
        for cell in self._all():
            self._rf_write(cell, edge, sinks[cell.row, cell.col])
        self._sram(edge)
        compared = {(cell.row, cell.col): cell.d.status for cell in self._all()}
        for cell in self._all():
            self._compute(cell, edge, sinks[cell.row, cell.col][2:])
        for cell in self._all():
            status = compared[cell.row, cell.col]
            if (found := self._decode(cell, edge, status)) is not None:
                self.last_decode = edge
                self.counters["decodes"] += 1
                self._execute(cell, edge, found)
        for cell in self._all():
            self._latch(cell)

    # -- one cell, in the order of a cycle ------------------------------------------------------

    def _settle(self, cell: _Cell, edge: int) -> None:
        if not self._latched:
            cell.bw_out = Bw.INT16
            cell.setting = replace(cell.setting, bw=int(Bw.INT16))
        for kind, a, b in cell.due.pop(edge, ()):
            if kind == "source":
                cell.source[a] = b
            elif kind == "bw_out":
                cell.bw_out = a
            elif kind == "bw":
                cell.setting = replace(cell.setting, bw=a)
            else:
                mode, change, shift = a & 31, a >> 5, b
                cell.setting = Setting(mode, change, shift, cell.setting.bw)

    def _sources(self, cell: _Cell, edge: int) -> list[tuple[int, bool]]:
        """Values and activity of r0, r1, out0, out1 in this cycle."""
        reads = [self._read(cell, slot, edge) for slot in (R0, R1)]
        block = cell.slots[BLOCK_R]
        if block is not None and (at := block.access(edge)) is not None:
            first = at % self.fabric.rf_blocks * ROW_WORDS
            kept = {e: words for e, words in cell.blocks_read.items() if e > edge - KEPT}
            cell.blocks_read = kept | {edge: cell.rf[first : first + ROW_WORDS]}
            self.counters["rf_words_read"] += ROW_WORDS
            self.last_access = edge
        out0, out1 = output(cell.d, cell.setting, cell.bw_out, self.arithmetic)
        cell.shown = (out0, out1)
        return [*reads, (out0, cell.out_driven[0]), (out1, cell.out_driven[1])]

    def _read(self, cell: _Cell, slot: int, edge: int) -> tuple[int, bool]:
        pattern = cell.slots[slot]
        if pattern is None or (at := pattern.access(edge)) is None:
            return 0, False
        self.counters["rf_words_read"] += 1
        self.last_access = edge
        return cell.rf[at % self.fabric.rf_words], True

    def _sink(
        self, cell: _Cell, v: int, wires: Mapping[tuple[int, int], list[tuple[int, bool]]]
    ) -> tuple[int, bool]:
        code = cell.source[v]
        if code == NO_SOURCE:
            return 0, False
        return wires[divmod(code // 4, self.fabric.cols)][code % 4]

    def _rf_write(self, cell: _Cell, edge: int, sinks: list[tuple[int, bool]]) -> None:
        stored: dict[int, int] = {}
        for slot in (W1, W0):
            pattern = cell.slots[slot]
            if pattern is not None and (at := pattern.access(edge)) is not None:
                stored[at % self.fabric.rf_words] = sinks[slot][0]
        block = cell.slots[BLOCK_W]
        if block is not None and (at := block.access(edge)) is not None:
            first = at % self.fabric.rf_blocks * ROW_WORDS
            arrived = self._arrived(cell, edge)
            stored |= {first + i: arrived[i] for i in range(ROW_WORDS)}
        for at, value in stored.items():
            cell.rf[at] = value
            self.writes.append((edge, cell.row, cell.col, at, value))
        if stored:
            self.counters["rf_words_written"] += len(stored)
            self.last_access = edge

    def _compute(self, cell: _Cell, edge: int, operands: list[tuple[int, bool]]) -> None:
        mode = Mode(cell.setting.mode)
        bw = Bw(cell.setting.bw)
        compute(
            cell.d,
            cell.setting,
            [value for value, _ in operands],
            cell.shown,
            cell.bw_out,
            self.arithmetic,
            clear=cell.clear_at == edge,
        )
        driven = [active for _, active in operands]
        first, second = needs(mode)
        done = (
            bool(first) and all(driven[i] for i in first),
            bool(second) and all(driven[i] for i in second),
        )
        cell.out_driven = done
        for count in done:
            self.counters[f"dpu_{mode.name.lower()}"] += count
            if mode in {Mode.MAC, Mode.MAC_INTER}:
                bits = LANE_BITS[bw]
                self.counters[f"macs_{bits}"] += count * (16 // bits)

    def _latch(self, cell: _Cell) -> None:
        """Drop patterns that are over; done last so that a decode may replace them."""
        for i, slot in enumerate(cell.slots):
            if slot is not None and slot.over:
                cell.slots[i] = None

    def _arrived(self, cell: _Cell, edge: int) -> list[int]:
        """The memory row on the bus; both rows of cells share their column's bus."""
        rows = self.bus.get(edge, {})
        for row in (cell.row, *range(self.fabric.rows)):
            if (row, cell.col) in rows:
                return rows[row, cell.col]
        return [0] * ROW_WORDS

    # -- memory -----------------------------------------------------------------------------------

    def _sram(self, edge: int) -> None:
        touched: set[tuple[int, int]] = set()
        self.bus.pop(edge, None)
        for stream in self.streams:
            at = stream.pattern.access(edge)
            if at is None:
                continue
            if stream.tile in touched:
                raise fault(Fault.TILE_TWICE, stream.cell.row, stream.cell.col, edge)
            touched.add(stream.tile)
            self.last_access = edge
            at %= 128
            if at >= self.fabric.tile_depth:
                raise fault(Fault.TILE_ROW, stream.cell.row, stream.cell.col, edge, at)
            row = self.state.sram[stream.tile[0], stream.tile[1], at]
            cell = stream.cell
            if stream.write:
                row[:] = cell.blocks_read.get(edge - 1 - stream.hops, [0] * ROW_WORDS)
                self.sram_writes.append((edge, 1 + stream.tile[0], stream.tile[1], at))
                self.counters["sram_bits_written"] += self.fabric.row_bits
            else:
                arrival = edge + self.fabric.read_base - 4 + stream.hops + cell.row
                self.bus.setdefault(arrival, {})[cell.row, cell.col] = [int(v) for v in row]
                self.counters["sram_bits_read"] += self.fabric.row_bits
        self.streams = [s for s in self.streams if not s.pattern.over]

    # -- decode -----------------------------------------------------------------------------------

    def _decode(self, cell: _Cell, edge: int, status: int) -> Decoded | None:
        if cell.sequencer is None:
            return None
        try:
            return cell.sequencer.step(edge, status)
        except MohaqError:
            pc = cell.sequencer.pc
            raise fault(Fault.NO_INSTRUCTION, cell.row, cell.col, edge, pc) from None

    def _execute(self, cell: _Cell, edge: int, decoded: Decoded) -> None:
        i = decoded.instruction
        code, value = refused(i, cell.row, cell.col, self.fabric)
        if code:
            raise fault(code, cell.row, cell.col, edge, value)
        if isinstance(i, Refi):
            slot = i.port_no if not i.dimarch else BLOCK_SLOT[Port(i.port_no)]
            access = refi_access(i, decoded.regs)
            cell.slots[slot] = Pattern(access, edge + 1 + access.delay)
        elif isinstance(i, Swb):
            source = source_of(i, cell.row, cell.col, self.fabric)
            cell.due.setdefault(edge + 2, []).append(("source", i.v_index, source))
        elif isinstance(i, Dpu):
            shift = signed_shift(i.shift) if self.fabric.numerics == "wide_acc" else 0
            if i.mode != DRAIN:
                cell.clear_at = edge + 1
            cell.due.setdefault(edge + 2, []).append(("dpu", i.mode | i.io_change << 5, shift))
        elif isinstance(i, BwConfig):
            cell.due.setdefault(edge + 1, []).append(("bw_out", i.bw, 0))
            cell.due.setdefault(edge + 2, []).append(("bw", i.bw, 0))
        elif isinstance(i, Route):
            (row, col), hops = tile_of(i, cell.col)
            cell.route[i.direction] = [row * self.fabric.cols + col, hops]
        elif isinstance(i, Sram):
            self._stream(cell, edge, i, decoded.regs)

    def _stream(self, cell: _Cell, edge: int, i: Sram, regs: Sequence[int]) -> None:
        code, hops = cell.route[i.rw]
        if code < 0:
            raise fault(Fault.NO_ROUTE, cell.row, cell.col, edge)
        if i.hops != hops:
            raise fault(Fault.HOPS, cell.row, cell.col, edge, hops)
        access = sram_access(i, regs)
        first = edge + self.fabric.write_base + hops + access.delay
        tile = divmod(code, self.fabric.cols)
        # Each direction of a tile takes a new pattern two edges after the end of the one before.
        arrival = edge + hops
        if arrival < self.busy.get((tile, i.rw), 0):
            self.counters["lost_patterns"] += 1
            return
        self.busy[tile, i.rw] = arrival + access.delay + access.span + 2
        self.streams.append(_Stream(cell, tile, hops, bool(i.rw), Pattern(access, first)))

    # -- begin and end ----------------------------------------------------------------------------

    def _cell(self, row: int, col: int) -> _Cell:
        s = self.state
        at = (row, col)
        d = Datapath(
            raw=s.raw[at].tolist(),
            raw_bits=int(s.raw_bits[at]),
            ir=s.ir[at].tolist(),
            status=int(s.status[at]),
            draining=int(s.draining[at]),
            drained=int(s.drained[at]),
        )
        setting = Setting(int(s.mode[at]), int(s.change[at]), int(s.shift[at]), int(s.bw[at]))
        rf, source, route = s.rf[at].tolist(), s.source[at].tolist(), s.route[at].tolist()
        return _Cell(row, col, rf, d, source, route, setting, setting.bw)

    def _store(self) -> None:
        s = self.state
        for cell in self._all():
            at, d, now = (cell.row, cell.col), cell.d, cell.setting
            s.rf[at], s.source[at], s.route[at] = cell.rf, cell.source, cell.route
            s.mode[at], s.change[at], s.shift[at], s.bw[at] = (
                now.mode, now.change, now.shift, now.bw,
            )  # fmt: skip
            s.raw[at], s.raw_bits[at] = d.raw, d.raw_bits
            s.ir[at], s.status[at] = d.ir, d.status
            s.draining[at], s.drained[at] = d.draining, d.drained
            if cell.sequencer is not None:
                s.regs[at] = cell.sequencer.regs
