"""Products inside recurrences, one for each gate.

The neutral program multiplies h' with the rows of all gates at once and cuts the rounded sums
into channels. In a time step of Bit Fusion every value has one element a unit, so the cut moves
in front of the product: rows of weights and biases, and the scales that belong to them.
"""

from __future__ import annotations

import numpy as np
from xdsl.dialects.builtin import StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.rewriter import Rewriter

from mohaq.backends.bitfusion.lowering.microcode import scales_of
from mohaq.backends.bitfusion.weights import parameter_of
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.dialects.qnn.matmul import NEUTRAL_ACCUMULATOR
from mohaq.compiler.dialects.types import int_range, int_width
from mohaq.compiler.parameters import tensor_type
from mohaq.compiler.program import Program

CHAIN = (
    qnn.BiasOp,
    qnn.RequantizeOp,
    qnn.SaturateOp,
    qnn.ShlOp,
    qnn.RsubOp,
)
"""What may stand between a product and the slices of its rows."""


def cut_gates(program: Program) -> None:
    """Cut the recurrent products of a program, in place.

    Raises:
        MohaqError: the weights are no parameter, or channels are cut where scales are not.
    """
    for scan in [op for op in program.entry.body.walk() if isinstance(op, qnn.ScanOp)]:
        for op in list(scan.body.block.ops):
            if isinstance(op, qnn.MatmulOp):
                _Cut(program, op).run()


class _Cut:
    def __init__(self, program: Program, product: qnn.MatmulOp) -> None:
        self.program = program
        self.product = product
        self.chain: list[Operation] = []
        self.slices: list[qnn.SliceOp] = []

    def run(self) -> None:
        """Replace every slice by a product of its own rows; nothing to do without slices."""
        value: SSAValue = self.product.result
        while True:
            users = [use.operation for use in value.uses]
            if users and all(isinstance(u, qnn.SliceOp) for u in users):
                cuts = [u for u in users if isinstance(u, qnn.SliceOp)]
                self.slices = sorted(cuts, key=lambda cut: cut.offset.value.data)
                break
            if len(users) != 1 or not isinstance(users[0], CHAIN):
                return
            self.chain.append(users[0])
            value = users[0].results[0]
        made: dict[tuple[int, int], SSAValue] = {}
        for cut in self.slices:
            start, size = cut.offset.value.data, cut.size.value.data
            if (start, size) not in made:
                made[start, size] = self._rows(start, size)
            cut.result.replace_all_uses_with(made[start, size])
            Rewriter.erase_op(cut)
        for op in (*reversed(self.chain), self.product):
            loads = [v.owner for v in op.operands if isinstance(v.owner, LoadOp)]
            Rewriter.erase_op(op)
            for load in loads:
                if not list(load.result.uses):
                    Rewriter.erase_op(load)

    def _put(self, op: Operation) -> SSAValue:
        block = self.product.parent
        assert isinstance(block, Block)
        mark = self.product.attributes.get("layer")
        if isinstance(mark, StringAttr) and not isinstance(op, LoadOp):
            op.attributes["layer"] = mark
        # Behind the operations that a gate's slices stood for: gates stay in their order.
        block.insert_op_before(op, self.product)
        return op.results[0]

    def _rows(self, start: int, size: int) -> SSAValue:
        weight = self._parameter(self.product.weight, start, size)
        data = self.program.parameters[parameter_of(weight)].astype(np.int64)
        width, signed = int_width(self.product.input)
        low, high = int_range(width, signed=signed)
        bound = int(np.abs(data).sum(axis=1).max()) * max(-low, high)
        acc = qnn.AccAttr.proved(NEUTRAL_ACCUMULATOR, max(1, bound))
        value = self._put(qnn.MatmulOp(self.product.input, weight, acc))
        for op in self.chain:
            value = self._put(self._again(op, value, start, size))
        return value

    def _again(self, op: Operation, value: SSAValue, start: int, size: int) -> Operation:
        """An operation of the chain on the rows of one gate."""
        match op:
            case qnn.BiasOp():
                bias = self._parameter(op.bias, start, size)
                return qnn.BiasOp(value, bias, op.acc_shift.value.data, op.bias_shift.value.data)
            case qnn.RequantizeOp():
                scales = scales_of(op, start, size)
                width, _ = int_width(op.result)
                ms, ss = [m for m, _ in scales], [s for _, s in scales]
                return qnn.RequantizeOp(value, ms, ss, width)
            case qnn.SaturateOp():
                return qnn.SaturateOp(value, int_width(op.result)[0])
            case qnn.ShlOp():
                return qnn.ShlOp(value, op.amount.value.data)
            case qnn.RsubOp():
                return qnn.RsubOp(value, op.constant.value.data)
        raise MohaqError(f"'{op.name}' cannot be cut into gates")

    def _parameter(self, value: SSAValue, start: int, size: int) -> SSAValue:
        data = self.program.parameters[parameter_of(value)][start : start + size]
        name = f"{parameter_of(value)}.g{start // size}"
        width, _ = int_width(value)
        kind = tensor_type(data, width)
        if name not in self.program.parameters:
            self.program.parameters[name] = data
            block = self.program.module.body.block
            first = next(o for o in block.ops if isinstance(o, FuncOp))
            block.insert_op_before(DeclareOp(name, kind), first)
        elif not np.array_equal(self.program.parameters[name], data):
            raise MohaqError(f"two products cut the rows of '{name}' in different ways")
        return self._put(LoadOp(name, kind))
