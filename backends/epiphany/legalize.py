"""`legalize-for-epiphany`: the target's arithmetic, still in `qnn` (docs/targets/epiphany.md).

What a layer becomes depends on its shape and widths alone, never on its data, so that costs in
a search hold for every candidate.

1. A kernel multiplies in the low 32 bits. It is given at most `COLUMNS` columns at a time, whose
   sum is proved by the operand types: widths w + a <= 24. A product whose whole sum may leave 32
   bits gets an accumulator of 64 bits: the sums of each run of columns are added to a pair.
2. 16-bit weights times 16-bit activations do not fit even so: the activations are taken apart
   (x = 256 high + low) and multiplied in two passes, joined exactly.
3. Multipliers get 15 bits, or fewer beside wide sums, so that rescaling takes two 32-bit products.
"""

from __future__ import annotations

import numpy as np
from xdsl.dialects.builtin import DenseArrayBase, i64
from xdsl.ir import Operation, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from mohaq.backends.base import IllegalAssignment
from mohaq.backends.multipliers import narrow_multiplier
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.qnn.elementwise import signed_bits
from mohaq.compiler.dialects.types import int_range, int_width, shape_of
from mohaq.compiler.program import Program

COLUMNS = 256
"""Most columns of one kernel call."""

NARROW, WIDE = 32, 64
"""Bits of an accumulator register, and of a pair of them."""

WEIGHTS = (2, 4, 8, 16)
MULTIPLIER_BITS = 15
LANE_BITS = 63


def legalize(program: Program) -> Program:
    """A legalized copy.

    Raises:
        IllegalAssignment: a rescale is too large for the target.
        MohaqError: operand widths that the kernels do not have.
    """
    made = program.clone()
    for op in list(made.entry.body.walk()):
        if isinstance(op, qnn.MatmulOp):
            _product(op, made)
    for op in list(made.entry.body.walk()):
        if isinstance(op, qnn.RequantizeOp):
            _requantize(op)
    for top in made.module.body.block.ops:
        if isinstance(top, qnn.PiecewiseOp):
            raise MohaqError(
                "Epiphany reads tables, no piecewise functions",
                where=f"function '{top.sym_name.data}'",
            )
    return made


def accumulator(columns: int, weight: int, activation: int) -> int:
    """Bits of the accumulator of a sum of so many products of operands of these widths."""
    return NARROW if (columns << (weight + activation - 2)) < 1 << (NARROW - 1) else WIDE


def _product(op: qnn.MatmulOp, program: Program) -> None:
    if not isinstance(op.weight.owner, LoadOp):
        raise MohaqError("Epiphany needs the weights of 'qnn.matmul' to be a parameter")
    name = op.weight.owner.symbol
    where = f"the product with '{name}'"
    weight, weight_signed = int_width(op.weight)
    activation, signed = int_width(op.input)
    if weight not in WEIGHTS or not weight_signed:
        raise MohaqError(
            f"the kernels read signed weights of 2, 4, 8 or 16 bits, not {op.weight.type}",
            where=where,
        )
    if not signed or activation > 16:
        raise MohaqError(
            f"the kernels read signed activations of up to 16 bits, not {op.input.type}",
            where=where,
        )
    bound = _bound(program, name, op.weight, op.input)
    if name in program.parameters and bound > op.acc.bound.data:
        raise MohaqError(
            f"a sum can reach {bound}, the program says {op.acc.bound.data}", where=where
        )
    if weight + activation > 24 and activation == 16:
        _split(op, program)
    elif weight + activation > 24:
        raise MohaqError(
            f"{weight}-bit weights take activations of up to 8 bits or of 16 bits", where=where
        )
    else:
        wide = accumulator(shape_of(op.weight)[1], weight, activation)
        op.attributes["acc"] = qnn.AccAttr.proved(wide, op.acc.bound.data)


def _split(op: qnn.MatmulOp, program: Program) -> None:
    """Two passes over the high and the low bytes of the activations."""
    assert isinstance(op.weight.owner, LoadOp)
    name = op.weight.owner.symbol
    columns, (width, _) = shape_of(op.weight)[1], int_width(op.weight)
    parts = qnn.SplitOp(op.input)
    made: list[Operation] = [parts]
    sums: list[SSAValue] = []
    for part in (parts.high, parts.low):
        bits = signed_bits(part)
        acc = qnn.AccAttr.proved(
            accumulator(columns, width, bits), max(1, _bound(program, name, op.weight, part))
        )
        product = qnn.MatmulOp(part, op.weight, acc)
        made.append(product)
        sums.append(product.result)
    shifted = qnn.ShlOp(sums[0], 8)
    joined = qnn.AddOp(shifted.result, sums[1])
    kept = qnn.SaturateOp(joined.result, int_width(op.result)[0])
    made += [shifted, joined, kept]
    for new in made:
        if "layer" in op.attributes:
            new.attributes["layer"] = op.attributes["layer"]
        Rewriter.insert_op(new, InsertPoint.before(op))
    op.result.replace_all_uses_with(kept.result)
    Rewriter.erase_op(op)


def _requantize(op: qnn.RequantizeOp) -> None:
    room = min(MULTIPLIER_BITS, LANE_BITS - signed_bits(op.input))
    if room < 1:
        raise IllegalAssignment(
            f"a sum of {signed_bits(op.input)} bits cannot be rescaled in {LANE_BITS} bits",
            hint="8 bits for the weights or the input of this layer make it smaller",
        )
    scales = [narrow_multiplier(m, s, room) for m, s in op.scales()]
    op.attributes["multipliers"] = DenseArrayBase.from_list(i64, [m for m, _ in scales])
    op.attributes["shifts"] = DenseArrayBase.from_list(i64, [s for _, s in scales])


def _bound(program: Program, name: str, weight: SSAValue, x: SSAValue) -> int:
    """max over rows of sum|w|, times max|x|; by the types alone where there are no data."""
    low, high = int_range(int_width(x)[0], signed=int_width(x)[1])
    largest = shape_of(weight)[1] << (int_width(weight)[0] - 1)
    if name in program.parameters:
        data = np.abs(program.parameters[name].astype(np.int64))
        largest = int(data.sum(axis=1).max()) if data.size else 0
    return largest * max(-low, high)
