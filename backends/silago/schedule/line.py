"""A cell program under construction, with the decode edge of every instruction."""

from __future__ import annotations

from collections.abc import Sequence

from mohaq.backends.silago.isa.instructions import (
    Halt,
    Instruction,
    Loop,
    Port,
    Raccu,
    RaccuMode,
    Refi,
    Route,
    Sink,
    Sram,
    Swb,
    Wait,
)
from mohaq.backends.silago.isa.words import addresses, encode_all
from mohaq.compiler.diagnostics import MohaqError

IMEM_WORDS = 64
LONGEST_WAIT = 1 << 15
"""Cycles of one WAIT."""

MOST_TRIPS = 63
"""Trip count of a LOOP."""

READ_DELAY = 4
"""REFI w0 right after its SRAM stores the first block when it waits 4 + row + 2 hops + d
(docs/isa/silago.md, timing)."""

SLACK = 3
"""row + 2 hops + d is 3 for every cell, so that all cells have one timing."""

LATER = 5
"""Edges that cells of row 1 start elementwise segments later. Both cells of a column get their
rows over one bus, and rows of row 1 then come 6 edges after those of row 0 (1 is the skew)."""


class Line:
    """Instructions in order; `now` is the decode edge of the next one, 0 for the first."""

    def __init__(self, row: int, later: int = 0) -> None:
        self.row = row
        self.items: list[Instruction] = []
        self.now = 0
        self._loop: tuple[int, int, int] | None = None
        if row:
            self.wait_until(later * row)

    @property
    def hops(self) -> int:
        """Hops to the tile that this cell reads: row 0 has the near tiles, row 1 the far ones.

        Results always go to the near tile: writes over hops were never measured.
        """
        return self.row

    @property
    def delay(self) -> int:
        """init_delay of an SRAM read, which makes up for the way to the tile."""
        return SLACK - self.row - 2 * self.hops

    def put(self, *items: Instruction) -> None:
        """Append; one decode edge each."""
        for item in items:
            self.items.append(item)
            self.now += 1

    def wait_until(self, edge: int) -> None:
        """Let the next instruction decode at an edge.

        Raises:
            MohaqError: the edge is over, which is an error of the schedule.
        """
        left = edge - self.now
        if left < 0:
            raise MohaqError(f"a schedule is {-left} edges too late", where=f"edge {edge}")
        while left:
            part = min(left, LONGEST_WAIT)
            self.put(Wait(part - 1))
            left -= part
            self.now += part - 1

    def loop(self, trips: int) -> None:
        """Begin a loop; its body must take the same time in every trip."""
        if not 1 <= trips <= MOST_TRIPS:
            raise MohaqError(f"a loop has 1..{MOST_TRIPS} trips, not {trips}")
        self.put(Loop(endpc=0, iter=trips))
        self._loop = (len(self.items) - 1, trips, self.now)

    def end_loop(self) -> int:
        """End the loop after the last instruction; gives the edges that all other trips take."""
        assert self._loop is not None
        at, trips, start = self._loop
        places = addresses(self.items)
        self.items[at] = Loop(endpc=places[-1], iter=trips)
        others = (trips - 1) * (self.now - start)
        self.now += others
        self._loop = None
        return others

    def connect(self) -> None:
        """r0 and r1 to the operands, the first output to w1."""
        self.connect_operand(Sink.IN0, self.row, 0)
        self.connect_operand(Sink.IN1, self.row, 1)
        self.connect_result(0)

    def connect_operand(self, sink: Sink, row: int, port: int, *, dpu: bool = False) -> None:
        """A port of the register file (or of the datapath) of the column's cell in a row."""
        self.put(
            Swb(
                v_index=int(sink),
                src_row=row,
                send_to_other_row=int(row != self.row),
                src_block=int(dpu),
                src_port=port,
                hb_index=2,
            )
        )

    def connect_result(self, port: int) -> None:
        """An output of the own datapath to w1."""
        self.connect_operand(Sink.W1, self.row, port, dpu=True)

    def route(self, *, write: bool) -> None:
        """Open the way to the tile that this cell reads, or to the one that it writes."""
        self.put(
            Route(
                horizontal_dir=1,
                vertical_dir=1,
                vertical_hops=0 if write else self.hops,
                direction=int(write),
                select_drra_row=self.row,
            )
        )

    def set_register(self, register: int, value: int) -> None:
        """register = value."""
        self.put(Raccu(int(RaccuMode.ADD), value, 0, register))

    def step_register(self, register: int, by: int) -> None:
        """register += by."""
        mode = RaccuMode.ADD if by >= 0 else RaccuMode.SUB
        self.put(Raccu(int(mode), register, abs(by), register, operand1_sd=1))

    def read_rows(self, at: int, count: int, block: int, *, register: bool = True) -> None:
        """Fetch rows from an address, or from the one in a register, into blocks; SRAM decodes now.

        The first block is stored at the SRAM's decode edge + 9.
        """
        self.put(
            Sram(
                init_addr=at,
                init_addr_sd=int(register),
                init_delay=self.delay,
                l1_iter=count - 1,
                hops=self.hops,
            ),
            block_write(block, count, READ_DELAY + SLACK),
        )

    def write_rows(self, at: int, count: int, block: int, *, register: bool = True) -> None:
        """Store blocks to rows from an address, or from the one in a register, every second edge."""
        self.put(
            Sram(
                rw=1,
                init_addr=at,
                init_addr_sd=int(register),
                l1_iter=count - 1,
                l1_delay=1,
            ),
            Refi(
                port_no=int(Port.R0),
                extra=2,
                init_addr=block,
                init_delay=1,
                l1_iter=count - 1,
                l1_delay=1,
                l2_step=0,
                dimarch=1,
            ),
        )

    def finish(self) -> tuple[Instruction, ...]:
        """End with HALT; gives the program.

        Raises:
            MohaqError: more words than an instruction store has.
        """
        self.put(Halt())
        words = sum(i.words for i in self.items)
        if words > IMEM_WORDS:
            raise MohaqError(f"a segment has {words} words, the store {IMEM_WORDS}")
        return tuple(self.items)


def block_write(block: int, count: int, delay: int) -> Refi:
    """REFI w0 for blocks that arrive from memory."""
    return Refi(
        port_no=int(Port.W0),
        extra=2,
        init_addr=block,
        init_delay=delay,
        l1_iter=count - 1,
        l2_step=0,
        dimarch=1,
    )


def words_of(program: Sequence[Instruction]) -> tuple[int, ...]:
    """Encoded words."""
    return encode_all(program)
