"""Matrix products with their bias and rescale.

Neutral: clamp(round(((acc << i) + (b << j)) * 2^e)), e for each run of rows.
Legalized: the sum leaves the accumulator shifted and clamped to 16 bits, then a 16-bit bias is
added in the same scale, saturating; a result of fewer bits is formed with all its bits on top
(scaled by 2^(16-b)) and then rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from xdsl.dialects.builtin import DenseArrayBase, i64
from xdsl.ir import SSAValue

from mohaq.backends.base import IllegalAssignment
from mohaq.backends.silago.legalize.maker import (
    BITS,
    Held,
    Ints,
    Later,
    Maker,
    exponents,
    power_of_two,
)
from mohaq.backends.silago.legalize.numerics import ACCUMULATOR, Q411_SHIFT
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import int_width, shape_of
from mohaq.compiler.parameters import ParameterStore

LANE_WIDTHS = (4, 8, 16)

BANDS_KEY = "bands"
"""Attribute of a product's shift: the band of each run of rows."""


@dataclass(frozen=True)
class Chain:
    """A neutral product: operand, weight, bias and the exponent of every row."""

    input: SSAValue
    weight: LoadOp
    bias: LoadOp | None
    bias_exponent: int
    rows: tuple[int, ...]
    """log2(result / exact sum), one for each equal run of rows."""
    bits: int


def product_chain(op: qnn.RequantizeOp) -> Chain | None:
    """The product that a requantize ends, if it ends one.

    Raises:
        MohaqError: the weights or the bias are no parameters.
    """
    value, bias, bias_shift, shift = op.input, None, 0, 0
    if isinstance(value.owner, qnn.BiasOp):
        biased = value.owner
        if not isinstance(biased.bias.owner, LoadOp):
            raise MohaqError("the bias of a product must be a parameter")
        bias, bias_shift = biased.bias.owner, biased.bias_shift.value.data
        shift, value = biased.acc_shift.value.data, biased.acc
    if isinstance(value.owner, qnn.RequantizeOp) and isinstance(
        value.owner.input.owner, qnn.MatmulOp
    ):
        ((m, s),) = value.owner.scales()
        shift += power_of_two(m, s)
        value = value.owner.input
    if not isinstance(value.owner, qnn.MatmulOp):
        return None
    product = value.owner
    if not isinstance(product.weight.owner, LoadOp):
        raise MohaqError("SiLago needs the weights of 'qnn.matmul' to be a parameter")
    found = exponents(op.scales())
    if bias is not None and len(set(found)) > 1 and shape_of(op.result)[-1] % len(found):
        raise MohaqError("runs of channels must have one length")
    return Chain(
        product.input,
        product.weight.owner,
        bias,
        bias_shift,
        tuple(e + shift for e in found),
        int_width(op.result)[0],
    )


def legal_product(
    op: qnn.RequantizeOp, chain: Chain, x: SSAValue, make: Maker, floats: ParameterStore
) -> Held:
    """Emit the legalized product; the bias of gates is left for the loop that reads them.

    Raises:
        IllegalAssignment: widths, shifts or rescaled weights that the target does not have.
    """
    name = chain.weight.symbol
    weights = floats[name].astype(np.int64)
    a_bits, signed = int_width(x)
    w_bits, w_signed = int_width(chain.weight.result)
    if a_bits != w_bits or a_bits not in LANE_WIDTHS or not (signed and w_signed):
        raise IllegalAssignment(
            f"a product of {a_bits}-bit inputs and {w_bits}-bit weights",
            where=f"the product with '{name}'",
            why="operands of a SiLago datapath have one width of 4, 8 or 16 bits",
        )
    top = BITS - chain.bits
    wanted = [e + top for e in chain.rows]
    if make.numerics.wide:
        shifts = [-e for e in wanted]
        if not all(-32 <= s <= 31 for s in shifts):
            raise IllegalAssignment(
                f"a sum would have to be shifted by {max(shifts, key=abs)} bits",
                where=f"the product with '{name}'",
                why="the shift of an instruction has 6 bits with its sign",
            )
        label = name
    else:
        if a_bits != BITS:
            raise IllegalAssignment(
                f"{a_bits}-bit products in faithful numerics",
                where=f"the product with '{name}'",
                why="a packed lane returns its sum without a shift, in as many bits as its operands",
                hint="16 bits, or a target with wide_acc numerics",
            )
        weights = _rescaled(weights, [Q411_SHIFT + e for e in wanted], name)
        shifts, label = [Q411_SHIFT], f"{name}.q411"
    bound = max(1, int(np.abs(weights).sum(axis=1).max()) << (a_bits - 1))
    acc = qnn.AccAttr.saturating(ACCUMULATOR, bound)
    held = make.parameter(label, weights, w_bits)
    shifts = _every_run(op, shifts) if make.numerics.wide else shifts
    shift = qnn.ShrOp(make.add(qnn.MatmulOp(x, held, acc)), shifts, BITS)
    if len(shifts) > 1:
        shift.attributes[BANDS_KEY] = DenseArrayBase.from_list(i64, _bands(op, shifts))
    value = make.add(shift)
    if chain.bias is not None:
        numbers = floats[chain.bias.symbol].astype(np.int64)
        run = len(numbers) // len(op.scales())
        # e of the bias: its own shift, and the rescale without the one of the sum.
        own = np.repeat(exponents(op.scales()), run) + chain.bias_exponent + top
        placed = np.clip(_scaled(numbers, own), -(1 << 15), (1 << 15) - 1)
        later = Later(f"{chain.bias.symbol}.added", placed)
        if not top and _into_loops(op.result):
            return Held(value, later=later)
        value = make.biased(Held(value, later=later)).value
    return Held(make.rounded(value, top, chain.bits) if top else value)


def _into_loops(value: SSAValue) -> bool:
    """Whether loops alone read a value, cut in runs."""
    users = [use.operation for use in value.uses]
    return bool(users) and all(
        isinstance(cut, qnn.SliceOp)
        and all(isinstance(use.operation, qnn.ScanOp) for use in cut.result.uses)
        for cut in users
    )


def _every_run(op: qnn.RequantizeOp, shifts: list[int]) -> list[int]:
    """A shift for each run that is cut out of the result, even where all are equal by chance."""
    sizes = {
        u.operation.size.value.data if isinstance(u.operation, qnn.SliceOp) else 0
        for u in op.result.uses
    }
    rows, size = shape_of(op.result)[-1], min(sizes, default=0)
    count = rows // size if size and rows % size == 0 else 1
    return (
        [shifts[i * len(shifts) // count] for i in range(count)] if count > len(shifts) else shifts
    )


def _bands(op: qnn.RequantizeOp, shifts: list[int]) -> list[int]:
    """A band for each run of rows: runs of one band have one grid, whatever the scales are.

    Found from what reads them, not from their shifts, so that phases have one form for a kind of
    layer: what is added in front of a function is in the gate grid, anything else is not.
    """
    run = shape_of(op.result)[-1] // len(shifts)
    classes = [reader(op.result, n * run, run) for n in range(len(shifts))]
    found: dict[tuple[Reader, int], int] = {}
    return [found.setdefault(key, len(found)) for key in zip(classes, shifts, strict=True)]


Reader = Literal["function", "rectifier", "product"]


def reader(value: SSAValue, first: int, size: int) -> Reader:
    """What a run of channels is for, through slices, loops, sums and shifts.

    function: all of it goes into functions of the NACU, so it is in the gate grid. rectifier: into
    a maximum with 0, in a grid of its own. product: anything else.
    """
    found: set[Reader] = set()
    for use in value.uses:
        user = use.operation
        if isinstance(user, qnn.SliceOp):
            offset = user.offset.value.data
            if offset <= first < offset + user.size.value.data:
                found.add(reader(user.result, first - offset, size))
        elif isinstance(user, qnn.ScanOp):
            found.add(reader(user.body.block.args[use.index], first, size))
        elif isinstance(user, (qnn.AddOp, qnn.ShlOp, qnn.RequantizeOp, qnn.SaturateOp)):
            found.add(reader(user.results[0], first, size))
        elif isinstance(user, qnn.LookupOp):
            found.add("function")
        elif isinstance(user, qnn.RsubOp):
            found.add("rectifier")
        else:
            found.add("product")
    return found.pop() if len(found) == 1 else "product"


def _scaled(values: Ints, exponent: Ints) -> Ints:
    """round(values * 2^exponent), halves up; no exponent is large enough to overflow."""
    left, right = np.clip(exponent, 0, 40), np.clip(-exponent, 0, 62)
    made: Ints = ((values << left) + ((np.int64(1) << right) >> 1)) >> right
    return made


def _rescaled(weights: Ints, exponent: list[int], name: str) -> Ints:
    """Weights times 2^exponent for each run of rows, so that all sums are shifted alike.

    Raises:
        IllegalAssignment: a weight would not fit in 16 bits.
    """
    each = np.repeat(exponent, len(weights) // len(exponent))[:, None]
    if each.max() > 40:
        raise IllegalAssignment("weights are too small", where=f"the product with '{name}'")
    made = _scaled(weights, each)
    worst = int(np.abs(made).max()) if made.size else 0
    if worst >= 1 << 15:
        raise IllegalAssignment(
            f"a weight would have to be {worst} to give its sum in the result's scale",
            where=f"the product with '{name}'",
            why=f"sums in Q4.11 are shifted by {Q411_SHIFT} bits, so scales are not free",
            hint="a wider range of the input or a narrower one of the result",
        )
    return made
