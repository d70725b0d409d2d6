"""Executor of decoded Epiphany instructions: registers, flags, memory, hardware loops.

Integer mode only: an FPU instruction outside CONFIG's integer mode is a fault, so a kernel that
forgets to set the mode is noticed. Semantics: facts sheet epiphany.md section 1 (marks [S], [M]);
conditions are the carry-is-no-borrow ones of the architecture. A hardware loop acts only while
interrupts are off (STATUS bit 1); its body rules are checked at the first pass.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mohaq.backends.epiphany.analyzer.instructions import (
    BRANCHES,
    FPU_THREE,
    LOADS,
    LOGIC,
    MOVES,
    SHIFTS,
    STORES,
    Instruction,
)
from mohaq.backends.epiphany.analyzer.parser import Program
from mohaq.compiler.diagnostics import MohaqError

LOCAL_BYTES = 32 * 1024
RETURN_ADDRESS = 0xFFFF_FFFE  # no code lies there: the run ends
_MASK = 0xFFFF_FFFF
_GID = 1 << 1  # STATUS: interrupts off
_INTEGER_MODE = 0b100  # CONFIG 19:17
_FORMAT = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}


class Fault(MohaqError):  # noqa: N818 - what the hardware calls it
    """The program did what the core forbids."""


class Memory:
    """Local memory of one core.

    Args:
        size: bytes.
        windows: (start, stop) of readable and of writable bytes; None allows all.
    """

    def __init__(
        self,
        size: int = LOCAL_BYTES,
        readable: Sequence[tuple[int, int]] | None = None,
        writable: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        self.data = bytearray(size)
        self._read = list(readable) if readable is not None else [(0, size)]
        self._write = list(writable) if writable is not None else [(0, size)]

    def load(self, address: int, size: int) -> int:
        """Little-endian unsigned value; faults outside the readable windows or misaligned."""
        self._check(address, size, self._read, "load")
        return int(struct.unpack_from(_FORMAT[size], self.data, address)[0])

    def store(self, address: int, size: int, value: int) -> None:
        """Write a little-endian value; faults outside the writable windows or misaligned."""
        self._check(address, size, self._write, "store")
        struct.pack_into(_FORMAT[size], self.data, address, value)

    @staticmethod
    def _check(address: int, size: int, windows: list[tuple[int, int]], what: str) -> None:
        if address % size:
            raise Fault(f"{what} of {size} bytes at {address:#x} is not aligned")
        if not any(start <= address and address + size <= stop for start, stop in windows):
            raise Fault(f"{what} of {size} bytes at {address:#x} is outside the allowed memory")


@dataclass(frozen=True)
class Step:
    """One executed instruction: whether it branched, whether it ended a hardware loop's body."""

    address: int
    instruction: Instruction
    taken: bool
    loop_end: bool


def _signed(value: int) -> int:
    return value - (1 << 32) if value & 0x8000_0000 else value


class Executor:
    """One core with a program and its memory."""

    def __init__(self, program: Program, memory: Memory | None = None) -> None:
        self.program = program
        self.memory = memory or Memory()
        self.registers = [0] * 64
        self.special = dict.fromkeys(("config", "status", "lc", "ls", "le"), 0)
        self.zero = self.negative = self.carry = self.overflow = False
        self.pc = 0
        self._checked_loops: set[tuple[int, int]] = set()

    def call(
        self, name: str, arguments: Sequence[int], *, stack: int = 0x7FF0, limit: int = 10**7
    ) -> Iterator[Step]:
        """Run a function to its return, yielding each executed instruction.

        Args:
            name: its label.
            arguments: at most four words for r0..r3.
            stack: initial stack pointer.
            limit: most instructions; more is a fault (endless loop).

        Raises:
            Fault: what the core forbids, with the source line.
        """
        self.pc = self.program.entry(name)
        self.registers[: len(arguments)] = [a & _MASK for a in arguments]
        self.registers[13], self.registers[14] = stack, RETURN_ADDRESS
        for _ in range(limit):
            if self.pc == RETURN_ADDRESS:
                return
            instruction = self.program.instructions.get(self.pc)
            if instruction is None:
                raise Fault(f"no instruction at {self.pc:#x}")
            try:
                yield self._step(instruction)
            except Fault as fault:
                where = f"line {instruction.line}: {instruction.text}"
                raise Fault(fault.what, where=where) from None
        raise Fault(f"{name} did not return within {limit} instructions")

    def _step(self, i: Instruction) -> Step:
        address = self.pc
        following = address + i.size
        target = self._execute(i, following)
        taken = target is not None
        self.pc = following if target is None else target
        loop_end = self._loop(address)
        return Step(address, i, taken, loop_end)

    def _loop(self, address: int) -> bool:
        """Hardware loop: after the instruction at LE, count and go back to LS."""
        s = self.special
        if address != s["le"] or s["lc"] == 0:
            return False
        if not s["status"] & _GID:
            raise Fault("end of a hardware loop with interrupts on")
        self._check_loop(s["ls"], s["le"])
        s["lc"] -= 1
        if s["lc"]:
            self.pc = s["ls"]
        return True

    def _check_loop(self, start: int, end: int) -> None:
        """Body rules of facts section 1; the doubleword rule of the last but one instruction."""
        if (start, end) in self._checked_loops:
            return
        count = (end - start) // 4 + 1
        if start % 8:
            raise Fault(f"hardware loop starts at {start:#x}, not on 8 bytes")
        if (end - 4) % 8:
            raise Fault("last but one instruction of a hardware loop is not on 8 bytes")
        if count < 8:
            raise Fault(f"hardware loop of {count} instructions; the least is 8")
        body = (self.program.instructions.get(start + 4 * n) for n in range(count))
        if any(b is None or b.size != 4 for b in body):  # stops at the first: count may be wild
            raise Fault("hardware loop holds a 16-bit encoding")
        self._checked_loops.add((start, end))

    def _execute(self, i: Instruction, following: int) -> int | None:
        """Do one instruction; the address it branches to, or None."""
        r = self.registers
        name = i.name
        if name in FPU_THREE:
            self._fpu(i)
        elif i.address is not None:
            self._access(i)
        elif name in {"add", "sub"}:
            assert i.rd is not None
            r[i.rd] = self._add(i.name == "sub", r[i.rn or 0], self._operand(i))
        elif name in LOGIC | SHIFTS:
            assert i.rd is not None
            r[i.rd] = value = _ALU[name](r[i.rn or 0], self._operand(i))
            self.zero, self.negative = value == 0, bool(value >> 31)
            self.carry = self.overflow = False
        elif name in {"mov", "movt"} or name in MOVES:
            self._move(i)
        elif name == "movts":
            self._write_special(i)
        elif name == "movfs":
            assert i.rd is not None
            r[i.rd] = self.special[i.special or ""]
        elif name == "gid":
            self.special["status"] |= _GID
        elif name == "gie":
            self.special["status"] &= ~_GID
        elif name in BRANCHES:
            return self.program.labels[i.symbol or ""] if self._holds(i.condition or "") else None
        elif name in {"rts", "jr"}:
            return r[14] if name == "rts" else r[i.rn or 0]
        elif name == "bl":
            r[14] = following
            return self.program.labels[i.symbol or ""]
        elif name != "nop":
            raise Fault(f"{name} is decoded but not executed here")
        return None

    def _operand(self, i: Instruction) -> int:
        if i.rm is not None:
            return self.registers[i.rm]
        return (i.immediate or 0) & _MASK

    def _add(self, subtract: bool, a: int, b: int) -> int:
        total = a + ((b ^ _MASK) + 1 if subtract else b)
        value = total & _MASK
        self.carry = a >= b if subtract else total > _MASK
        sa, sb = _signed(a), _signed(b)
        exact = sa - sb if subtract else sa + sb
        self.zero, self.negative = value == 0, bool(value >> 31)
        self.overflow = exact != _signed(value)
        return value

    def _move(self, i: Instruction) -> None:
        r = self.registers
        assert i.rd is not None
        if i.rn is not None:
            if i.name == "mov" or self._holds(i.condition or ""):
                r[i.rd] = r[i.rn]
            return
        value = i.immediate or 0
        if i.symbol is not None:
            label = self.program.labels[i.symbol]
            value = label >> 16 if i.part == "high" else label & 0xFFFF
        r[i.rd] = r[i.rd] & 0xFFFF | value << 16 if i.name == "movt" else value

    def _write_special(self, i: Instruction) -> None:
        if i.special == "status":
            raise Fault("the executor models no write of STATUS")
        self.special[i.special or ""] = self.registers[i.rn or 0]

    def _fpu(self, i: Instruction) -> None:
        if self.special["config"] >> 17 & 7 != _INTEGER_MODE:
            raise Fault("FPU instruction outside integer mode")
        r = self.registers
        assert i.rd is not None
        a, b = r[i.rn or 0], r[i.rm or 0]
        r[i.rd] = _FPU[i.name](r[i.rd], a, b) & _MASK

    def _access(self, i: Instruction) -> None:
        r = self.registers
        a = i.address
        assert a is not None
        assert i.rd is not None
        offset = a.displacement
        if a.index is not None:
            offset = -r[a.index] if a.subtract else r[a.index]
        moved = (r[a.base] + offset) & _MASK
        where = r[a.base] if a.post else moved
        if i.name in STORES:
            value = r[i.rd] | (r[i.rd + 1] << 32 if i.access == 8 else 0)
            self.memory.store(where, i.access, value & (1 << 8 * i.access) - 1)
        if a.post:
            r[a.base] = moved
        if i.name in LOADS:
            value = self.memory.load(where, i.access)
            r[i.rd] = value & _MASK
            if i.access == 8:
                r[i.rd + 1] = value >> 32

    def _holds(self, condition: str) -> bool:
        z, c, less = self.zero, self.carry, self.negative != self.overflow
        outcomes = {
            "": True, "eq": z, "ne": not z, "gtu": c and not z, "gteu": c, "lteu": z or not c,
            "ltu": not c, "gt": not z and not less, "gte": not less, "lt": less, "lte": z or less,
        }  # fmt: skip
        if condition not in outcomes:
            raise Fault(f"condition {condition!r} of the FPU flags is not executed here")
        return outcomes[condition]


_ALU: dict[str, Callable[[int, int], int]] = {
    "and": lambda a, b: a & b,
    "orr": lambda a, b: a | b,
    "eor": lambda a, b: a ^ b,
    "lsr": lambda a, b: a >> (b & 31),
    "lsl": lambda a, b: a << (b & 31) & _MASK,
    "asr": lambda a, b: _signed(a) >> (b & 31) & _MASK,
}
_FPU: dict[str, Callable[[int, int, int], int]] = {
    "iadd": lambda _, a, b: a + b,
    "isub": lambda _, a, b: a - b,
    "imul": lambda _, a, b: a * b,
    "imadd": lambda d, a, b: d + a * b,
    "imsub": lambda d, a, b: d - a * b,
}
