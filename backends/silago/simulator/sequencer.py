"""A cell's sequencer: fetch, control flow and the address unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mohaq.backends.silago.isa.instructions import (
    Branch,
    Halt,
    Instruction,
    Jump,
    Loop,
    Raccu,
    RaccuMode,
    Wait,
)
from mohaq.backends.silago.isa.words import decode, length
from mohaq.compiler.diagnostics import MohaqError

LOOP_REGISTER = 15
"""The iterator of loop k lies in register 15 - k."""
LOOPS = 4
REGISTER_MASK = 127


@dataclass(frozen=True)
class Decoded:
    """An instruction at its decode edge; `regs` are the registers it sees."""

    pc: int
    instruction: Instruction
    regs: tuple[int, ...]


@dataclass
class LoopState:
    """One of the four loop units; a higher id is the inner loop."""

    active: bool = False
    start_pc: int = 0
    endpc: int = 0
    iter: int = 0
    step: int = 0
    count: int = 0


def six_bits(raw: int, from_register: bool) -> int:
    """Signed start or step of a loop; a register's 7 bits keep their sign and lose bit 5."""
    if from_register:
        return (raw & 31) - (32 if raw & 64 else 0)
    return raw - 64 if raw & 32 else raw


class Sequencer:
    """Executes one instruction store; `regs` is changed in place."""

    def __init__(self, words: Sequence[int], capacity: int, first: int, regs: list[int]) -> None:
        if len(words) > capacity:
            raise MohaqError(f"a program has at most {capacity} words, not {len(words)}")
        self.words = tuple(words)
        self._known: dict[int, Instruction] = {}
        self.final = last_word(len(words), capacity)
        self.pc = 0
        self.next = first
        self.regs = regs
        self.loops = [LoopState() for _ in range(LOOPS)]
        self.active = True
        self._kept = (-1, -1)

    def step(self, edge: int, status: int) -> Decoded | None:
        """The instruction decoded at this edge; `status` is the last compare before it.

        Raises:
            MohaqError: a word is no instruction.
        """
        if not self.active or edge != self.next:
            return None
        for n, loop in enumerate(self.loops):
            if not loop.active and self._kept != (LOOP_REGISTER - n, edge - 1):
                self.regs[LOOP_REGISTER - n] = 0
        if self.pc >= len(self.words):
            found = Decoded(self.pc, Halt(), tuple(self.regs))
            self.active = False
            return found
        instruction = self.fetch(self.pc)
        found = Decoded(self.pc, instruction, tuple(self.regs))
        self._control(instruction, edge, status)
        return found

    def fetch(self, pc: int) -> Instruction:
        """The instruction at an address inside the program.

        Raises:
            MohaqError: the word is no instruction.
        """
        if pc not in self._known:
            count = length(self.words[pc])
            self._known[pc] = decode(self.words[pc : pc + count])
        return self._known[pc]

    def _control(self, i: Instruction, edge: int, status: int) -> None:
        self.next = edge + 1
        here, target = self.pc, None
        self.pc += i.words
        if isinstance(i, Wait):
            self.next += self.regs[i.cycle % len(self.regs)] if i.cycle_sd else i.cycle
        elif isinstance(i, Jump):
            target = i.pc
        elif isinstance(i, Branch):
            if not i.mode & status:
                target = i.false_pc
        elif isinstance(i, Raccu):
            self._raccu(i, edge)
        back = self._repeat(here)
        if isinstance(i, Loop):
            self._open(i, here)
        if target is not None or back is not None:
            self.pc = (target or 0) | (back or 0)
        if isinstance(i, Halt) or here >= self.final:
            self.active = False

    def _open(self, i: Loop, here: int) -> None:
        start = self.regs[i.start % len(self.regs)] if i.start_sd else i.start
        step = self.regs[i.step % len(self.regs)] if i.step_sd else i.step
        self.loops[i.loopid] = LoopState(
            True, here + i.words, i.endpc, i.iter, six_bits(step, bool(i.step_sd))
        )
        self.regs[LOOP_REGISTER - i.loopid] = six_bits(start, bool(i.start_sd)) & REGISTER_MASK

    def _repeat(self, here: int) -> int | None:
        """Count the loops that end here; where to go on, if one goes round again."""
        back = None
        # Whether all inner loops are over, or about to be.
        inner_over, next_active = True, False
        for n in reversed(range(LOOPS)):
            loop = self.loops[n]
            ends = loop.active and here == loop.endpc and (inner_over or not next_active)
            last = ends and loop.count == loop.iter - 1
            over = not loop.active or last or here + 1 == loop.endpc
            inner_over, next_active = inner_over and over, loop.active
            register = LOOP_REGISTER - n
            if last:
                self.loops[n] = LoopState()
                self.regs[register] = 0
            elif ends:
                loop.count += 1
                self.regs[register] = (self.regs[register] + loop.step) & REGISTER_MASK
                back = loop.start_pc if back is None else back
        return back

    def _raccu(self, i: Raccu, edge: int) -> None:
        a = self.regs[i.operand1 % len(self.regs)] if i.operand1_sd else i.operand1
        b = self.regs[i.operand2 % len(self.regs)] if i.operand2_sd else i.operand2
        results = {
            RaccuMode.ADD: a + b,
            RaccuMode.SUB: a - b,
            RaccuMode.SHIFT_R: (a - 128 if a & 64 else a) >> b,
            RaccuMode.SHIFT_L: a << b,
            RaccuMode.MULT: 0,
        }
        if i.mode in results:
            self.regs[i.result] = results[RaccuMode(i.mode)] & REGISTER_MASK
            self._kept = (i.result, edge)


def last_word(words: int, capacity: int) -> int:
    """Address of the instruction after which the sequencer stops, whatever it is.

    The load counter of a full store stops one short, so there it is the last word but one.
    """
    if words == 1:
        return capacity
    return capacity - 2 if words == capacity else words - 1
