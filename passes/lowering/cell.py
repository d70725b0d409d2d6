"""Pieces of recurrent cells in integers: pre-activations, functions, mixing into a state.

Every function gives a value together with the real size of its step. The order of operations
is part of the semantics (docs/semantics.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from xdsl.ir import SSAValue

from mohaq.compiler.analysis.functions import is_bounded
from mohaq.compiler.analysis.storage import GATE_GRID, UNIT_GRID
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.qnn.elementwise import signed_bits
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.quantizer import derive_multiplier
from mohaq.passes.lowering.builder import Builder
from mohaq.passes.lowering.tables import ONE, input_step

BITS = 16
FRACTION = 15
TOP = (1 << (BITS - 1)) - 1
HEADROOM = 4
"""Range of an unbounded candidate's pre-activation, in clips of the state."""


@dataclass(frozen=True)
class Applied:
    """A 16-bit value and the real size of one step."""

    value: SSAValue
    step: float


def open_grid(function: FunctionAttr, state: GridAttr) -> GridAttr:
    """Grid of a pre-activation: Q4.11 before a table, else a power of two from the state's clip.

    The parts of a sum may be larger than what a relu leaves of it, hence the headroom.
    """
    if is_bounded(function):
        return GATE_GRID
    exponent = math.ceil(math.log2(HEADROOM * state.step * state.high))
    return GridAttr.of(BITS, 2.0 ** (exponent - FRACTION))


def shift_right(body: Builder, value: SSAValue, shift: int, width: int = BITS) -> SSAValue:
    """Divide by a power of two, rounding half up, and saturate."""
    return body.add(qnn.RequantizeOp(value, [1], [shift], width))


def scaled(body: Builder, value: SSAValue, shift: int) -> SSAValue:
    """value * 2^shift in 16 bits, saturating."""
    if shift < 0:
        return shift_right(body, value, -shift)
    if shift:
        value = body.add(qnn.ShlOp(value, shift))
    if signed_bits(value) == BITS:
        return value
    return body.add(qnn.SaturateOp(value, BITS))


def aligned(body: Builder, value: SSAValue, ratio: float) -> SSAValue:
    """value * ratio, as wide as it has to be; a power of two >= 1 is exact."""
    exact = Fraction(ratio)
    if exact == 1:
        return value
    if exact.denominator == 1 and exact.numerator & (exact.numerator - 1) == 0:
        return body.add(qnn.ShlOp(value, exact.numerator.bit_length() - 1))
    bits = signed_bits(value)
    m, s = derive_multiplier(exact, bits)
    largest = ((m << (bits - 1)) + ((1 << s) >> 1)) >> s
    return body.add(qnn.RequantizeOp(value, [m], [s], largest.bit_length() + 1))


def limited(body: Builder, value: SSAValue, limit: int) -> SSAValue:
    """value clamped to [-limit, limit] by saturating differences from constants."""
    if limit > TOP:
        return value
    for constant in (TOP - limit, limit - TOP - 1):
        low = body.add(qnn.SaturateOp(body.add(qnn.RsubOp(value, constant)), BITS))
        value = body.add(qnn.RsubOp(low, constant))
    return value


def rectified(body: Builder, value: SSAValue) -> SSAValue:
    """max(value, 0) in 16 bits, saturating: 32767 - saturate16(32767 - value)."""
    low = body.add(qnn.SaturateOp(body.add(qnn.RsubOp(value, TOP)), BITS))
    return body.add(qnn.SaturateOp(body.add(qnn.RsubOp(low, TOP)), BITS))


def lookup(body: Builder, value: SSAValue, function: FunctionAttr) -> Applied:
    """The table of a bounded function; the value is in the table's input steps."""
    return Applied(body.add(qnn.LookupOp(value, body.table(function))), UNIT_GRID.step)


def squash(
    body: Builder,
    total: SSAValue,
    function: FunctionAttr,
    grid: GridAttr,
    *,
    limit: float | None = None,
    fraction: int = 0,
) -> Applied:
    """function(total), with the sum in steps of grid / 2^fraction and an optional clip."""
    bounded = is_bounded(function)
    if fraction and (limit is not None or not bounded):
        width = max(BITS, signed_bits(total) - fraction + 1)
        total = shift_right(body, total, fraction, width)
        fraction = 0
    if limit is not None:
        total = limited(body, total, math.floor(limit / grid.step + 0.5))
    if bounded:
        shift = round(math.log2(grid.step / input_step(function))) - fraction
        return lookup(body, scaled(body, total, shift), function)
    made = rectified(body, total) if function.kind == "relu" else scaled(body, total, 0)
    return Applied(made, grid.step)


def of_state(body: Builder, value: SSAValue, state: GridAttr, function: FunctionAttr) -> Applied:
    """function(state), as a cell shows it."""
    if is_bounded(function):
        domain = GridAttr.of(BITS, input_step(function))
        return lookup(body, body.rescale(value, [state.step], [domain]), function)
    return Applied(rectified(body, value) if function.kind == "relu" else value, state.step)


def mixed(
    body: Builder,
    keep: SSAValue,
    before: SSAValue,
    fresh: SSAValue,
    candidate: Applied,
    state: GridAttr,
) -> SSAValue:
    """keep * before + fresh * candidate in the state grid; the gates are Q0.15.

    The second product is brought to the first one's steps before the one rounding.
    """
    held = body.add(qnn.MulOp(keep, before))
    new = body.add(qnn.MulOp(fresh, candidate.value))
    new = aligned(body, new, candidate.step / state.step)
    return shift_right(body, body.add(qnn.AddOp(held, new)), FRACTION)


def complement(body: Builder, gate: SSAValue) -> SSAValue:
    """1 - gate in Q0.15."""
    return body.add(qnn.RsubOp(gate, ONE))


def stored(body: Builder, applied: Applied, grid: GridAttr) -> SSAValue:
    """A value in a 16-bit grid."""
    if applied.step == grid.step:
        return applied.value
    return body.rescale(applied.value, [applied.step], [grid])


def gated(body: Builder, gate: SSAValue, applied: Applied, grid: GridAttr) -> SSAValue:
    """gate * value in a 16-bit grid, one rounding; the gate is Q0.15."""
    product = body.add(qnn.MulOp(gate, applied.value))
    if applied.step == grid.step:
        return shift_right(body, product, FRACTION)
    return body.rescale(product, [applied.step * UNIT_GRID.step], [grid])
