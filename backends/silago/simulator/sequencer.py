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
REGISTER_MASK = 127


@dataclass(frozen=True)
class Decoded:
    """An instruction at its decode edge; `regs` are the registers it sees."""

    pc: int
    instruction: Instruction
    regs: tuple[int, ...]


@dataclass
class _Running:
    loopid: int
    start_pc: int
    endpc: int
    left: int
    step: int


class Sequencer:
    """Executes one instruction store; `regs` is changed in place."""

    def __init__(self, words: Sequence[int], capacity: int, first: int, regs: list[int]) -> None:
        if len(words) > capacity:
            raise MohaqError(f"a program has at most {capacity} words, not {len(words)}")
        self.words = tuple(words)
        self._known: dict[int, Instruction] = {}
        self.pc = 0
        self.next = first
        self.regs = regs
        self.loops: list[_Running] = []
        self.active = True

    def step(self, edge: int, status: int) -> Decoded | None:
        """The instruction decoded at this edge; `status` is the compare of the edge before.

        Raises:
            MohaqError: a word is no instruction.
        """
        if not self.active or edge != self.next:
            return None
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
        if isinstance(i, Halt):
            self.active = False
        elif isinstance(i, Wait):
            self.next += self.regs[i.cycle % len(self.regs)] if i.cycle_sd else i.cycle
        elif isinstance(i, Jump):
            target = i.pc
        elif isinstance(i, Branch):
            if not i.mode & status:
                target = i.false_pc
        elif isinstance(i, Raccu):
            self._raccu(i)
        elif isinstance(i, Loop):
            self._open(i)
        if target is not None:
            self.pc = target
        else:
            self._close(here)

    def _open(self, i: Loop) -> None:
        start = self.regs[i.start % len(self.regs)] if i.start_sd else i.start
        step = self.regs[i.step % len(self.regs)] if i.step_sd else i.step
        self.loops = [running for running in self.loops if running.loopid != i.loopid]
        self.loops.append(_Running(i.loopid, self.pc, i.endpc, i.iter, step))
        self.regs[LOOP_REGISTER - i.loopid] = start & REGISTER_MASK

    def _close(self, here: int) -> None:
        """After the last instruction of a body: again, or on to the loop around it."""
        while self.loops and self.loops[-1].endpc == here:
            running = self.loops[-1]
            running.left -= 1
            if running.left:
                register = LOOP_REGISTER - running.loopid
                self.regs[register] = (self.regs[register] + running.step) & REGISTER_MASK
                self.pc = running.start_pc
                return
            self.loops.pop()

    def _raccu(self, i: Raccu) -> None:
        a = self.regs[i.operand1 % len(self.regs)] if i.operand1_sd else i.operand1
        b = self.regs[i.operand2 % len(self.regs)] if i.operand2_sd else i.operand2
        results = {
            RaccuMode.ADD: a + b,
            RaccuMode.SUB: a - b,
            RaccuMode.SHIFT_R: a >> b,
            RaccuMode.SHIFT_L: a << b,
            RaccuMode.MULT: 0,
        }
        if i.mode in results:
            self.regs[i.result] = results[RaccuMode(i.mode)] & REGISTER_MASK
