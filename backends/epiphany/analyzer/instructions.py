"""One Epiphany instruction: operands, registers read and written, issue slot.

The set is the part of the architecture that `mohaq_kernels.S` and compiled integer C need; an
instruction outside it is refused by the parser. Sources: facts sheet epiphany.md section 1
(issue slots, 64-bit pairs, integer mode of the float opcodes), marks [S] and [M] there.
"""

from dataclasses import dataclass, field
from enum import Enum


class Slot(Enum):
    """Issue slot: the FPU, everything else that may pair with it, and what issues alone."""

    FPU = "fpu"
    INT = "int"
    ALONE = "alone"


# Beside r0..r63 these hold order between instructions.
FLAGS = 64
FPU_FLAGS = 65
CONFIG = 66
SPECIAL = 67

SPECIAL_REGISTERS = ("config", "status", "lc", "ls", "le")

# The float opcodes act as integer ones in integer mode; assembler and disassembler differ in
# which name they use.
INTEGER_NAME = {
    "fadd": "iadd",
    "fsub": "isub",
    "fmul": "imul",
    "fmadd": "imadd",
    "fmsub": "imsub",
}
FPU_THREE = frozenset(INTEGER_NAME.values())
FPU_TWO = frozenset({"float", "fix", "fabs"})
ALU_IMMEDIATE = frozenset({"add", "sub"})
SHIFTS = frozenset({"lsr", "lsl", "asr"})
LOGIC = frozenset({"and", "orr", "eor"})
LOADS = {"ldrb": 1, "ldrh": 2, "ldr": 4, "ldrd": 8}
STORES = {"strb": 1, "strh": 2, "str": 4, "strd": 8}
CONDITIONS = (
    *("eq", "ne", "gtu", "gteu", "lteu", "ltu", "gt", "gte", "lt", "lte"),
    *("beq", "bne", "blt", "blte"),
)
BRANCHES = {"b": "", **{f"b{c}": c for c in CONDITIONS}}
MOVES = {f"mov{c}": c for c in CONDITIONS}
BARE = frozenset({"nop", "gid", "gie", "idle", "rts", "sync", "trap"})


@dataclass(frozen=True)
class Address:
    """Memory operand: base register, displacement in bytes or index register, post-modify."""

    base: int
    displacement: int = 0
    index: int | None = None
    subtract: bool = False
    post: bool = False


@dataclass(frozen=True)
class Instruction:
    """One decoded instruction.

    `name` has no `.l` suffix and float opcodes carry their integer names; `size` is 2 or 4 bytes;
    `symbol` is a label (branch target, or of `part` "low"/"high" in a move).
    """

    name: str
    size: int
    rd: int | None = None
    rn: int | None = None
    rm: int | None = None
    immediate: int | None = None
    address: Address | None = None
    special: str | None = None
    symbol: str | None = None
    part: str | None = None
    line: int = 0
    text: str = ""
    slot: Slot = field(init=False)
    reads: tuple[int, ...] = field(init=False)
    data: tuple[int, ...] = field(init=False)
    writes: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Derive slot, reads, store data and writes from the name and operands."""
        object.__setattr__(self, "slot", _slot(self.name))
        reads, data, writes = _registers(self)
        object.__setattr__(self, "reads", reads)
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "writes", writes)

    @property
    def condition(self) -> str | None:
        """Condition of a branch or conditional move; "" is always, None is no condition."""
        if self.name in BRANCHES:
            return BRANCHES[self.name]
        return MOVES.get(self.name)

    @property
    def is_branch(self) -> bool:
        """True for everything that may set the program counter."""
        return self.name in BRANCHES or self.name in {"bl", "jr", "jalr", "rts"}

    @property
    def access(self) -> int:
        """Bytes of the memory access, 0 without one."""
        return LOADS.get(self.name, 0) or STORES.get(self.name, 0)


def _slot(name: str) -> Slot:
    if name in FPU_THREE or name in FPU_TWO:
        return Slot.FPU
    if name in {"movts", "movfs", "gid", "gie", "idle", "sync", "trap", "bl", "jr", "jalr", "rts"}:
        return Slot.ALONE
    return Slot.ALONE if name in BRANCHES else Slot.INT


def _pair(register: int, size: int) -> tuple[int, ...]:
    return (register, register + 1) if size == 8 else (register,)


def _registers(
    i: Instruction,
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Registers read (without store data), read as store data, and written."""
    reads = [r for r in (i.rn, i.rm) if r is not None]
    data: tuple[int, ...] = ()
    writes = [] if i.rd is None else [i.rd]
    if i.slot is Slot.FPU:
        reads.append(CONFIG)
        writes.append(FPU_FLAGS)
        if i.name in {"imadd", "imsub"} and i.rd is not None:
            reads.append(i.rd)
    elif i.address is not None and i.rd is not None:
        a = i.address
        reads.append(a.base)
        if a.index is not None:
            reads.append(a.index)
        if i.name in STORES:
            data, writes = _pair(i.rd, i.access), []
        else:
            writes = list(_pair(i.rd, i.access))
        if a.post:
            writes.append(a.base)
    elif i.name in ALU_IMMEDIATE | SHIFTS | LOGIC:
        writes.append(FLAGS)
    elif i.name == "movt" or i.name in MOVES:
        if i.rd is not None:
            reads.append(i.rd)
        if i.name in MOVES:
            reads.append(FPU_FLAGS if (i.condition or "").startswith("b") else FLAGS)
    elif i.name in BRANCHES and i.condition:
        reads.append(FPU_FLAGS if i.condition.startswith("b") else FLAGS)
    elif i.name == "movts":
        writes.append(CONFIG if i.special == "config" else SPECIAL)
    elif i.name == "movfs":
        reads.append(CONFIG if i.special == "config" else SPECIAL)
    elif i.name in {"gid", "gie"}:
        writes.append(SPECIAL)
    elif i.name == "rts":
        reads.append(14)
    elif i.name in {"bl", "jalr"}:
        writes.append(14)
    return tuple(reads), data, tuple(writes)
