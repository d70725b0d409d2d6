"""Recurrences whose output has fewer channels than units (LSTM with a projection).

In a time step of Bit Fusion every value has one element a unit. A state with fewer channels gets
zeros behind them: rows of zeros in the projection, columns of zeros in the recurrent weights.
Sums and results stay what they were; the products are charged at their padded size.
"""

from __future__ import annotations

import numpy as np
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from mohaq.backends.bitfusion.weights import parameter_of
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.dialects.types import int_tensor, int_width, shape_of
from mohaq.compiler.parameters import tensor_type
from mohaq.compiler.program import Program

ZERO_SHIFT = 62
"""(x + 2^61) >> 62 is 0 for every value of 16 bits."""


def pad_projections(program: Program) -> None:
    """Widen the narrow states of a program's recurrences, in place."""
    for scan in [op for op in program.entry.body.walk() if isinstance(op, qnn.ScanOp)]:
        inside = [op for op in scan.body.block.ops if isinstance(op, qnn.MatmulOp)]
        sizes = {shape_of(a)[-1] for a in scan.body.block.args}
        if inside and len(sizes) == 2:
            if shape_of(inside[0].input)[-1] != min(sizes):
                raise MohaqError("a projection to more channels than units cannot be padded")
            _Padding(program, scan, max(sizes), min(sizes)).run()


class _Padding:
    def __init__(self, program: Program, scan: qnn.ScanOp, wide: int, narrow: int) -> None:
        self.program, self.scan = program, scan
        self.wide, self.narrow = wide, narrow
        self.values: dict[SSAValue, SSAValue] = {}
        args = scan.body.block.args
        self.block = Block(arg_types=[self._widened(a) for a in args])
        self.values.update(zip(args, self.block.args, strict=True))

    def _widened(self, value: SSAValue) -> Attribute:
        shape = shape_of(value)
        width, signed = int_width(value)
        size = self.wide if shape[-1] == self.narrow else shape[-1]
        return int_tensor([*shape[:-1], size], width, signed=signed)

    def run(self) -> None:
        """Replace the scan by a wider one, and its results by their first channels."""
        scan = self.scan
        for op in scan.body.block.ops:
            if isinstance(op, qnn.YieldOp):
                self.block.add_op(qnn.YieldOp([self.values[v] for v in op.values]))
            else:
                self._again(op)
        init = [self._padded(v) for v in scan.init]
        types = [self._widened(r) for r in scan.outs]
        made = qnn.ScanOp(list(scan.inputs), init, self.block, types, scan.direction.data)
        made.attributes.update(scan.attributes)
        Rewriter.insert_op(made, InsertPoint.before(scan))
        for old, new in zip(scan.outs, made.outs, strict=True):
            result: SSAValue = new
            if shape_of(old)[-1] == self.narrow:
                cut = qnn.SliceOp(new, 0, self.narrow)
                cut.attributes.update(self._mark())
                Rewriter.insert_op(cut, InsertPoint.before(scan))
                result = cut.result
            old.replace_all_uses_with(result)
        Rewriter.erase_op(scan)

    def _mark(self) -> dict[str, Attribute]:
        found = self.scan.attributes.get("layer")
        return {} if found is None else {"layer": found}

    def _padded(self, value: SSAValue) -> SSAValue:
        """An initial state with zeros behind its channels."""
        if shape_of(value)[-1] != self.narrow:
            return value
        width, _ = int_width(value)
        parts: list[SSAValue] = [value]
        missing = self.wide - self.narrow
        while missing:
            size = min(missing, self.narrow)
            cut = qnn.SliceOp(value, 0, size)
            none = qnn.RequantizeOp(cut.result, [1], [ZERO_SHIFT], width)
            for op in (cut, none):
                op.attributes.update(self._mark())
                Rewriter.insert_op(op, InsertPoint.before(self.scan))
            parts.append(none.result)
            missing -= size
        joined = qnn.ConcatOp(parts)
        joined.attributes.update(self._mark())
        Rewriter.insert_op(joined, InsertPoint.before(self.scan))
        return joined.result

    def _again(self, op: Operation) -> None:
        """The operation on widened values, in the new body."""
        given = [self.values.get(v, v) for v in op.operands]
        made: Operation
        match op:
            case LoadOp():
                return  # products load what they need; vectors belong to all units
            case qnn.MatmulOp():
                made = qnn.MatmulOp(given[0], self._weights(op), op.acc)
            case qnn.RequantizeOp():
                ms, ss = [m for m, _ in op.scales()], [s for _, s in op.scales()]
                if len(ms) > 1 and shape_of(op.input)[-1] == self.narrow:
                    raise MohaqError("a projection with several scales cannot be padded")
                made = qnn.RequantizeOp(given[0], ms, ss, int_width(op.result)[0])
            case qnn.BiasOp():
                shifts = op.acc_shift.value.data, op.bias_shift.value.data
                made = qnn.BiasOp(given[0], self._load(op.bias), *shifts)
            case qnn.AddOp() | qnn.MulOp():
                made = type(op)(*(self._load(v) for v in op.operands))
            case qnn.ShlOp():
                made = qnn.ShlOp(given[0], op.amount.value.data)
            case qnn.RsubOp():
                made = qnn.RsubOp(given[0], op.constant.value.data)
            case qnn.SaturateOp():
                made = qnn.SaturateOp(given[0], int_width(op.result)[0])
            case qnn.LookupOp():
                made = qnn.LookupOp(given[0], op.table.root_reference.data)
            case qnn.SliceOp():
                made = qnn.SliceOp(given[0], op.offset.value.data, op.size.value.data)
            case _:
                raise MohaqError(f"Bit Fusion cannot run '{op.name}' inside a recurrence")
        made.attributes.update({k: v for k, v in op.attributes.items() if k == "layer"})
        self.block.add_op(made)
        self.values.update(zip(op.results, made.results, strict=True))

    def _load(self, value: SSAValue) -> SSAValue:
        if value in self.values:
            return self.values[value]
        if not isinstance(value.owner, LoadOp) or value.owner.parent is not self.scan.body.block:
            return value
        op = LoadOp(value.owner.symbol, value.owner.result.type)
        self.block.add_op(op)
        return op.result

    def _weights(self, op: qnn.MatmulOp) -> SSAValue:
        """Weights with zero columns for a narrow operand, zero rows for a narrow result."""
        rows, columns = shape_of(op.weight)
        size = (
            self.wide if rows == self.narrow else rows,
            self.wide if columns == self.narrow else columns,
        )
        symbol = parameter_of(op.weight)
        data = self.program.parameters[symbol]
        name = f"{symbol}.padded"
        held = np.zeros(size, dtype=data.dtype)
        held[:rows, :columns] = data
        kind = tensor_type(held, int_width(op.weight)[0])
        if name not in self.program.parameters:
            self.program.parameters[name] = held
            block = self.program.module.body.block
            first = next(o for o in block.ops if isinstance(o, FuncOp))
            block.insert_op_before(DeclareOp(name, kind), first)
        load = LoadOp(name, kind)
        self.block.add_op(load)
        return load.result
