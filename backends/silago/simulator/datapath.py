"""One step of a cell's datapath on plain integers: operands in, raw results and accumulators out.

A result passes two places: `compute` at the edge that ends the operand cycle, `output` in the
next cycle with the mode and the operand format that are live then. Each NACU has one register for
sums and results; its lanes are twice as wide as the operands' (32 bits in `wide_acc`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from mohaq.backends.silago.isa.instructions import Bw, Change, Mode
from mohaq.backends.silago.simulator import nacu

MODELLED = frozenset(
    {
        Mode.IDLE, Mode.ADD, Mode.SUM_ACC, Mode.ADD_CONST, Mode.SUBT, Mode.SUBT_ABS, Mode.MULT,
        Mode.MULT_ADD, Mode.MULT_CONST, Mode.MAC, Mode.LD_IR, Mode.AXPY, Mode.MAX_MIN_ACC,
        Mode.MAX_MIN_CONST, Mode.MAX_MIN, Mode.SHIFT_L, Mode.SHIFT_R, Mode.SIGM, Mode.TANHYP,
        Mode.RELU, Mode.MAC_INTER,
    }
)  # fmt: skip
"""Modes whose function was measured on the public RTL."""

PRODUCTS = frozenset(
    {Mode.MULT, Mode.MULT_CONST, Mode.MAC, Mode.MAC_INTER, Mode.MULT_ADD, Mode.AXPY}
)
"""Modes whose output Q4.11 shifts right."""

DRAIN = Mode.MODE_6
"""Our extension of `wide_acc`: shows one register lane after the other, shifted and clamped to 16
bits, from lane io_change of NACU 0 on; those of NACU 1 come last. Clears nothing. The public RTL
has no such mode."""

WIDE = PRODUCTS | {Mode.SUM_ACC, DRAIN}
"""Modes that our `wide_acc` shift applies to."""

LANE_BITS = {Bw.INT16: 16, Bw.INT8X2: 8, Bw.Q4_11: 16, Bw.INT4X4: 4}


def clamp(value: int, bits: int) -> int:
    """Saturate to a signed width."""
    top = (1 << (bits - 1)) - 1
    return max(-top - 1, min(top, value))


def split(word: int, bits: int) -> tuple[int, ...]:
    """Signed lanes of a 16-bit word, lowest first."""
    mask, half = (1 << bits) - 1, 1 << (bits - 1)
    return tuple((((word >> s) & mask) ^ half) - half for s in range(0, 16, bits))


def join(lanes: Sequence[int], bits: int) -> int:
    """The signed 16-bit word of lanes."""
    word = 0
    for i, lane in enumerate(lanes):
        word |= (lane & ((1 << bits) - 1)) << (bits * i)
    return (word ^ 0x8000) - 0x8000


EXTREMES = frozenset({Mode.MAX_MIN_ACC, Mode.MAX_MIN_CONST, Mode.MAX_MIN, Mode.RELU})
"""Modes that compare, and so set the status that BRANCH sees."""


def fields(value: int, width: int, count: int) -> list[int]:
    """`count` signed fields of a number, lowest first."""
    half = 1 << (width - 1)
    return [(((value >> (width * n)) & (2 * half - 1)) ^ half) - half for n in range(count)]


def negated(word: int) -> int:
    """The negative of a 16-bit word; -32768 gives 32767."""
    return clamp(-word, 16)


def magnitude(word: int) -> int:
    """The absolute value of a 16-bit word; -32768 stays."""
    return -word if -32768 < word < 0 else word


@dataclass
class Datapath:
    """Registers of one DPU: lanes of both NACUs, their operand width, constants, compare."""

    raw: list[list[int]] = field(default_factory=lambda: [[0] * 4, [0] * 4])
    raw_bits: int = 16
    ir: list[int] = field(default_factory=lambda: [0, 0])
    status: int = 0
    draining: int = 0
    """Lanes shown so far."""
    drained: int = 0


def moved(value: int, shift: int) -> int:
    """floor(value / 2^shift); a negative shift multiplies."""
    return value >> shift if shift >= 0 else value << -shift


def signed_shift(bits: int) -> int:
    """The shift in -32..31 of the instruction's six bits."""
    return (bits ^ 32) - 32


@dataclass(frozen=True)
class Setting:
    """What is live in a cycle: mode, io_change, our shift, width of the multiplier's lanes."""

    mode: int = 0
    change: int = 0
    shift: int = 0
    bw: int = 0


@dataclass(frozen=True)
class Arithmetic:
    """What a fabric computes with: Q4.11's output shift, 32-bit lanes, the lane repair."""

    q_shift: int = 12
    wide: bool = False
    lane_slice: bool = False

    def lane_bits(self, bits: int) -> int:
        """Width of an accumulator lane."""
        return 32 if self.wide else 2 * bits


def output(d: Datapath, setting: Setting, bw: int, arithmetic: Arithmetic) -> tuple[int, int]:
    """The two outputs in the cycle after `compute`; `bw` is the format live in that cycle."""
    if d.draining:
        return d.drained, 0
    if setting.mode in {Mode.IDLE, Mode.LD_IR, DRAIN}:
        return 0, 0
    shift = setting.shift if setting.mode in WIDE else 0
    if bw == Bw.Q4_11 and setting.mode in PRODUCTS:
        shift += arithmetic.q_shift
    words = [_shown(r, d.raw_bits, LANE_BITS[Bw(bw)], shift, arithmetic) for r in d.raw]
    if setting.change == Change.ABS_OUT or setting.mode == Mode.SUBT_ABS:
        words = [magnitude(w) for w in words]
    return words[0], words[1]


def _shown(raw: Sequence[int], made: int, bits: int, shift: int, arithmetic: Arithmetic) -> int:
    """Lanes made with operand width `made`, shown with width `bits`."""
    if arithmetic.wide:
        return join([clamp(moved(v, shift), made) for v in raw[: 16 // made]], made)
    mask = (1 << (2 * made)) - 1
    pattern = sum((v & mask) << (2 * made * n) for n, v in enumerate(raw[: 16 // made]))
    parts = []
    for n, value in enumerate(fields(pattern, 2 * bits, 16 // bits)):
        part = clamp(value >> shift, bits)
        if part == value and not arithmetic.lane_slice:
            # The public RTL cuts slice n of the whole register.
            part = pattern >> (bits * n)
        parts.append(part)
    return join(parts, bits)


class Kind(IntEnum):
    """What a NACU does to its register, lane by lane."""

    ZERO = 0
    WORD = 1
    SUM = 2
    SUM_ACC = 3
    PRODUCT = 4
    PRODUCT_ACC = 5
    PRODUCT_SUM = 6


Plan = tuple[Kind, int, int, int]
"""Kind, two operands, addend of PRODUCT_SUM."""

NOTHING: Plan = (Kind.ZERO, 0, 0, 0)


def compute(
    d: Datapath,
    setting: Setting,
    operands: Sequence[int],
    shown: Sequence[int],
    bw_out: int,
    arithmetic: Arithmetic,
    clear: bool,
) -> None:
    """Take the operands in0..in3 of a cycle at its edge; `clear` empties the registers instead.

    NACU 0 works on in0 and in1, NACU 1 on in2 and in3; of a maximum, NACU 1 gives the minimum.
    `shown` are the outputs in this cycle, `bw_out` the output format.
    """
    mode, bits = setting.mode, LANE_BITS[Bw(setting.bw)]
    lane_bits = arithmetic.lane_bits(bits)
    if mode == DRAIN:
        lanes = 16 // d.raw_bits
        nacu, lane = divmod((setting.change + d.draining) % (2 * lanes), lanes)
        d.drained = clamp(moved(d.raw[nacu][lane], setting.shift), 16)
        d.draining += 1
        if clear:
            d.raw = [[0] * 4, [0] * 4]
        return
    d.draining = 0
    ins = [
        negated(word) if setting.change == change else word
        for word, change in zip(operands, _NEGATES, strict=True)
    ]
    if mode in EXTREMES:
        other = {
            Mode.MAX_MIN: ins[1],
            Mode.MAX_MIN_CONST: d.ir[0],
            Mode.MAX_MIN_ACC: shown[0],
            Mode.RELU: 0,
        }[Mode(mode)]
        d.status = int(ins[0] > other) | int(ins[0] == other) << 1
    plans = plan(Mode(mode), ins, operands, d.ir, shown, bw_out == Bw.Q4_11)
    if clear:
        d.raw = [[0] * 4, [0] * 4]
    else:
        old = (
            d.raw
            if d.raw_bits == bits or arithmetic.wide
            else [_recut(r, d.raw_bits, bits) for r in d.raw]
        )
        d.raw = [_apply(p, r, bits, lane_bits) for p, r in zip(plans, old, strict=True)]
    d.raw_bits = bits
    if mode == Mode.LD_IR:
        d.ir = [ins[0], ins[2]]


_NEGATES = (Change.NEGATE_IN0, Change.NEGATE_IN1, Change.NEGATE_IN0, Change.NEGATE_IN1)


def plan(
    mode: Mode,
    ins: Sequence[int],
    plain: Sequence[int],
    ir: Sequence[int],
    shown: Sequence[int],
    in_q: bool,
) -> tuple[Plan, Plan]:
    """What both NACUs do; `plain` are the operands before io_change."""
    a, b, c, e = ins
    if mode in {Mode.ADD, Mode.ADD_CONST}:
        pair = (b, e) if mode == Mode.ADD else (ir[0], ir[1])
        return (Kind.SUM, a, pair[0], 0), (Kind.SUM, c, pair[1], 0)
    if mode in {Mode.SUBT, Mode.SUBT_ABS}:
        return (Kind.SUM, a, negated(plain[1]), 0), (Kind.SUM, c, negated(plain[3]), 0)
    if mode == Mode.SUM_ACC:
        return (Kind.SUM_ACC, a, 0, 0), (Kind.SUM_ACC, c, 0, 0)
    if mode in {Mode.MULT, Mode.MULT_CONST}:
        pair = (b, e) if mode == Mode.MULT else (ir[0], ir[1])
        return (Kind.PRODUCT, a, pair[0], 0), (Kind.PRODUCT, c, pair[1], 0)
    if mode in {Mode.MAC, Mode.MAC_INTER}:
        pair = (b, e) if mode == Mode.MAC else (ir[0], ir[1])
        return (Kind.PRODUCT_ACC, a, pair[0], 0), (Kind.PRODUCT_ACC, c, pair[1], 0)
    if mode == Mode.MULT_ADD:
        return (Kind.PRODUCT_SUM, a, b, plain[2] << 11 if in_q else plain[2]), NOTHING
    if mode == Mode.AXPY:
        # In Q4.11 the public RTL gives NACU 0 the addend of NACU 1.
        addends = (plain[3] << 11, 0) if in_q else (plain[1], plain[3])
        return (Kind.PRODUCT_SUM, a, ir[0], addends[0]), (Kind.PRODUCT_SUM, c, ir[1], addends[1])
    first, second = _words(mode, ins, ir, shown)
    return (Kind.WORD, first, 0, 0), (Kind.WORD, second, 0, 0)


def _words(
    mode: Mode, ins: Sequence[int], ir: Sequence[int], shown: Sequence[int]
) -> tuple[int, int]:
    """Results of the modes that work on whole words; 0 for a NACU that has none."""
    a, b, c, e = ins
    if mode == Mode.MAX_MIN:
        return max(a, b), min(a, b)
    if mode == Mode.MAX_MIN_CONST:
        return max(a, ir[0]), min(a, ir[0])
    if mode == Mode.MAX_MIN_ACC:
        return max(a, shown[0]), min(a, shown[1])
    if mode == Mode.RELU:
        return max(a, 0), max(c, 0)
    if mode == Mode.SHIFT_L:
        return shifted_left(a, b), shifted_left(c, e)
    if mode == Mode.SHIFT_R:
        return a >> min(max(b, 0), 31), c >> min(max(e, 0), 31)
    if mode == Mode.SIGM:
        return nacu.sigmoid(a), 0
    if mode == Mode.TANHYP:
        return nacu.tanh(a), 0
    return 0, 0


def shifted_left(word: int, amount: int) -> int:
    """32 bits of a word shifted left; amounts below 0 shift by 0 (never measured)."""
    return fields(word << min(max(amount, 0), 32), 32, 1)[0]


def _apply(p: Plan, raw: Sequence[int], bits: int, lane_bits: int) -> list[int]:
    """New lanes of a NACU's register."""
    kind, x, y, addend = p
    count = 16 // bits
    if kind in {Kind.PRODUCT, Kind.PRODUCT_ACC, Kind.PRODUCT_SUM}:
        lanes = [v * w for v, w in zip(split(x, bits), split(y, bits), strict=True)]
        if kind == Kind.PRODUCT_ACC:
            lanes = [clamp(v + s, lane_bits) for v, s in zip(lanes, raw, strict=False)]
        if kind == Kind.PRODUCT_SUM:
            more = fields(addend, lane_bits, count)
            lanes = [clamp(v + s, lane_bits) for v, s in zip(lanes, more, strict=True)]
    else:
        lanes = fields(x, lane_bits, count)
        if kind == Kind.SUM:
            more = fields(y, lane_bits, count)
            lanes = [clamp(v + s, lane_bits) for v, s in zip(lanes, more, strict=True)]
        if kind == Kind.SUM_ACC:
            lanes = [clamp(v + s, lane_bits) for v, s in zip(lanes, raw, strict=False)]
    return lanes + [0] * (4 - count)


def _recut(raw: Sequence[int], made: int, bits: int) -> list[int]:
    """The same 32 bits as lanes of another operand width."""
    mask = (1 << (2 * made)) - 1
    pattern = sum((v & mask) << (2 * made * n) for n, v in enumerate(raw[: 16 // made]))
    return fields(pattern, 2 * bits, 16 // bits) + [0] * (4 - 16 // bits)


_TWO = frozenset(
    {
        Mode.ADD, Mode.SUBT, Mode.SUBT_ABS, Mode.MULT, Mode.MAC, Mode.MULT_ADD, Mode.AXPY,
        Mode.MAX_MIN, Mode.SHIFT_L, Mode.SHIFT_R,
    }
)  # fmt: skip
_SECOND = frozenset({Mode.ADD, Mode.SUBT, Mode.SUBT_ABS, Mode.MULT, Mode.MAC})


def needs(mode: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Operands (0..3) that an operation of NACU 0 and of NACU 1 takes; empty: not counted."""
    if mode in {Mode.IDLE, DRAIN}:
        return (), ()
    first: tuple[int, ...] = (0, 1) if mode in _TWO else (0,)
    if mode == Mode.MULT_ADD:
        first = (0, 1, 2)
    if mode == Mode.SUM_ACC:
        return first, (2,)
    return first, (2, 3) if mode in _SECOND else ()
