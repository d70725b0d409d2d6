"""Builds legalized operations; every one of them is one pass of the datapath."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import ModuleOp, StringAttr, TensorType
from xdsl.ir import Attribute, Block, Operation, SSAValue

from mohaq.backends.base import IllegalAssignment
from mohaq.backends.silago.legalize.functions import nacu
from mohaq.backends.silago.legalize.numerics import Q411_SHIFT, Numerics
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.parameters import ParameterStore, storage_dtype, tensor_type

BITS = 16
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Later:
    """A bias to be added, and the name of its parameter."""

    name: str
    values: Ints

    def part(self, first: int, size: int) -> Later:
        """The bias of some channels."""
        return Later(f"{self.name}.{first}", self.values[first : first + size])


@dataclass(frozen=True)
class Held:
    """A legalized 16-bit value; the neutral one is value * 2^exponent.

    `later` is a bias [channels] that is still to be added, in the value's scale: the gates of a
    cell get theirs inside the loop, where they are in the register files anyway.
    """

    value: SSAValue
    exponent: int = 0
    later: Later | None = None


@dataclass
class Names:
    """Parameters and functions of the legalized program."""

    store: ParameterStore
    declared: dict[str, Operation] = field(default_factory=dict)

    def function(self, name: str) -> str:
        """Declare a function of the NACU once."""
        self.declared.setdefault(name, nacu(name))
        return name

    def declare(self, name: str, values: Ints, width: int) -> TensorType[Attribute]:
        """Store a parameter; gives its type."""
        array = values.astype(storage_dtype(width))
        kind = tensor_type(array, width)
        self.store[name] = array
        self.declared[name] = DeclareOp(name, kind)
        return kind

    def module(self, function: Operation) -> ModuleOp:
        """The module around the function."""
        return ModuleOp([*self.declared.values(), function])


@dataclass
class Maker:
    """Appends to a block. Parameters are loaded in the outermost block."""

    numerics: Numerics
    names: Names
    block: Block
    mark: Attribute | None = None
    outer: Maker | None = None

    def add(self, op: Operation) -> SSAValue:
        """Append an operation; gives its first result."""
        if isinstance(self.mark, StringAttr) and not isinstance(op, LoadOp):
            op.attributes["layer"] = self.mark
        self.block.add_op(op)
        return op.results[0]

    def parameter(self, name: str, values: Ints, width: int) -> SSAValue:
        """Declare and load a parameter; a name that holds other data gets a number."""
        if self.outer is not None:
            return self.outer.parameter(name, values, width)
        wanted, number = name, 1
        while name in self.names.store and not np.array_equal(self.names.store[name], values):
            name, number = f"{wanted}.{number}", number + 1
        kind = self.names.declare(name, values, width)
        return self.add(LoadOp(name, kind))

    def shifted(self, value: SSAValue, shift: int, width: int = BITS) -> SSAValue:
        """clamp(value / 2^shift), floored. SHIFT_R or SHIFT_L."""
        return self.add(qnn.ShrOp(value, [shift], width))

    def rounded(self, value: SSAValue, shift: int, width: int) -> SSAValue:
        """clamp(round(value / 2^shift)), halves up. ADD of a constant, then SHIFT_R.

        Without it the 4- and 8-bit operands of products would be half a step too small.
        """
        return self.add(qnn.RequantizeOp(value, [1], [shift], width))

    def plus(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """saturate16(a + b). ADD."""
        return self.add(qnn.SaturateOp(self.add(qnn.AddOp(a, b)), BITS))

    def times(self, a: SSAValue, b: SSAValue, shift: int) -> SSAValue:
        """clamp((a * b) / 2^shift), floored. MULT.

        Raises:
            IllegalAssignment: the target cannot shift a product so.
        """
        wide = self.numerics.wide
        if (wide and not -32 <= shift <= 31) or (not wide and shift != Q411_SHIFT):
            raise IllegalAssignment(
                f"the datapath cannot shift a product right by {shift}",
                why="the shift of an instruction has 6 bits with its sign"
                if wide
                else f"products in Q4.11 are shifted by {Q411_SHIFT}",
            )
        return self.add(qnn.ShrOp(self.add(qnn.MulOp(a, b)), [shift], BITS))

    def gate(self, held: Held) -> Held:
        """A result of the NACU as a factor: doubled where products halve."""
        if held.exponent == self.numerics.gate_exponent:
            return held
        return Held(self.plus(held.value, held.value), held.exponent - 1)

    def complement(self, gate: Held) -> Held:
        """1 - gate, both factors. SUBT from a constant."""
        return Held(self.subtracted(gate.value, 1 << (BITS - 1 - gate.exponent)), gate.exponent)

    def subtracted(self, value: SSAValue, constant: int) -> SSAValue:
        """saturate16(constant - value), for values above -32768. SUBT."""
        return self.add(qnn.SaturateOp(self.add(qnn.RsubOp(value, constant)), BITS))

    def looked_up(self, value: SSAValue, function: str) -> Held:
        """A function of the NACU; its Q4.11 result stands for Q0.15. SIGM or TANH."""
        return Held(self.add(qnn.LookupOp(value, self.names.function(function))), 4)

    def biased(self, held: Held) -> Held:
        """The value with its bias."""
        if held.later is None:
            return held
        bias = self.parameter(held.later.name, held.later.values, BITS)
        return Held(self.plus(held.value, bias), held.exponent)

    def neutral(self, held: Held) -> SSAValue:
        """The value in its neutral scale, with its bias."""
        held = self.biased(held)
        return self.shifted(held.value, -held.exponent) if held.exponent else held.value


def power_of_two(m: int, s: int) -> int:
    """log2(m / 2^s).

    Raises:
        IllegalAssignment: it is no whole number.
    """
    if m & (m - 1):
        raise IllegalAssignment(
            f"SiLago rescales by shifts, not by {m} / 2^{s}",
            hint="scales of the program must be powers of two",
        )
    return m.bit_length() - 1 - s


def exponents(scales: Sequence[tuple[int, int]]) -> list[int]:
    """log2 of every scale."""
    return [power_of_two(m, s) for m, s in scales]
