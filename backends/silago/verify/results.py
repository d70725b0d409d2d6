"""Rules of the datapath: what drives a store, in which mode and width its result was made."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence

from mohaq.backends.silago.isa.instructions import Bw, Mode, Port
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.simulator.datapath import DRAIN, EXTREMES, LANE_BITS
from mohaq.backends.silago.verify.carried import Carried
from mohaq.backends.silago.verify.events import Events, PortUse
from mohaq.backends.silago.verify.finding import Finding

CONSTANT_MODES = frozenset(
    {Mode.ADD_CONST, Mode.MULT_CONST, Mode.AXPY, Mode.MAX_MIN_CONST, Mode.MAC_INTER}
)
"""Modes that use the constant of ld_ir."""

SECOND_LANE = frozenset({Mode.ADD, Mode.SUBT, Mode.MAC, Mode.MAX_MIN, Mode.MAX_MIN_ACC})
"""Modes whose out1 was measured."""

WHOLE_WORD = frozenset({Mode.SIGM, Mode.TANHYP, Mode.SHIFT_L, Mode.SHIFT_R, Mode.LD_IR})
"""Modes that need int16 operands."""

NOT_Q = frozenset({Mode.MULT_ADD, Mode.AXPY, Mode.MULT_CONST, Mode.MAC_INTER})
"""Modes that were not measured in Q4.11."""


class Timeline:
    """The live modes and widths of a datapath."""

    def __init__(self, events: Events | None, mode: int, bw: int, latched: bool) -> None:
        dpu = events.dpu if events else []
        widths = events.bw if events else []
        self.mode_from = [-1, *(d + 2 for d, _, _ in dpu)]
        self.modes = [mode, *(i.mode for _, _, i in dpu)]
        self.changes = [0, *(i.io_change for _, _, i in dpu)]
        self.clears = {d + 1 for d, _, i in dpu if i.mode != DRAIN}
        self.bw_from = [-1, *(d + 1 for d, _ in widths)]
        self.widths = [bw, *(b for _, b in widths)]
        self.latched = latched
        marks = {*self.mode_from, *self.bw_from, *(e + 1 for e in self.bw_from), *self.clears}
        self.marks = sorted(marks)

    def mode(self, edge: int) -> tuple[int, int]:
        """Mode and io_change live in the cycle that ends at an edge."""
        at = bisect_right(self.mode_from, edge) - 1
        return self.modes[at], self.changes[at]

    def bw(self, edge: int, late: int) -> int:
        """Width live in a cycle: of the output (late 0) or the multiplier (late 1)."""
        at = bisect_right(self.bw_from, edge - late) - 1
        if not self.latched and at > 0 and self.bw_from[at] != edge - late:
            return Bw.INT16
        return self.widths[at]


def check_results(fabric: Fabric, cells: Sequence[Events], before: Carried) -> list[Finding]:
    """Findings of stores and of datapath instructions."""
    latched = "bw_latch" in fabric.repairs
    lines = {
        events.cell: Timeline(
            events, before.mode.get(events.cell, 0), before.bw.get(events.cell, 0), latched
        )
        for events in cells
    }
    found: list[Finding] = []
    for events in cells:
        found += _constants(events)
        for edge, pc in events.branches:
            if lines[events.cell].mode(edge - 1)[0] not in EXTREMES - {Mode.RELU}:
                text = "the branch looks at a compare that no max/min mode made"
                found.append(Finding("branch-status", events.cell, pc, edge, text))
        for use in events.ports:
            if use.port in {Port.W0, Port.W1} and not use.block:
                found += _store(fabric, events, use, lines, before)
    return found


def _constants(events: Events) -> Iterator[Finding]:
    """The next DPU instruction follows ld_ir directly, or the constant becomes 0."""
    for n, (edge, pc, i) in enumerate(events.dpu):
        if i.mode != Mode.LD_IR:
            continue
        if n + 1 == len(events.dpu) or events.dpu[n + 1][0] != edge + 1:
            text = "another DPU instruction must follow ld_ir directly"
            yield Finding("ld-ir", events.cell, pc, edge, text)


def _store(
    fabric: Fabric,
    events: Events,
    use: PortUse,
    lines: Mapping[tuple[int, int], Timeline],
    before: Carried,
) -> list[Finding]:
    changes = events.sources.get(use.port, [])
    live = [code for edge, code, _ in changes if edge <= use.first]
    code = live[-1] if live else before.sources.get(events.cell, {}).get(use.port)
    name = Port(use.port).name.lower()
    if code is None:
        text = f"nothing drives port {name}: it would store zeros"
        return [Finding("driver", events.cell, use.pc, use.first, text)]
    for edge, other, _ in changes:
        if use.first < edge <= use.last and other != code:
            text = f"the source of port {name} changes while its pattern runs"
            return [Finding("driver", events.cell, use.pc, edge, text)]
    if not code & 2:
        return []
    source = divmod(code // 4, fabric.cols)
    line = lines.get(source)
    if line is None:
        bw = before.bw.get(source, 0)
        line = Timeline(None, before.mode.get(source, 0), bw, "bw_latch" in fabric.repairs)
    # The mode and width change at few edges: look at one access between two of them.
    marks = line.marks
    seen = set()
    for edge in use.edges().tolist():
        situation = (
            bisect_right(marks, edge), bisect_right(marks, edge - 1), edge - 1 in line.clears,
        )  # fmt: skip
        if situation in seen:
            continue
        seen.add(situation)
        problem = _result(line, edge, code & 1)
        if problem is not None:
            return [Finding(problem[0], events.cell, use.pc, edge, problem[1])]
    return []


def _result(line: Timeline, edge: int, second: int) -> tuple[str, str] | None:
    """What is wrong with storing the result shown in the cycle that ends at an edge."""
    mode, change = line.mode(edge - 1)
    made, shown = line.bw(edge - 1, 1), line.bw(edge, 0)
    if mode == Mode.IDLE:
        return "result", "the datapath is idle"
    if mode == DRAIN:
        return None  # shows an accumulator as it was before this edge, in whole words
    if edge - 1 in line.clears:
        return "cleared", "its operands came in the cycle that clears the accumulator"
    if LANE_BITS[Bw(made)] != LANE_BITS[Bw(shown)]:
        return "width-mix", "the result mixes two operand widths"
    packed = LANE_BITS[Bw(made)] < 16
    if mode in WHOLE_WORD and (packed or shown == Bw.Q4_11):
        return "width", f"DPU mode {mode} needs int16 operands (BW_CONFIG 0)"
    if packed and mode not in {Mode.MULT, Mode.MAC}:
        return "width", f"DPU mode {mode} does not work lane by lane"
    if packed and change:
        return "width", "io_change on packed lanes was never measured"
    if mode in NOT_Q and shown == Bw.Q4_11:
        return "width", f"DPU mode {mode} in Q4.11 was never measured"
    if second and mode not in SECOND_LANE:
        return "second-lane", f"out1 of DPU mode {mode} was never measured"
    return None
