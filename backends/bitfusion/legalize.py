"""`legalize-for-bitfusion`: the target's arithmetic, still in `qnn` (docs/targets/bitfusion.md).

Local to each operation: what a layer becomes depends on that layer alone.

0. A state with fewer channels than units gets zeros behind them; a product inside a recurrence
   whose rows are cut into gates becomes one product a gate.
1. 16-bit operands of products are split: x = 256 high + low with a signed high and an unsigned
   low byte. Each pass multiplies operands of at most 8 bits into 32-bit accumulators; the
   passes are joined exactly with shifts and adds.
2. A sum that may leave 32 bits is cut along K until every piece is proved to fit.
3. Multipliers get 15 bits, or 63 less the bits of the sum if that is fewer:
   m' = (m + 2^(d-1)) >> d with d = bits(m) - 15, s' = s - d.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import DenseArrayBase, StringAttr, i64
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.utils.exceptions import VerifyException

from mohaq.backends.base import IllegalAssignment
from mohaq.backends.bitfusion.gates import cut_gates
from mohaq.backends.bitfusion.projection import pad_projections
from mohaq.backends.bitfusion.weights import parameter_of
from mohaq.backends.multipliers import narrow_multiplier
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.dialects.qnn.elementwise import signed_bits
from mohaq.compiler.dialects.qnn.table import TABLE_SIZE, TableOp
from mohaq.compiler.dialects.types import int_range, int_width
from mohaq.compiler.parameters import storage_dtype, tensor_type
from mohaq.compiler.program import Program

ACCUMULATOR = 32
LIMIT = (1 << (ACCUMULATOR - 1)) - 1
"""Largest sum that an accumulator holds."""

MULTIPLIER_BITS = 15
LANE_BITS = 63
"""Widest product of the post-processing unit, without its sign."""

OPERANDS = (2, 4, 8, 16)
Array = npt.NDArray[np.int64]


def legalize(program: Program) -> Program:
    """A legalized copy.

    Raises:
        IllegalAssignment: a sum or product does not fit the target.
        MohaqError: operand widths that the target does not have.
    """
    made = program.clone()
    pad_projections(made)
    cut_gates(made)
    work = _Legalizer(made)
    for op in list(made.entry.body.walk()):
        if isinstance(op, qnn.MatmulOp):
            work.product(op)
    for op in list(made.entry.body.walk()):
        if isinstance(op, qnn.RequantizeOp):
            _requantize(op)
    for op in made.module.body.block.ops:
        if isinstance(op, TableOp) and len(op.values()) != TABLE_SIZE:
            raise IllegalAssignment(
                f"Bit Fusion interpolates tables of {TABLE_SIZE} points, not of {len(op.values())}",
                where=f"table '{op.sym_name.data}'",
                hint="leave approximate-nonlinear out: its lookups cost the same there",
            )
    made.prune_parameters()
    return made


def _requantize(op: qnn.RequantizeOp) -> None:
    """Narrow the multipliers: 15 bits, fewer beside sums of more than 48 bits."""
    room = min(MULTIPLIER_BITS, LANE_BITS - signed_bits(op.input))
    if room < 1:
        name, bound = _product_behind(op.input)
        raise IllegalAssignment(
            f"a sum of {signed_bits(op.input)} bits cannot be rescaled in {LANE_BITS} bits",
            where=f"the product with '{name}'",
            why=f"|sum| can reach {bound} before its bias is aligned",
            hint="8 bits for the weights or the input of this layer make it smaller",
        )
    scales = [narrow_multiplier(m, s, room) for m, s in op.scales()]
    op.attributes["multipliers"] = DenseArrayBase.from_list(i64, [m for m, _ in scales])
    op.attributes["shifts"] = DenseArrayBase.from_list(i64, [s for _, s in scales])


def _product_behind(value: SSAValue) -> tuple[str, int]:
    """Weights and bound of the product that a sum comes from."""
    owner = value.owner
    while isinstance(owner, (qnn.BiasOp, qnn.ShlOp, qnn.AddOp)):
        owner = owner.operands[0].owner
    if isinstance(owner, qnn.MatmulOp) and isinstance(owner.weight.owner, LoadOp):
        return owner.weight.owner.symbol, owner.acc.bound.data
    return "?", 0


class _Legalizer:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.module_block = program.module.body.block

    def product(self, op: qnn.MatmulOp) -> None:
        """Rewrite one product.

        Raises:
            IllegalAssignment, MohaqError: as `legalize`.
        """
        name = parameter_of(op.weight)
        for title, value in (("input", op.input), ("weight", op.weight)):
            width, signed = int_width(value)
            if width not in OPERANDS or (width == 16 and not signed):
                raise MohaqError(
                    f"the array multiplies operands of 2, 4, 8 or 16 bits, not {value.type}",
                    where=f"{title} of the product with '{name}'",
                )
        weights = self.program.parameters[name].astype(np.int64)
        bound = _bound(weights, op.input)
        if bound > op.acc.bound.data:
            raise MohaqError(
                f"a sum can reach {bound}, the program says {op.acc.bound.data}",
                where=f"the product with '{name}'",
            )
        wide = 16 in {int_width(op.input)[0], int_width(op.weight)[0]}
        if not wide and op.acc.bound.data <= LIMIT:
            op.attributes["acc"] = qnn.AccAttr.proved(ACCUMULATOR, op.acc.bound.data)
            return
        self._split(op, name, weights)

    def _split(self, op: qnn.MatmulOp, name: str, weights: Array) -> None:
        build = _Inserter(op)
        acts = [(op.input, 0)]
        if int_width(op.input)[0] == 16:
            cut = build.put(qnn.SplitOp(op.input))
            acts = [(cut.results[0], 8), (cut.results[1], 0)]
        pieces = [("", weights, int_width(op.weight)[0], int_width(op.weight)[1], 0)]
        if pieces[0][2] == 16:
            pieces = [(".hi", weights >> 8, 8, True, 8), (".lo", weights & 255, 8, False, 0)]
        total: SSAValue | None = None
        for act, act_shift in acts:
            for suffix, data, width, signed, weight_shift in pieces:
                part = self._sum(build, act, name + suffix, data, width, signed=signed)
                shift = act_shift + weight_shift
                if shift:
                    part = build.put(qnn.ShlOp(part, shift)).results[0]
                total = part if total is None else build.put(qnn.AddOp(total, part)).results[0]
        assert total is not None
        _replace(op, total)

    def _sum(
        self, build: _Inserter, act: SSAValue, name: str, data: Array, width: int, *, signed: bool
    ) -> SSAValue:
        """x W^T for operands of at most 8 bits, cut along K until each piece is proved."""
        features = data.shape[1]
        count = 1
        while True:
            edges = [features * i // count for i in range(count + 1)]
            runs = list(pairwise(edges))
            bounds = [_bound(data[:, a:b], act) for a, b in runs]
            if max(bounds) <= LIMIT:
                break
            count *= 2
        total: SSAValue | None = None
        for number, ((a, b), bound) in enumerate(zip(runs, bounds, strict=True)):
            x = act if count == 1 else build.put(qnn.SliceOp(act, a, b - a)).results[0]
            label = name if count == 1 else f"{name}.k{number}"
            w = self._parameter(build, label, data[:, a:b], width, signed=signed)
            acc = qnn.AccAttr.proved(ACCUMULATOR, max(1, bound))
            part = build.put(qnn.MatmulOp(x, w, acc)).results[0]
            total = part if total is None else build.put(qnn.AddOp(total, part)).results[0]
        assert total is not None
        return total

    def _parameter(
        self, build: _Inserter, name: str, data: Array, width: int, *, signed: bool
    ) -> SSAValue:
        array = data.astype(storage_dtype(width, signed=signed))
        kind = tensor_type(array, width)
        if name not in self.program.parameters:
            self.program.parameters[name] = array
            declare = DeclareOp(name, kind)
            first = next(o for o in self.module_block.ops if isinstance(o, FuncOp))
            self.module_block.insert_op_before(declare, first)
        elif not np.array_equal(self.program.parameters[name], array):
            raise MohaqError(f"two products cut the weights '{name}' in different ways")
        return build.put(LoadOp(name, kind)).results[0]


class _Inserter:
    """Puts operations before one op, carrying its discardable `layer` mark."""

    def __init__(self, op: Operation) -> None:
        self.op = op
        self.mark = op.attributes.get("layer")

    def put(self, new: Operation) -> Operation:
        block = self.op.parent
        assert isinstance(block, Block)
        if isinstance(self.mark, StringAttr) and not isinstance(new, LoadOp):
            new.attributes["layer"] = self.mark
        block.insert_op_before(new, self.op)
        return new


def _bound(weights: Array, x: SSAValue) -> int:
    """max over rows of sum|w|, times max|x|."""
    low, high = int_range(int_width(x)[0], signed=int_width(x)[1])
    largest = int(np.abs(weights).sum(axis=1).max()) if weights.size else 0
    return largest * max(-low, high)


def _replace(op: Operation, new: SSAValue) -> None:
    """Replace the only result of an op by a value whose type may be wider.

    Exact operations after it are widened; anything else gets the proved type by a saturation
    that never clamps.

    Raises:
        IllegalAssignment: the exact values need more than 63 bits.
    """
    old = op.results[0]
    wider = signed_bits(new) > signed_bits(old)
    for use in list(old.uses):
        user = use.operation
        value = new
        if wider and isinstance(user, qnn.BiasOp):
            try:
                wide = qnn.BiasOp(
                    new, user.bias, user.acc_shift.value.data, user.bias_shift.value.data
                )
                wide.verify()
            except VerifyException as error:
                raise IllegalAssignment(
                    "a biased sum does not fit 64 bits", why=str(error)
                ) from None
            wide.attributes.update(
                {k: v for k, v in user.attributes.items() if k not in wide.attributes}
            )
            block = user.parent
            assert block is not None
            block.insert_op_before(wide, user)
            _replace(user, wide.result)
            continue
        if wider and not isinstance(user, qnn.RequantizeOp):
            cut = qnn.SaturateOp(new, signed_bits(old))
            Rewriter.insert_op(cut, InsertPoint.before(user))
            value = cut.result
        user.operands[use.index] = value
    Rewriter.erase_op(op)
