"""The instructions, one frozen dataclass each, with the ranges their fields may take.

Fusion-ISA style: the names and roles follow the ISCA 2018 paper's table; the paper's exact bits
are not public, so the encoding is ours (docs/isa/bitfusion.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from mohaq.compiler.diagnostics import MohaqError

BLOCK_START = 31
"""Loop id that means "once, at the start of the block"; no loop may have it."""

NO_STREAM = 31
"""Stream id that means "none"; no stream may have it."""

REGISTERS = 32
WIDE_BITS = 44
"""Widest immediate: 28 bits of a prefix word and 16 of the instruction."""

WIDTHS = (1, 2, 4, 8, 16, 32, 64)
"""Element widths of streams; the words carry the exponent."""


class Pad(IntEnum):
    """Scratchpads."""

    IBUF = 0
    OBUF = 1
    WBUF = 2
    PBUF = 3


class Kind(IntEnum):
    """What a block does."""

    GEMM = 0
    STREAM = 1
    FORWARD = 2
    REVERSE = 3


class Extent(IntEnum):
    """Where a loop's extent comes from; all but FIXED are set at launch."""

    FIXED = 0
    ROWS = 1
    BATCH = 2
    STEPS = 3


Ranges = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Instruction:
    """Base of all instructions. `RANGES` maps fields to (smallest, largest)."""

    RANGES: ClassVar[Ranges] = {}

    def check(self) -> None:
        """Check every field against its range.

        Raises:
            MohaqError: a field does not fit its bits.
        """
        for name, (low, high) in self.RANGES.items():
            value = int(getattr(self, name))
            if not low <= value <= high:
                raise MohaqError(
                    f"field '{name}' of '{type(self).__name__}' must be {low}..{high}, got {value}"
                )


_STREAM = (0, NO_STREAM - 1)
_LOOP = (0, BLOCK_START - 1)
_REGISTER = (0, REGISTERS - 1)
_WIDE = (0, (1 << WIDE_BITS) - 1)
_SIZE = (1, _WIDE[1])
_SIGNED_WIDE = (-(1 << (WIDE_BITS - 1)), (1 << (WIDE_BITS - 1)) - 1)
_BIT = (0, 1)
_CLAMP = {"dst": _REGISTER, "src": _REGISTER, "width": (1, 64), "signed": _BIT}


@dataclass(frozen=True)
class Setup(Instruction):
    """Opens a block: its kind, operand widths (0: no array work) and the layer it serves."""

    kind: int
    a_bits: int
    w_bits: int
    layer: int
    RANGES: ClassVar[Ranges] = {
        "kind": (0, 3), "a_bits": (0, 8), "w_bits": (0, 8), "layer": (0, 65535),
    }  # fmt: skip

    def check(self) -> None:
        """Widths are 0, 2, 4 or 8 as well."""
        super().check()
        if self.a_bits not in {0, 2, 4, 8} or self.w_bits not in {0, 2, 4, 8}:
            raise MohaqError(f"array operands have 2, 4 or 8 bits, got {self.a_bits}/{self.w_bits}")


@dataclass(frozen=True)
class Hold(Instruction):
    """A value that stays on chip in runs of at most `rows` rows (T B), in one scratchpad.

    Streams whose address lies in the value's first row, `pitch` bits from `address` on, then move
    between scratchpads instead of DRAM.
    """

    pad: int
    address: int
    pitch: int
    rows: int
    RANGES: ClassVar[Ranges] = {"pad": (0, 3), "address": _WIDE, "pitch": _SIZE, "rows": _SIZE}


@dataclass(frozen=True)
class LoopOf(Instruction):
    """One level of the nest: ceil(extent / step) iterations, the last one clamped.

    For dynamic sources `extent` is the largest value that the buffers were sized for.
    """

    id: int
    level: int
    source: int
    extent: int
    step: int
    RANGES: ClassVar[Ranges] = {
        "id": _LOOP, "level": (0, 4), "source": (0, 3), "extent": _SIZE, "step": _SIZE,
    }  # fmt: skip


@dataclass(frozen=True)
class BaseAddr(Instruction):
    """Declares a stream: scratchpad, element width and sign, address of its first bit in DRAM."""

    stream: int
    pad: int
    width: int
    signed: int
    address: int
    RANGES: ClassVar[Ranges] = {"stream": _STREAM, "pad": (0, 3), "signed": _BIT, "address": _WIDE}

    def check(self) -> None:
        """The width is a power of two."""
        super().check()
        if self.width not in WIDTHS:
            raise MohaqError(f"a stream's width is one of {WIDTHS}, got {self.width}")


@dataclass(frozen=True)
class GenAddr(Instruction):
    """A stream runs along a loop: `stride` bits for each element, times B if `by_batch`."""

    stream: int
    loop: int
    by_batch: int
    stride: int
    RANGES: ClassVar[Ranges] = {"stream": _STREAM, "loop": _LOOP, "by_batch": _BIT, "stride": _WIDE}


@dataclass(frozen=True)
class LdMem(Instruction):
    """DRAM to scratchpad: one tile of the stream, each time the loop starts an iteration."""

    stream: int
    loop: int
    RANGES: ClassVar[Ranges] = {"stream": _STREAM, "loop": (0, 31)}


@dataclass(frozen=True)
class StMem(Instruction):
    """Scratchpad to DRAM: one tile of the stream, each time the loop ends an iteration."""

    stream: int
    loop: int
    RANGES: ClassVar[Ranges] = {"stream": _STREAM, "loop": (0, 31)}


@dataclass(frozen=True)
class RdBuf(Instruction):
    """Names the operand that the next compute reads from IBUF or WBUF."""

    pad: int
    stream: int
    loop: int
    RANGES: ClassVar[Ranges] = {"pad": (0, 3), "stream": _STREAM, "loop": _LOOP}


@dataclass(frozen=True)
class WrBuf(Instruction):
    """Names the accumulators in OBUF that the next compute adds to."""

    pad: int
    stream: int
    loop: int
    RANGES: ClassVar[Ranges] = {"pad": (0, 3), "stream": _STREAM, "loop": _LOOP}


@dataclass(frozen=True)
class Compute(Instruction):
    """Function 0: multiply-accumulate the tile named by rd-buf, rd-buf, wr-buf."""

    function: int
    loop: int
    RANGES: ClassVar[Ranges] = {"function": (0, 0), "loop": _LOOP}


@dataclass(frozen=True)
class PostStart(Instruction):
    """Starts the microprogram of the post-processing unit, run each time the loop ends a tile.

    In a scan block it runs once for each time step of the loop's tile.
    """

    loop: int
    RANGES: ClassVar[Ranges] = {"loop": _LOOP}


@dataclass(frozen=True)
class PostOp(Instruction):
    """Base of the post-processing unit's instructions; registers hold 64-bit lanes."""


@dataclass(frozen=True)
class State(PostOp):
    """Before the first step of a tile the stream holds `init`'s tile (31: zeros)."""

    stream: int
    init: int
    RANGES: ClassVar[Ranges] = {"stream": _STREAM, "init": (0, 31)}


@dataclass(frozen=True)
class Section(PostOp):
    """Starts a section of a time step: what follows runs for all units, `loop` tile by tile.

    31: for all units at once. A section begins when the one before has written all its results.
    """

    loop: int
    RANGES: ClassVar[Ranges] = {"loop": (0, 31)}


@dataclass(frozen=True)
class Product(PostOp):
    """The array: acc = act times weight transposed, for the units of the section's tile.

    `part` of a 16-bit act is read: 0 all of it (at most 8 bits), 1 the low byte, unsigned, 2 the
    high byte, signed.
    """

    act: int
    weight: int
    acc: int
    part: int
    RANGES: ClassVar[Ranges] = {"act": _STREAM, "weight": _STREAM, "acc": _STREAM, "part": (0, 2)}


@dataclass(frozen=True)
class Load(PostOp):
    """Register = element of a stream's tile."""

    dst: int
    stream: int
    RANGES: ClassVar[Ranges] = {"dst": _REGISTER, "stream": _STREAM}


@dataclass(frozen=True)
class Store(PostOp):
    """Element of a stream's tile = register; the value must fit the stream's type."""

    src: int
    stream: int
    RANGES: ClassVar[Ranges] = {"src": _REGISTER, "stream": _STREAM}


@dataclass(frozen=True)
class Add(PostOp):
    """dst = a + b."""

    dst: int
    a: int
    b: int
    RANGES: ClassVar[Ranges] = {"dst": _REGISTER, "a": _REGISTER, "b": _REGISTER}


@dataclass(frozen=True)
class Mul(PostOp):
    """dst = a * b."""

    dst: int
    a: int
    b: int
    RANGES: ClassVar[Ranges] = {"dst": _REGISTER, "a": _REGISTER, "b": _REGISTER}


@dataclass(frozen=True)
class Bias(PostOp):
    """dst = a * 2^acc_shift + b * 2^bias_shift; one of the shifts is 0."""

    dst: int
    a: int
    b: int
    acc_shift: int
    bias_shift: int
    RANGES: ClassVar[Ranges] = {
        "dst": _REGISTER, "a": _REGISTER, "b": _REGISTER,
        "acc_shift": (0, 63), "bias_shift": (0, 63),
    }  # fmt: skip

    def check(self) -> None:
        """At most one shift is used."""
        super().check()
        if self.acc_shift and self.bias_shift:
            raise MohaqError("one of the shifts of 'Bias' must be 0")


@dataclass(frozen=True)
class Shl(PostOp):
    """dst = src * 2^amount."""

    dst: int
    src: int
    amount: int
    RANGES: ClassVar[Ranges] = {"dst": _REGISTER, "src": _REGISTER, "amount": (0, 63)}


@dataclass(frozen=True)
class Rsub(PostOp):
    """dst = constant - src."""

    dst: int
    src: int
    constant: int
    RANGES: ClassVar[Ranges] = {"dst": _REGISTER, "src": _REGISTER, "constant": _SIGNED_WIDE}


@dataclass(frozen=True)
class Saturate(PostOp):
    """dst = src clamped to `width` bits."""

    dst: int
    src: int
    width: int
    signed: int
    RANGES: ClassVar[Ranges] = _CLAMP


@dataclass(frozen=True)
class Requantize(PostOp):
    """dst = clamp((src * m + 2^(s-1)) >> s); channel run g of G uses scales[g] = (m, s)."""

    dst: int
    src: int
    width: int
    signed: int
    scales: tuple[tuple[int, int], ...]
    RANGES: ClassVar[Ranges] = _CLAMP

    def check(self) -> None:
        """Multipliers have 15 bits, shifts go to 62."""
        super().check()
        for m, s in self.scales:
            if not 1 <= m <= 32767 or not 0 <= s <= 62:
                raise MohaqError(f"a scale is 1..32767 >> 0..62, got {m} >> {s}")
        if not self.scales:
            raise MohaqError("a requantize needs at least one scale")


@dataclass(frozen=True)
class Lookup(PostOp):
    """dst = 257-point table in a stream, interpolated at src (si16)."""

    dst: int
    src: int
    table: int
    RANGES: ClassVar[Ranges] = {"dst": _REGISTER, "src": _REGISTER, "table": _STREAM}


@dataclass(frozen=True)
class BlockEnd(Instruction):
    """Closes a block; `next` is the word address of the next one, 0 after the last."""

    next: int
    RANGES: ClassVar[Ranges] = {"next": _WIDE}
