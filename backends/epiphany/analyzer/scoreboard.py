"""Dual-issue in-order scoreboard: cycles of a stream of executed instructions.

Rules and latencies: facts sheet epiphany.md section 1, marks [S]; the bubbles of a taken branch
are a parameter ([S], one source reads as 2). Two rules that the sheet leaves open are assumed and
err on the slow side: results are written in program order per register (an overtaken write waits),
and instructions on both sides of a hardware loop's end do not pair. Memory banks never conflict.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from mohaq.backends.epiphany.analyzer.instructions import FLAGS, FPU_FLAGS, LOADS, Instruction, Slot


@dataclass(frozen=True)
class Timing:
    """Machine parameters of the scoreboard, in cycles."""

    fpu: int = 5  # round to nearest; 4 when truncating
    fpu_to_store: int = 4  # round to nearest; 3 when truncating
    load: int = 2
    alu_to_fpu: int = 2
    load_to_fpu: int = 3
    taken_branch: int = 3


@dataclass
class Totals:
    """What a run cost: cycles, instructions, pairs and stall cycles by reason."""

    cycles: int = 0
    instructions: int = 0
    fpu: int = 0
    pairs: int = 0
    stalls: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Issue:
    """When one instruction issued: its cycle, whether it joined a pair, stall before it."""

    cycle: int
    paired: bool
    stall: int = 0
    reason: str = ""


class Scoreboard:
    """Feed executed instructions in order; read `totals` at the end."""

    def __init__(self, timing: Timing | None = None) -> None:
        self.timing = timing or Timing()
        self.totals = Totals()
        self._cycle = -1
        self._group: Instruction | None = None  # the single instruction issued in this cycle
        self._writer: dict[int, tuple[Slot, bool, int]] = {}  # register: slot, is load, issue
        self._bubbles = 0

    def latency(self, writer: tuple[Slot, bool], consumer: str) -> int:
        """Cycles from issue to issue; consumer is "int", "fpu" or "data" (facts section 1)."""
        slot, load = writer
        t = self.timing
        if slot is Slot.FPU:
            return t.fpu_to_store if consumer == "data" else t.fpu
        if load:
            return {"int": t.load, "fpu": t.load_to_fpu, "data": 1}[consumer]
        return t.alu_to_fpu if consumer == "fpu" else 1

    def issue(self, i: Instruction, *, taken: bool = False, loop_end: bool = False) -> Issue:
        """Issue one instruction.

        Args:
            i: the instruction.
            taken: a branch that was taken (call and return always are).
            loop_end: it is the last of a hardware loop's body.
        """
        ready, reason = self._ready(i)
        first = self._group
        if first is not None and self._pairs(first, i) and ready <= self._cycle:
            result = Issue(self._cycle, True)
            self._group = None
            self.totals.pairs += 1
        else:
            earliest = self._cycle + 1 + self._bubbles
            if self._bubbles:
                self.totals.stalls["branch"] += self._bubbles
                self._bubbles = 0
            stall = max(0, ready - earliest)
            if stall:
                self.totals.stalls[reason] += stall
            self._cycle = max(ready, earliest)
            result = Issue(self._cycle, False, stall, reason if stall else "")
            self._group = None if i.slot is Slot.ALONE else i
        for register in i.writes:
            modified = i.address is not None and i.address.post and register == i.address.base
            loaded = i.name in LOADS and not modified
            self._writer[register] = (i.slot, loaded, self._cycle)
        if taken:
            self._bubbles = self.timing.taken_branch
        if loop_end or taken:
            self._group = None
        self.totals.instructions += 1
        self.totals.fpu += i.slot is Slot.FPU
        self.totals.cycles = self._cycle + 1 + self._bubbles
        return result

    def run(self, stream: Iterable[tuple[Instruction, bool, bool]]) -> Totals:
        """Issue (instruction, taken, loop end) one after the other."""
        for instruction, taken, loop_end in stream:
            self.issue(instruction, taken=taken, loop_end=loop_end)
        return self.totals

    @staticmethod
    def _pairs(first: Instruction, second: Instruction) -> bool:
        if second.slot is Slot.ALONE or first.slot is second.slot:
            return False
        touched = {*second.reads, *second.data, *second.writes}
        return touched.isdisjoint(w for w in first.writes if w < FLAGS)

    def _ready(self, i: Instruction) -> tuple[int, str]:
        """First cycle at which the operands are there, and what was waited for."""
        ready, reason = 0, ""
        consumer = "fpu" if i.slot is Slot.FPU else "int"
        for registers, kind in ((i.reads, consumer), (i.data, "data")):
            for register in registers:
                if register in self._writer:
                    slot, load, cycle = self._writer[register]
                    held = register >= FLAGS and register != FPU_FLAGS
                    wait = 1 if held else self.latency((slot, load), kind)
                    if cycle + wait > ready:
                        ready = cycle + wait
                        reason = f"{'load' if load else slot.value} to {kind}"
        own = self.timing.fpu if i.slot is Slot.FPU else self.timing.load if i.name in LOADS else 1
        for register in i.writes:
            if register < FLAGS and register in self._writer:
                slot, load, cycle = self._writer[register]
                wait = self.latency((slot, load), "int") - own + 1
                if cycle + wait > ready:
                    ready, reason = cycle + wait, "overwrite"
        return ready, reason
