"""32-bit words to instructions; everything that the encoder never writes is an error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mohaq.backends.bitfusion.isa.encode import (
    HEADER_WORDS,
    ISA_VERSION,
    MAGIC,
    Function,
    Opcode,
    encode,
)
from mohaq.backends.bitfusion.isa.instructions import (
    WIDE_BITS,
    WIDTHS,
    Add,
    BaseAddr,
    Bias,
    BlockEnd,
    Compute,
    GenAddr,
    Hold,
    Instruction,
    LdMem,
    Load,
    Lookup,
    LoopOf,
    Mul,
    PostStart,
    Product,
    RdBuf,
    Requantize,
    Rsub,
    Saturate,
    Section,
    Setup,
    Shl,
    State,
    StMem,
    Store,
    WrBuf,
)
from mohaq.compiler.diagnostics import MohaqError


class _Reader:
    """Walks over words, joining prefixes with the words they extend."""

    def __init__(self, words: Sequence[int]) -> None:
        self.words = words
        self.at = 0

    def fail(self, what: str) -> MohaqError:
        return MohaqError(what, where=f"program word {self.at}")

    def next(self) -> tuple[int, int, int, int]:
        """(opcode, spec, loop id, immediate) of the next instruction word."""
        high = 0
        if self.peek() == Opcode.WIDE:
            high = self._take() & 0x0FFFFFFF
        value = self._take()
        if value >> 28 == Opcode.WIDE:
            raise self.fail("two wide prefixes in a row")
        return value >> 28, value >> 21 & 127, value >> 16 & 31, high << 16 | (value & 0xFFFF)

    def value(self, what: str) -> int:
        """The immediate of the value word that belongs to an instruction."""
        code, _, _, imm = self.next()
        if code != Opcode.VALUE:
            raise self.fail(f"{what} must be followed by a value word")
        return imm

    def peek(self) -> int:
        return self.words[self.at] >> 28 if self.at < len(self.words) else -1

    def _take(self) -> int:
        if self.at >= len(self.words):
            raise self.fail("the program ends inside an instruction")
        self.at += 1
        return int(self.words[self.at - 1])


def decode(words: Sequence[int]) -> list[Instruction]:
    """Instructions of header-less words; the exact inverse of `encode_all`.

    Raises:
        MohaqError: an unknown code, a field out of range, bits set that must be 0.
    """
    return [instruction for _, instruction in stream(words)]


def stream(words: Sequence[int], first: int = 0) -> Iterator[tuple[int, Instruction]]:
    """Instructions from a word on, each with its address, decoded as they are asked for.

    Raises:
        MohaqError: as `decode`.
    """
    reader = _Reader(words)
    reader.at = first
    while reader.at < len(words):
        start = reader.at
        instruction = _one(reader)
        # The encoding is canonical: what does not encode back was not written by us.
        if encode(instruction) != [int(w) for w in words[start : reader.at]]:
            raise reader.fail(f"'{type(instruction).__name__}' has bits that must be 0")
        yield start, instruction


def check_header(words: Sequence[int]) -> None:
    """Check magic, version and length of a whole program.

    Raises:
        MohaqError: one of them is wrong.
    """
    if len(words) < HEADER_WORDS or words[0] & 0xFFFF0000 != MAGIC:
        raise MohaqError("not a Bit Fusion program of mohaq")
    if words[0] & 0xFFFF != ISA_VERSION:
        raise MohaqError(f"instruction set version {words[0] & 0xFFFF}, expected {ISA_VERSION}")
    if words[1] != len(words):
        raise MohaqError(f"the program has {len(words)} words, its header says {words[1]}")


def decode_program(words: Sequence[int]) -> tuple[list[Instruction], list[int]]:
    """Instructions of a whole program, and the word address at which each one ends.

    Raises:
        MohaqError: wrong magic, version or length, or a malformed instruction.
    """
    check_header(words)
    found = decode(words[HEADER_WORDS:])
    ends: list[int] = []
    at = HEADER_WORDS
    for instruction in found:
        at += len(encode(instruction))
        ends.append(at)
    return found, ends


def _one(reader: _Reader) -> Instruction:
    opcode, spec, loop, imm = reader.next()
    match opcode:
        case Opcode.SETUP:
            a, w = (0 if not c else 1 << c for c in (spec >> 3, spec & 7))
            return Setup(loop, a, w, imm)
        case Opcode.LOOP:
            return LoopOf(loop, spec >> 3, spec & 7, imm, reader.value("a loop"))
        case Opcode.HOLD:
            return Hold(spec, imm, reader.value("a hold"), reader.value("a hold"))
        case Opcode.BASE_ADDR:
            exponent = spec >> 2 & 7
            if exponent >= len(WIDTHS):
                raise reader.fail("unknown element width")
            return BaseAddr(loop, spec >> 5, WIDTHS[exponent], spec >> 1 & 1, imm)
        case Opcode.GEN_ADDR:
            return GenAddr(spec & 31, loop, spec >> 5, imm)
        case Opcode.LD_MEM:
            return LdMem(imm, loop)
        case Opcode.ST_MEM:
            return StMem(imm, loop)
        case Opcode.RD_BUF:
            return RdBuf(spec, imm, loop)
        case Opcode.WR_BUF:
            return WrBuf(spec, imm, loop)
        case Opcode.COMPUTE:
            return Compute(spec, loop)
        case Opcode.POST_START:
            return PostStart(loop)
        case Opcode.POST:
            return _post(reader, spec, loop, imm)
        case Opcode.BLOCK_END:
            return BlockEnd(imm)
    raise reader.fail(f"unexpected opcode {opcode}")


def _post(reader: _Reader, function: int, dst: int, imm: int) -> Instruction:
    a, b, extra = imm & 31, imm >> 5 & 31, imm >> 10
    match function:
        case Function.STATE:
            return State(a, b)
        case Function.LOAD:
            return Load(dst, b)
        case Function.STORE:
            return Store(a, b)
        case Function.ADD:
            return Add(dst, a, b)
        case Function.MUL:
            return Mul(dst, a, b)
        case Function.BIAS_SHIFT_ACC:
            return Bias(dst, a, b, extra, 0)
        case Function.BIAS_SHIFT_BIAS:
            return Bias(dst, a, b, 0, extra)
        case Function.SHL:
            return Shl(dst, a, extra)
        case Function.RSUB:
            constant = reader.value("rsub")
            half = 1 << (WIDE_BITS - 1)
            return Rsub(dst, a, (constant + half) % (2 * half) - half)
        case Function.SATURATE_U | Function.SATURATE_S:
            return Saturate(dst, a, extra + 1, int(function == Function.SATURATE_S))
        case Function.REQUANTIZE_U | Function.REQUANTIZE_S:
            scales: list[tuple[int, int]] = []
            while reader.peek() == Opcode.SCALE:
                _, shift, _, multiplier = reader.next()
                scales.append((multiplier, shift))
            signed = int(function == Function.REQUANTIZE_S)
            return Requantize(dst, a, extra + 1, signed, tuple(scales))
        case Function.LOOKUP:
            return Lookup(dst, a, b)
        case Function.SECTION:
            return Section(a)
        case Function.PRODUCT:
            return Product(a, b, dst, extra)
    raise reader.fail(f"unknown post-processing function {function}")
