"""Parser of the documented subset of GNU assembly for Epiphany.

Subset (docs/isa/epiphany-kernels.md): labels, `//` comments, `SYM(name)` global symbols, the
directives of `_IGNORED` and `.balign`/`.balignw`, preprocessor lines before the first
instruction, and the instructions of `instructions.py`. Every instruction that has a short
encoding must say `.l`, so that sizes and addresses are known without an assembler. Anything else
is an error with its line.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

from mohaq.backends.epiphany.analyzer.instructions import (
    ALU_IMMEDIATE,
    BARE,
    BRANCHES,
    FPU_THREE,
    FPU_TWO,
    INTEGER_NAME,
    LOADS,
    LOGIC,
    MOVES,
    SHIFTS,
    SPECIAL_REGISTERS,
    STORES,
    Address,
    Instruction,
)
from mohaq.compiler.diagnostics import MohaqError

BASE_ADDRESS = 0x100  # first address of user code (facts section 2)
_ALIASES = {"sb": 9, "sl": 10, "fp": 11, "ip": 12, "sp": 13, "lr": 14}
_IGNORED = frozenset({".text", ".section", ".global", ".globl", ".type", ".size", ".file"})
_SHORT = frozenset({"nop", "gid", "gie", "idle", "sync", "trap"})  # 16-bit encodings only
_LONG = frozenset({"rts", "movt"})  # 32-bit encodings only
_DATA_SIZE = {**LOADS, **STORES}
_LABEL = re.compile(r"^(?:SYM\((\w+)\)|([.\w$]+)):\s*(.*)$")
_OPERANDS = re.compile(r"\[[^\]]*\]|[^,\s][^,]*")
_REGISTER = re.compile(r"^r(\d+)$")
_HALF = re.compile(r"^%(low|high)\(([.\w$]+)\)$")


class ParseError(MohaqError):
    """Assembly text outside the subset."""


@dataclass(frozen=True)
class Program:
    """Decoded text: instructions at their addresses, labels, in order."""

    instructions: dict[int, Instruction]
    labels: dict[str, int]

    def entry(self, name: str) -> int:
        """Address of a label.

        Raises:
            ParseError: the program has no such label.
        """
        if name not in self.labels:
            raise ParseError(f"no label {name!r} in the assembly")
        return self.labels[name]


def parse(text: str, name: str = "assembly", base: int = BASE_ADDRESS) -> Program:
    """Decode assembly text.

    Args:
        text: the file.
        name: what messages call it.
        base: address of the first instruction, a multiple of 8.

    Raises:
        ParseError: a line outside the subset, a label defined twice or not at all.
    """
    instructions: dict[int, Instruction] = {}
    labels: dict[str, int] = {}
    address = base
    for number, raw in enumerate(text.splitlines(), 1):
        where = f"{name}:{number}"
        line = raw.split("//")[0].strip()
        if line.startswith("#") and not instructions:
            continue
        if match := _LABEL.match(line):
            label = match[1] or match[2]
            if label in labels:
                raise ParseError(f"label {label!r} stands twice", where=where)
            labels[label] = address
            line = match[3].strip()
        if not line:
            continue
        if line.startswith("."):
            for pad in _directive(line, address, where):
                instructions[address] = pad
                address += pad.size
            continue
        instruction = parse_instruction(line, where=where, line=number)
        instructions[address] = instruction
        address += instruction.size
    for instruction in instructions.values():
        if instruction.symbol is not None and instruction.symbol not in labels:
            raise ParseError(
                f"label {instruction.symbol!r} is not defined", where=f"{name}:{instruction.line}"
            )
    return Program(instructions, labels)


def _directive(line: str, address: int, where: str) -> Iterable[Instruction]:
    """Padding that a directive puts into the text: two-byte `nop`."""
    word, _, rest = line.partition(" ")
    if word in _IGNORED:
        return []
    if word in {".balign", ".balignw"}:
        step = rest.split(",")[0].strip()
        if not step.isdigit() or int(step) not in {2, 4, 8}:
            raise ParseError(f"alignment {rest!r} is not 2, 4 or 8", where=where)
        return [Instruction("nop", 2, text="nop")] * (-address % int(step) // 2)
    raise ParseError(f"directive {word!r} is outside the subset", where=where)


def parse_instruction(
    text: str, *, where: str = "assembly", line: int = 0, size: int | None = None
) -> Instruction:
    """Decode one instruction.

    Args:
        text: mnemonic and operands; a disassembler's spelling is understood too.
        where: file and line for messages.
        line: line number kept in the result.
        size: bytes of the encoding where a disassembler told them; without it the text must.

    Raises:
        ParseError: unknown mnemonic or operands, or an encoding size that the text leaves open.
    """
    mnemonic, _, rest = text.strip().partition(" ")
    long = mnemonic.endswith(".l")
    name = mnemonic.removesuffix(".l")
    name = INTEGER_NAME.get(name, name)
    operands = [o.strip() for o in _OPERANDS.findall(rest.strip())]
    if size is None:
        size = 4
        if name in _SHORT:
            size = 2
        half = _HALF.match(operands[-1]) if operands else None  # assemblers take no .l there
        if not long and name not in _LONG and name not in _SHORT and not half:
            raise ParseError(f"{mnemonic!r} needs the suffix .l", where=where)
        if long and (name in _SHORT or name == "rts" or half):
            raise ParseError(f"{text.strip()!r} takes no suffix .l", where=where)
    try:
        fields = _fields(name, operands)
    except _BadOperandsError as error:
        raise ParseError(f"{text.strip()!r}: {error}", where=where) from None
    return Instruction(name, size, line=line, text=text.strip(), **fields)


class _BadOperandsError(ValueError):
    pass


class _Fields(TypedDict, total=False):
    rd: int
    rn: int
    rm: int
    immediate: int
    address: Address
    special: str
    symbol: str
    part: str


def _fields(name: str, operands: list[str]) -> _Fields:
    """Operand fields of `Instruction` for one mnemonic."""
    count = len(operands)
    if name in BARE and count == 0:
        return {}
    if name in FPU_THREE | LOGIC and count == 3:
        rd, rn, rm = map(_register, operands)
        return {"rd": rd, "rn": rn, "rm": rm}
    if name in ALU_IMMEDIATE | SHIFTS and count == 3:
        fields: _Fields = {"rd": _register(operands[0]), "rn": _register(operands[1])}
        if _is_register(operands[2]):
            return {**fields, "rm": _register(operands[2])}
        low, high = (0, 31) if name in SHIFTS else (-1024, 1023)
        return {**fields, "immediate": _immediate(operands[2], low, high)}
    if name in FPU_TWO and count == 2:
        return {"rd": _register(operands[0]), "rn": _register(operands[1])}
    if name in {"mov", "movt"} and count == 2:
        fields = {"rd": _register(operands[0])}
        if name == "mov" and _is_register(operands[1]):
            return {**fields, "rn": _register(operands[1])}
        if half := _HALF.match(operands[1]):
            return {**fields, "part": half[1], "symbol": half[2]}
        return {**fields, "immediate": _immediate(operands[1], 0, 0xFFFF)}
    if name in MOVES and count == 2:
        return {"rd": _register(operands[0]), "rn": _register(operands[1])}
    if name in _DATA_SIZE and count in {2, 3}:
        rd = _register(operands[0])
        if _DATA_SIZE[name] == 8 and rd % 2:
            raise _BadOperandsError(f"a 64-bit access needs an even register, not r{rd}")
        return {"rd": rd, "address": _address(operands[1:], _DATA_SIZE[name])}
    if name == "movts" and count == 2:
        return {"special": _special(operands[0]), "rn": _register(operands[1])}
    if name == "movfs" and count == 2:
        return {"rd": _register(operands[0]), "special": _special(operands[1])}
    if (name in BRANCHES or name == "bl") and count == 1:
        return {"symbol": operands[0]}
    if name in {"jr", "jalr"} and count == 1:
        return {"rn": _register(operands[0])}
    known = name in (
        *BARE, *FPU_THREE, *LOGIC, *ALU_IMMEDIATE, *SHIFTS, *FPU_TWO, *MOVES, *_DATA_SIZE, *BRANCHES,
        *("mov", "movt", "movts", "movfs", "bl", "jr", "jalr"),
    )  # fmt: skip
    raise _BadOperandsError("operands do not fit" if known else f"unknown instruction {name!r}")


def _is_register(text: str) -> bool:
    return text in _ALIASES or _REGISTER.match(text) is not None


def _register(text: str) -> int:
    if text in _ALIASES:
        return _ALIASES[text]
    match = _REGISTER.match(text)
    if match is None or int(match[1]) > 63:
        raise _BadOperandsError(f"{text!r} is not a register r0..r63")
    return int(match[1])


def _special(text: str) -> str:
    if text not in SPECIAL_REGISTERS:
        raise _BadOperandsError(f"{text!r} is not one of {', '.join(SPECIAL_REGISTERS)}")
    return text


def _immediate(text: str, low: int, high: int) -> int:
    try:
        value = int(text.removeprefix("#"), 0)
    except ValueError:
        raise _BadOperandsError(f"{text!r} is not a number") from None
    if not low <= value <= high:
        raise _BadOperandsError(f"{value} is outside {low}..{high}")
    return value


def _address(operands: list[str], size: int) -> Address:
    """`[rn]`, `[rn,#d]`, `[rn,+rm]`, `[rn],#d`, `[rn],+rm`; numbers count elements of the access."""
    if not (operands[0].startswith("[") and operands[0].endswith("]")):
        raise _BadOperandsError(f"{operands[0]!r} is not an address")
    inner = [part.strip() for part in operands[0][1:-1].split(",")]
    post = len(operands) == 2
    offsets = operands[1:] if post else inner[1:]
    if len(inner) > (1 if post else 2) or len(offsets) > 1:
        raise _BadOperandsError(f"{operands[0]!r} is not an address")
    base = _register(inner[0])
    if not offsets:
        return Address(base)
    offset = offsets[0]
    if _is_register(offset.lstrip("+-")):
        return Address(
            base, index=_register(offset.lstrip("+-")), subtract=offset[0] == "-", post=post
        )
    return Address(base, _immediate(offset, -2047, 2047) * size, post=post)
