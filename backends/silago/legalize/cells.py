"""Elementwise parts: functions, gated products and mixtures, as passes of the datapath."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from xdsl.ir import Operation, SSAValue

from mohaq.backends.base import IllegalAssignment
from mohaq.backends.silago.legalize.functions import SIGMOID, TANH
from mohaq.backends.silago.legalize.maker import BITS, Held, Maker, power_of_two
from mohaq.backends.silago.legalize.numerics import Q411_SHIFT
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import int_width
from mohaq.compiler.parameters import ParameterStore

UNIT = 1 << 15
TOP = UNIT - 1
"""A rectified value is TOP - saturate(TOP - value): two passes."""

GATE_ROOM = 2
"""Bits by which a doubled gate can be shifted to the left: 1.0 is 2^12."""

FUNCTIONS = {"sigmoid": (SIGMOID, 0), "tanh": (TANH, 1)}
"""Neutral table -> (function of the NACU, how many bits finer the neutral input's steps are)."""


def unexpected(op: Operation) -> MohaqError:
    """The error for a form that the lowering never makes for a layer that is legal."""
    return MohaqError(
        f"SiLago has no passes for this use of '{op.name}'",
        hint="functions other than sigmoid and tanh, clips and zero points are not supported",
    )


def rectified_value(op: Operation) -> SSAValue | None:
    """v, where an operation is the end of max(v, 0) = TOP - saturate(TOP - v)."""
    low = _taken_from_top(op)
    if low is None or not isinstance(low.owner, Operation):
        return None
    return _taken_from_top(low.owner)


def read_rectified(value: SSAValue) -> bool:
    """Whether a maximum with 0 alone reads a value."""
    users = [use.operation for use in value.uses]
    return bool(users) and all(
        isinstance(u, qnn.RsubOp) and u.constant.value.data == TOP for u in users
    )


def _taken_from_top(op: Operation) -> SSAValue | None:
    """v of saturate(TOP - v)."""
    if not isinstance(op, qnn.SaturateOp) or not isinstance(op.input.owner, qnn.RsubOp):
        return None
    inner = op.input.owner
    return inner.input if inner.constant.value.data == TOP else None


@dataclass
class CellRules:
    """Rewrites the roots of a block: operations that give a 16-bit value.

    held: neutral value -> legalized one.
    """

    make: Maker
    held: dict[SSAValue, Held]
    neutral: ParameterStore
    load: Callable[[LoadOp], Held]

    def value(self, value: SSAValue) -> Held:
        """A 16-bit value that was made before."""
        if value not in self.held:
            if isinstance(value.owner, LoadOp):
                self.held[value] = self.load(value.owner)
            else:
                owner = value.owner
                raise (
                    unexpected(owner)
                    if isinstance(owner, Operation)
                    else MohaqError("a value of another block is missing")
                )
        return self.held[value]

    def plain(self, value: SSAValue) -> SSAValue:
        """A 16-bit value in its neutral scale."""
        return self.make.neutral(self.value(value))

    def lookup(self, op: qnn.LookupOp) -> Held:
        """function(sum): the sum in Q4.11, saturating, then SIGM or TANH."""
        table = op.table.root_reference.data
        if table not in FUNCTIONS:
            raise IllegalAssignment(
                f"the NACU has sigmoid and tanh, not '{table}'",
                hint="leave approximate-nonlinear out for SiLago",
            )
        function, finer = FUNCTIONS[table]
        return self.make.looked_up(self._argument(op.input, finer), function)

    def rectified(self, op: qnn.SaturateOp) -> Held:
        """max(value, 0): SUBT from the largest number, twice. A sum saturates before."""
        inner = rectified_value(op)
        assert inner is not None
        owner = inner.owner
        if isinstance(owner, qnn.RequantizeOp) and inner not in self.held:
            ((m, s),) = owner.scales()
            if not isinstance(owner.input.owner, qnn.AddOp):
                raise unexpected(owner)
            value = self._reset_sum(owner.input.owner, power_of_two(m, s))
        else:
            value = self._total(inner)
        for _ in range(2):
            value = self.make.subtracted(value, TOP)
        return Held(value)

    def _argument(self, value: SSAValue, finer: int) -> SSAValue:
        """The input of a function in Q4.11."""
        owner = value.owner
        if isinstance(owner, qnn.SaturateOp):
            inner, shift = owner.input, 0
            if isinstance(inner.owner, qnn.ShlOp):
                shift, inner = inner.owner.amount.value.data, inner.owner.input
            if shift != finer:
                raise unexpected(owner)
            return self._total(inner)
        if isinstance(owner, qnn.RequantizeOp) and value not in self.held:
            return self._rescaled_argument(owner, finer)
        if isinstance(owner, qnn.RequantizeOp):
            raise unexpected(owner)
        if finer:
            return self.make.shifted(self.plain(value), finer)
        return self.plain(value)

    def _rescaled_argument(self, op: qnn.RequantizeOp, finer: int) -> SSAValue:
        ((m, s),) = op.scales()
        exponent = power_of_two(m, s) - finer
        inner = op.input.owner
        if isinstance(inner, qnn.AddOp):
            return self._reset_sum(inner, exponent)
        held = self.value(op.input)
        return self.make.shifted(held.value, -(exponent + held.exponent))

    def _reset_sum(self, op: qnn.AddOp, exponent: int) -> SSAValue:
        """u + r v of a GRU, from (u << 15) + r v."""
        left, right = op.lhs.owner, op.rhs.owner
        if (
            not isinstance(left, qnn.ShlOp)
            or not isinstance(right, qnn.MulOp)
            or left.amount.value.data != -exponent
        ):
            raise unexpected(op)
        gate = self.make.gate(self.value(right.lhs))
        other = self.plain(right.rhs)
        part = self.make.times(gate.value, other, -exponent - gate.exponent)
        return self.make.plus(self.plain(left.input), part)

    def _total(self, value: SSAValue) -> SSAValue:
        """A sum of 16-bit values, saturating at every addition from the left."""
        owner = value.owner
        if isinstance(owner, qnn.AddOp) and value not in self.held:
            return self.make.plus(self._total(owner.lhs), self._total(owner.rhs))
        return self.plain(value)

    def requantize(self, op: qnn.RequantizeOp) -> Held:
        """A rescaled value, product, or sum of two products."""
        if len(op.scales()) != 1:
            raise unexpected(op)
        ((m, s),) = op.scales()
        exponent, bits = power_of_two(m, s), int_width(op.result)[0]
        owner = op.input.owner
        if op.input in self.held or isinstance(owner, LoadOp):
            held = self.value(op.input)
            return Held(self._narrowed(held.value, exponent + held.exponent, bits))
        if isinstance(owner, qnn.AddOp):
            if bits != BITS:
                raise unexpected(op)
            left, right = self._term(owner.lhs, exponent), self._term(owner.rhs, exponent)
            return Held(self.make.plus(left, right))
        value = self._term(op.input, exponent, BITS - bits)
        return Held(self.make.rounded(value, BITS - bits, bits) if bits < BITS else value)

    def _narrowed(self, value: SSAValue, exponent: int, bits: int) -> SSAValue:
        """A 16-bit value rescaled by 2^exponent; fewer bits are formed on top first."""
        top = BITS - bits
        made = self.make.shifted(value, -(exponent + top))
        return self.make.rounded(made, top, bits) if top else made

    def _term(self, value: SSAValue, exponent: int, top: int = 0) -> SSAValue:
        """A product of two 16-bit values times 2^(exponent + top), in 16 bits."""
        owner, exponent = value.owner, exponent + top
        if isinstance(owner, qnn.ShlOp):
            exponent, owner = exponent + owner.amount.value.data, owner.input.owner
        elif isinstance(owner, qnn.RequantizeOp):
            ((m, s),) = owner.scales()
            exponent, owner = exponent + power_of_two(m, s), owner.input.owner
        if not isinstance(owner, qnn.MulOp):
            raise unexpected(owner if isinstance(owner, Operation) else value.owner)  # type: ignore[arg-type]
        if isinstance(owner.lhs.owner, LoadOp):
            return self._vector(owner.lhs.owner, self.plain(owner.rhs), exponent)
        gate, other = self._factor(owner.lhs), self.value(owner.rhs)
        shift = -(exponent + gate.exponent + other.exponent)
        if self.make.numerics.wide or (shift == Q411_SHIFT and not other.exponent):
            return self.make.times(gate.value, other.value, shift)
        # Products are shifted by 12; what is left moves the gate where it has room (it is at most
        # 2^12), or the other factor when that is a result of the NACU too.
        if not other.exponent and Q411_SHIFT - GATE_ROOM <= shift < Q411_SHIFT:
            moved = self.make.shifted(gate.value, shift - Q411_SHIFT)
            return self.make.times(moved, other.value, Q411_SHIFT)
        if not other.exponent:
            raise IllegalAssignment(
                f"a product would have to be shifted by {shift} bits, the datapath has {Q411_SHIFT}"
            )
        moved = self.make.shifted(other.value, shift - Q411_SHIFT)
        return self.make.times(gate.value, moved, Q411_SHIFT)

    def _factor(self, value: SSAValue) -> Held:
        owner = value.owner
        if isinstance(owner, qnn.RsubOp) and value not in self.held:
            if owner.constant.value.data != UNIT:
                raise unexpected(owner)
            return self.make.complement(self._gate(owner.input))
        return self._gate(value)

    def _gate(self, value: SSAValue) -> Held:
        held = self.value(value)
        if held.exponent == 0:
            raise MohaqError("a factor of a cell is no result of sigmoid or tanh")
        return self.make.gate(held)

    def _vector(self, load: LoadOp, other: SSAValue, exponent: int) -> SSAValue:
        """A vector of the model times a value; faithful products move the vector's scale."""
        if self.make.numerics.wide:
            return self.make.times(self.value(load.result).value, other, -exponent)
        numbers = self.neutral[load.symbol].astype(np.int64)
        move = Q411_SHIFT + exponent
        wide = numbers << move if move >= 0 else (numbers + (1 << (-move - 1))) >> -move
        if wide.size and (wide.min() < -UNIT or wide.max() >= UNIT):
            raise IllegalAssignment(
                f"a vector would have to reach {int(np.abs(wide).max())}",
                where=f"'{load.symbol}'",
                why=f"products in Q4.11 are shifted by {Q411_SHIFT} bits, so scales are not free",
            )
        name = f"{load.symbol}.q411"
        return self.make.times(self.make.parameter(name, wide, BITS), other, Q411_SHIFT)
