"""Instructions to 32-bit words: opcode[31:28] spec[27:21] loop_id[20:16] imm[15:0].

An immediate over 16 bits travels in a `wide` prefix word (28 bits). The layout follows the
public sibling of the paper's encoding (dnnweaver2); the opcode table is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum

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

ISA_VERSION = 3
MAGIC = 0x4D_42_00_00
"""First word of a program: this plus the version; the second word counts the words."""

HEADER_WORDS = 2


class Opcode(IntEnum):
    """Top four bits of a word."""

    SETUP = 0
    LD_MEM = 1
    ST_MEM = 2
    RD_BUF = 3
    WR_BUF = 4
    GEN_ADDR = 5
    HOLD = 6
    LOOP = 7
    BLOCK_END = 8
    BASE_ADDR = 9
    POST_START = 10
    POST = 11
    COMPUTE = 12
    VALUE = 13
    SCALE = 14
    WIDE = 15


class Function(IntEnum):
    """`spec` of a post word."""

    STATE = 0
    LOAD = 1
    STORE = 2
    ADD = 3
    MUL = 4
    BIAS_SHIFT_ACC = 5
    BIAS_SHIFT_BIAS = 6
    SHL = 7
    RSUB = 8
    SATURATE_U = 9
    SATURATE_S = 10
    REQUANTIZE_U = 11
    REQUANTIZE_S = 12
    LOOKUP = 13
    SECTION = 14
    PRODUCT = 15


def word(opcode: Opcode, spec: int, loop: int, imm: int) -> list[int]:
    """One instruction word, with its prefix when the immediate is wide.

    Raises:
        MohaqError: a field does not fit.
    """
    for name, value, bits in (("spec", spec, 7), ("loop id", loop, 5), ("imm", imm, WIDE_BITS)):
        if not 0 <= value < 1 << bits:
            raise MohaqError(f"{name} of '{opcode.name}' does not fit {bits} bits: {value}")
    low = opcode << 28 | spec << 21 | loop << 16 | (imm & 0xFFFF)
    return [Opcode.WIDE << 28 | imm >> 16, low] if imm >> 16 else [low]


def _post(function: Function, dst: int, a: int = 0, b: int = 0, extra: int = 0) -> list[int]:
    return word(Opcode.POST, function, dst, a | b << 5 | extra << 10)


def _hold(i: Hold) -> list[int]:
    words = word(Opcode.HOLD, i.pad, 0, i.address)
    return words + word(Opcode.VALUE, 0, 0, i.pitch) + word(Opcode.VALUE, 0, 0, i.rows)


def _loop(i: LoopOf) -> list[int]:
    first = word(Opcode.LOOP, i.level << 3 | i.source, i.id, i.extent)
    return first + word(Opcode.VALUE, 0, 0, i.step)


def _base(i: BaseAddr) -> list[int]:
    spec = i.pad << 5 | WIDTHS.index(i.width) << 2 | i.signed << 1
    return word(Opcode.BASE_ADDR, spec, i.stream, i.address)


def _setup(i: Setup) -> list[int]:
    a, w = (b.bit_length() - 1 if b else 0 for b in (i.a_bits, i.w_bits))
    return word(Opcode.SETUP, a << 3 | w, i.kind, i.layer)


def _bias(i: Bias) -> list[int]:
    if i.bias_shift:
        return _post(Function.BIAS_SHIFT_BIAS, i.dst, i.a, i.b, i.bias_shift)
    return _post(Function.BIAS_SHIFT_ACC, i.dst, i.a, i.b, i.acc_shift)


def _rsub(i: Rsub) -> list[int]:
    constant = i.constant % (1 << WIDE_BITS)
    return _post(Function.RSUB, i.dst, i.src) + word(Opcode.VALUE, 0, 0, constant)


def _saturate(i: Saturate) -> list[int]:
    function = Function.SATURATE_S if i.signed else Function.SATURATE_U
    return _post(function, i.dst, i.src, extra=i.width - 1)


def _requantize(i: Requantize) -> list[int]:
    function = Function.REQUANTIZE_S if i.signed else Function.REQUANTIZE_U
    words = _post(function, i.dst, i.src, extra=i.width - 1)
    for m, s in i.scales:
        words += word(Opcode.SCALE, s, 0, m)
    return words


_ENCODERS: dict[type[Instruction], Callable[..., list[int]]] = {
    Setup: _setup,
    Hold: _hold,
    LoopOf: _loop,
    BaseAddr: _base,
    GenAddr: lambda i: word(Opcode.GEN_ADDR, i.by_batch << 5 | i.stream, i.loop, i.stride),
    LdMem: lambda i: word(Opcode.LD_MEM, 0, i.loop, i.stream),
    StMem: lambda i: word(Opcode.ST_MEM, 0, i.loop, i.stream),
    RdBuf: lambda i: word(Opcode.RD_BUF, i.pad, i.loop, i.stream),
    WrBuf: lambda i: word(Opcode.WR_BUF, i.pad, i.loop, i.stream),
    Compute: lambda i: word(Opcode.COMPUTE, i.function, i.loop, 0),
    PostStart: lambda i: word(Opcode.POST_START, 0, i.loop, 0),
    State: lambda i: _post(Function.STATE, 0, i.stream, i.init),
    Section: lambda i: _post(Function.SECTION, 0, i.loop),
    Product: lambda i: _post(Function.PRODUCT, i.acc, i.act, i.weight, i.part),
    Load: lambda i: _post(Function.LOAD, i.dst, 0, i.stream),
    Store: lambda i: _post(Function.STORE, 0, i.src, i.stream),
    Add: lambda i: _post(Function.ADD, i.dst, i.a, i.b),
    Mul: lambda i: _post(Function.MUL, i.dst, i.a, i.b),
    Bias: _bias,
    Shl: lambda i: _post(Function.SHL, i.dst, i.src, extra=i.amount),
    Rsub: _rsub,
    Saturate: _saturate,
    Requantize: _requantize,
    Lookup: lambda i: _post(Function.LOOKUP, i.dst, i.src, i.table),
    BlockEnd: lambda i: word(Opcode.BLOCK_END, 0, 0, i.next),
}


def encode(instruction: Instruction) -> list[int]:
    """Words of one instruction.

    Raises:
        MohaqError: a field does not fit.
    """
    instruction.check()
    return _ENCODERS[type(instruction)](instruction)


def encode_all(instructions: Sequence[Instruction]) -> list[int]:
    """Words of a sequence of instructions, without the program header."""
    return [w for i in instructions for w in encode(i)]


def header(count: int) -> list[int]:
    """Header of a program of `count` words, header included."""
    return [MAGIC | ISA_VERSION, count]
