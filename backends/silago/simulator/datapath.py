"""One step of a cell's datapath on plain integers: operands in, raw results and accumulators out.

A result passes two places: `compute` at the edge that ends the operand cycle, `output` in the
next cycle with the operand format that is live then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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

PRODUCTS = frozenset({Mode.MULT, Mode.MULT_CONST, Mode.MAC, Mode.MAC_INTER})
"""Modes whose output Q4.11 shifts right."""

DRAIN = Mode.MODE_6
"""Our extension of `wide_acc`: shows the accumulator of lane io_change of NACU 0, shifted and
clamped to 16 bits, and clears nothing. The public RTL has no such mode."""

WIDE = PRODUCTS | {Mode.MULT_ADD, Mode.AXPY, Mode.SUM_ACC, DRAIN}
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


@dataclass
class Datapath:
    """Registers of one DPU; `raw` holds the results that the output stage shows next."""

    acc: list[list[int]] = field(default_factory=lambda: [[0] * 4, [0] * 4])
    raw: list[list[int]] = field(default_factory=lambda: [[0] * 4, [0] * 4])
    raw_mode: int = 0
    raw_change: int = 0
    raw_shift: int = 0
    raw_bits: int = 16
    ir: int = 0
    status: int = 0


@dataclass(frozen=True)
class Setting:
    """What is live in a cycle: mode, io_change, our shift, width of the multiplier's lanes."""

    mode: int = 0
    change: int = 0
    shift: int = 0
    bw: int = 0


def moved(value: int, shift: int) -> int:
    """floor(value / 2^shift); a negative shift multiplies."""
    return value >> shift if shift >= 0 else value << -shift


def signed_shift(field: int) -> int:
    """The shift in -32..31 of the instruction's six bits."""
    return (field ^ 32) - 32


def output(d: Datapath, bw: int, q_shift: int) -> tuple[int, int]:
    """The two outputs in the cycle after `compute`, `bw` being the format live in that cycle."""
    shift = d.raw_shift if d.raw_mode in WIDE else 0
    if bw == Bw.Q4_11 and d.raw_mode in PRODUCTS:
        shift += q_shift
    bits = d.raw_bits
    outs = []
    for lanes in d.raw:
        shown = [clamp(moved(v, shift), bits) for v in lanes[: 16 // bits]]
        if d.raw_change == Change.ABS_OUT or d.raw_mode == Mode.SUBT_ABS:
            shown = [clamp(-v, bits) if -(1 << (bits - 1)) < v < 0 else v for v in shown]
        outs.append(join(shown, bits))
    return outs[0], outs[1]


def compute(
    d: Datapath, setting: Setting, operands: Sequence[int], acc_bits: int, clear: bool
) -> None:
    """Take the operands in0..in3 of a cycle at its edge; `clear` empties the accumulators then.

    NACU 0 works on in0 and in1, NACU 1 on in2 and in3; of a maximum, NACU 1 gives the minimum.
    """
    mode, bits = setting.mode, LANE_BITS[Bw(setting.bw)]
    if mode == DRAIN:
        _drain(d, setting)
        if clear:
            d.acc = [[0] * 4, [0] * 4]
        return
    in0, in1, in2, in3 = (
        _negated(split(word, bits), bits, setting.change == change)
        for word, change in zip(operands, _NEGATES, strict=True)
    )
    constant = split(d.ir, bits)
    d.raw = [[0] * 4, [0] * 4]
    second = (in0, in1) if mode in EXTREMES else (in2, in3)
    for lane in range(16 // bits):
        inputs = Inputs(in0[lane], in1[lane], in2[lane], constant[lane], bits, acc_bits)
        d.raw[0][lane], d.acc[0][lane] = first_nacu(mode, inputs, d.acc[0][lane])
        inputs = Inputs(second[0][lane], second[1][lane], 0, constant[lane], bits, acc_bits)
        d.raw[1][lane], d.acc[1][lane] = second_nacu(mode, inputs, d.acc[1][lane])
    d.status = 0
    if mode in EXTREMES:
        a, b = operands[0], d.ir if mode == Mode.MAX_MIN_CONST else operands[1]
        d.status = int(a > b) | int(a == b) << 1
    if mode == Mode.LD_IR:
        d.ir = join(in0, bits)
    if clear:
        d.acc = [[0] * 4, [0] * 4]
        if mode in ACCUMULATING:
            d.raw = [[0] * 4, [0] * 4]
    d.raw_mode, d.raw_change, d.raw_shift = mode, setting.change, setting.shift
    d.raw_bits = bits


def _drain(d: Datapath, setting: Setting) -> None:
    d.raw[0][0], d.raw[1][0] = d.acc[0][setting.change], 0
    d.raw_mode, d.raw_change, d.raw_shift, d.raw_bits = DRAIN, 0, setting.shift, 16
    d.status = 0


ACCUMULATING = frozenset({Mode.SUM_ACC, Mode.MAC, Mode.MAX_MIN_ACC, Mode.MAC_INTER})
EXTREMES = frozenset({Mode.MAX_MIN_ACC, Mode.MAX_MIN_CONST, Mode.MAX_MIN})
_NEGATES = (Change.NEGATE_IN0, Change.NEGATE_IN1, Change.NEGATE_IN0, Change.NEGATE_IN1)


@dataclass(frozen=True)
class Inputs:
    """Operands of one lane: first, second, third (mult_add), the constant; widths."""

    x: int
    y: int
    z: int
    constant: int
    bits: int
    acc_bits: int


_TWO = frozenset(
    {
        Mode.ADD, Mode.SUBT, Mode.SUBT_ABS, Mode.MULT, Mode.MAC, Mode.MULT_ADD, Mode.AXPY,
        Mode.MAX_MIN, Mode.SHIFT_L, Mode.SHIFT_R,
    }
)  # fmt: skip
_SECOND = frozenset({Mode.ADD, Mode.SUBT, Mode.SUBT_ABS, Mode.MULT, Mode.MAC})


def needs(mode: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Operands (0..3) that an operation of NACU 0 and of NACU 1 takes; empty: no operation."""
    if mode in {Mode.IDLE, DRAIN}:
        return (), ()
    first: tuple[int, ...] = (0, 1) if mode in _TWO else (0,)
    if mode == Mode.MULT_ADD:
        first = (0, 1, 2)
    if mode == Mode.SUM_ACC:
        return first, (2,)
    return first, (2, 3) if mode in _SECOND else ()


def _negated(lanes: tuple[int, ...], bits: int, negate: bool) -> tuple[int, ...]:
    return tuple(clamp(-v, bits) for v in lanes) if negate else lanes


def _both(mode: int, i: Inputs, acc: int) -> tuple[int, int] | None:
    """What both NACUs can do: raw result and new accumulator."""
    if mode == Mode.ADD:
        return i.x + i.y, acc
    if mode in {Mode.SUBT, Mode.SUBT_ABS}:
        return i.x + clamp(-i.y, i.bits), acc
    if mode == Mode.MULT:
        return i.x * i.y, acc
    if mode in {Mode.MAC, Mode.SUM_ACC}:
        acc = clamp(acc + (i.x * i.y if mode == Mode.MAC else i.x), i.acc_bits)
        return acc, acc
    return None


def first_nacu(mode: int, i: Inputs, acc: int) -> tuple[int, int]:
    """Raw result and new accumulator of a lane of NACU 0."""
    if (found := _both(mode, i, acc)) is not None:
        return found
    if mode == Mode.MAX_MIN_ACC:
        acc = max(acc, i.x)
        return acc, acc
    if mode == Mode.MAC_INTER:
        acc = clamp(acc + i.x * i.constant, i.acc_bits)
        return acc, acc
    plain = {
        Mode.ADD_CONST: lambda: i.x + i.constant,
        Mode.MULT_ADD: lambda: i.x * i.y + i.z,
        Mode.MULT_CONST: lambda: i.x * i.constant,
        Mode.AXPY: lambda: i.x * i.constant + i.y,
        Mode.MAX_MIN: lambda: max(i.x, i.y),
        Mode.MAX_MIN_CONST: lambda: max(i.x, i.constant),
        Mode.SHIFT_L: lambda: i.x << (i.y & 15),
        Mode.SHIFT_R: lambda: i.x >> (i.y & 15),
        Mode.SIGM: lambda: nacu.sigmoid(i.x),
        Mode.TANHYP: lambda: nacu.tanh(i.x),
        Mode.RELU: lambda: max(i.x, 0),
    }
    return plain[Mode(mode)]() if mode in plain else 0, acc


def second_nacu(mode: int, i: Inputs, acc: int) -> tuple[int, int]:
    """Raw result and new accumulator of a lane of NACU 1."""
    if (found := _both(mode, i, acc)) is not None:
        return found
    if mode == Mode.MAX_MIN_ACC:
        acc = min(acc, i.x)
        return acc, acc
    if mode in {Mode.MAX_MIN, Mode.MAX_MIN_CONST}:
        return min(i.x, i.y if mode == Mode.MAX_MIN else i.constant), acc
    return 0, acc
