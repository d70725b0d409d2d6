"""Instructions to words of 27 bits and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields as fields_of

from mohaq.backends.silago.isa.fields import (
    BY_OPCODE,
    FORMATS,
    OPCODE_BITS,
    SRAM_ALIAS,
    WORD_BITS,
    WORD_MASK,
    Format,
)
from mohaq.backends.silago.isa.instructions import KINDS, Instruction
from mohaq.compiler.diagnostics import MohaqError


def encode(instruction: Instruction) -> tuple[int, ...]:
    """The words of an instruction, first one first.

    Raises:
        MohaqError: a field does not fit (`Instruction.check`).
    """
    instruction.check()
    layout = instruction.format
    value = layout.opcode << (layout.bits - OPCODE_BITS)
    raw = instruction.raw()
    for item in layout.fields:
        value |= raw[item.name] << item.lo
    return tuple(
        (value >> (layout.bits - WORD_BITS * (i + 1))) & WORD_MASK for i in range(instruction.words)
    )


def length(word: int) -> int:
    """Number of words of the instruction that starts with `word`.

    Raises:
        MohaqError: no instruction has this opcode, or REFI asks for four words.
    """
    layout = _format(word)
    if layout.name == "SRAM":
        return 3
    for item in layout.fields:
        if item.name == "extra":
            shift = item.lo - (layout.bits - WORD_BITS)
            count = 1 + ((word >> shift) & item.largest)
            if count > layout.max_words:
                raise MohaqError(f"{layout.name} has at most {layout.max_words} words, not {count}")
            return count
    return 1


def decode(words: Sequence[int]) -> Instruction:
    """The instruction of exactly these words; opcode 14 reads as SRAM, as in the RTL.

    Raises:
        MohaqError: unknown opcode, wrong number of words, a fixed field with another value or a
            bit set that belongs to no field.
    """
    if not words or any(not 0 <= w <= WORD_MASK for w in words):
        raise MohaqError(f"an instruction is made of words of {WORD_BITS} bits")
    layout = _format(words[0])
    if len(words) != length(words[0]):
        raise MohaqError(f"this {layout.name} has {length(words[0])} words, got {len(words)}")
    value = 0
    for i in range(layout.max_words):
        value = value << WORD_BITS | (words[i] if i < len(words) else 0)
    rest = value & ((1 << (layout.bits - OPCODE_BITS)) - 1)
    found: dict[str, int] = {}
    for item in layout.fields:
        present = layout.word_of(item) < len(words)
        raw = (value >> item.lo) & item.largest if present else item.default
        if present:
            rest &= ~(item.largest << item.lo)
        if layout.name == "DPU" and item.fixed:
            found["shift"] = raw ^ item.default
        elif item.fixed:
            if raw != item.default:
                raise MohaqError(
                    f"bits {item.hi}..{item.lo} of {layout.name} must be {item.default}, got {raw}"
                )
        else:
            found[item.name] = raw
    if rest:
        raise MohaqError(f"{layout.name} has bits set that belong to no field")
    return KINDS[layout.name](**found)


def encode_all(program: Iterable[Instruction]) -> tuple[int, ...]:
    """The words of a program."""
    return tuple(word for instruction in program for word in encode(instruction))


def decode_all(words: Sequence[int]) -> tuple[tuple[int, Instruction], ...]:
    """The instructions of a program with their addresses.

    Raises:
        MohaqError: a word is no instruction, or the last instruction is cut off.
    """
    found = []
    pc = 0
    while pc < len(words):
        try:
            count = length(words[pc])
            if pc + count > len(words):
                raise MohaqError("the program ends inside an instruction")
            found.append((pc, decode(words[pc : pc + count])))
        except MohaqError as error:
            raise MohaqError(error.what, where=f"word {pc}", why=error.why) from None
        pc += count
    return tuple(found)


def addresses(program: Iterable[Instruction]) -> tuple[int, ...]:
    """Address of each instruction of a program."""
    found, pc = [], 0
    for instruction in program:
        found.append(pc)
        pc += instruction.words
    return tuple(found)


def _format(word: int) -> Format:
    opcode = word >> (WORD_BITS - OPCODE_BITS)
    if opcode == SRAM_ALIAS:
        return FORMATS["SRAM"]
    if opcode not in BY_OPCODE:
        raise MohaqError(f"no instruction has opcode {opcode}")
    return BY_OPCODE[opcode]


def fields_by_name(kind: type[Instruction]) -> tuple[str, ...]:
    """Field names of an instruction's dataclass, in order."""
    return tuple(f.name for f in fields_of(kind))
