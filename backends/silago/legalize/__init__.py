"""`legalize-for-silago`: the fabric's arithmetic, still in `qnn` (docs/targets/silago.md).

Every operation of a legalized program is one pass of the datapath, a product, or a view. What
it becomes depends on the form of the program and the target's numerics, never on the amounts
of shifts: the cost model relies on it.
"""

from __future__ import annotations

import numpy as np
from xdsl.dialects.builtin import TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue

from mohaq.backends.base import Target
from mohaq.backends.silago.legalize.cells import (
    CellRules,
    read_rectified,
    rectified_value,
    unexpected,
)
from mohaq.backends.silago.legalize.maker import Held, Maker, Names
from mohaq.backends.silago.legalize.numerics import KNOWN, Numerics
from mohaq.backends.silago.legalize.products import legal_product, product_chain, reader
from mohaq.backends.silago.machine import fabric_of
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import element_of, int_width, shape_of
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.program import ENTRY, Program

ABSORBED = (qnn.AddOp, qnn.MulOp, qnn.RsubOp, qnn.ShlOp, qnn.MatmulOp, qnn.BiasOp, qnn.SaturateOp)
"""Operations that are read as parts of the operation that rounds or saturates after them."""


def legalize(program: Program, numerics: Numerics) -> Program:
    """A legalized copy.

    Raises:
        IllegalAssignment: widths, scales or functions that the datapath does not have.
        MohaqError: an operation that no supported layer is lowered to.
    """
    work = _Legalizer(program, numerics)
    return work.run()


def legalize_for(program: Program, target: Target) -> Program:
    """A copy legalized for the numerics of a target.

    Raises:
        MohaqError: as `legalize`; numerics that compute no values.
    """
    fabric = fabric_of(target)
    if fabric.numerics not in KNOWN:
        raise MohaqError(
            f"'{target.name}' has {fabric.numerics} numerics: it gives costs, no values",
            hint="choose faithful or wide_acc",
        )
    return legalize(program, KNOWN[fabric.numerics])


class _Legalizer:
    def __init__(self, program: Program, numerics: Numerics) -> None:
        self.program = program
        self.names = Names(ParameterStore())
        self.numerics = numerics

    def run(self) -> Program:
        """See `legalize`."""
        entry = self.program.entry
        block = Block(arg_types=[a.type for a in entry.args])
        make = Maker(self.numerics, self.names, block)
        held: dict[SSAValue, Held] = {}
        for old, new in zip(entry.args, block.args, strict=True):
            new.name_hint = old.name_hint
            held[old] = Held(new)
        results = self._block(entry.body.block, make, held)
        block.add_op(ReturnOp(*results))
        function = FuncOp(
            ENTRY,
            ([a.type for a in block.args], [r.type for r in results]),
            Region(block),
            arg_attrs=entry.arg_attrs,
            res_attrs=entry.res_attrs,
        )
        return Program(self.names.module(function), self.names.store)

    def _rules(self, make: Maker, held: dict[SSAValue, Held]) -> CellRules:
        def load(op: LoadOp) -> Held:
            width, _ = int_width(op.result)
            numbers = self.program.parameters[op.symbol].astype(np.int64)
            return Held(make.parameter(op.symbol, numbers, width))

        return CellRules(make, held, self.program.parameters, load)

    def _block(self, block: Block, make: Maker, held: dict[SSAValue, Held]) -> list[SSAValue]:
        """Rewrite a block; gives the legalized operands of its terminator."""
        rules = self._rules(make, held)
        for op in block.ops:
            make.mark = op.attributes.get("layer", make.mark)
            if isinstance(op, (ReturnOp, qnn.YieldOp)):
                return [rules.plain(v) for v in op.operands]
            self._operation(op, rules)
        raise MohaqError("a block ends without a terminator")

    def _operation(self, op: Operation, rules: CellRules) -> None:
        held, make = rules.held, rules.make
        match op:
            case LoadOp():
                pass  # loaded where it is read, maybe rescaled
            case qnn.RequantizeOp():
                chain = product_chain(op)
                if chain is not None:
                    x = rules.plain(chain.input)
                    held[op.result] = legal_product(op, chain, x, make, self.program.parameters)
                elif _rounds_into_a_sum(op) or _feeds_a_function(op) or read_rectified(op.result):
                    return
                else:
                    held[op.result] = self._once(op, rules)
            case qnn.LookupOp():
                held[op.result] = rules.lookup(op)
            case qnn.SliceOp():
                source, first, size = (
                    rules.value(op.input),
                    op.offset.value.data,
                    op.size.value.data,
                )
                later = None if source.later is None else source.later.part(first, size)
                made = make.add(qnn.SliceOp(source.value, first, size))
                held[op.result] = Held(made, source.exponent, later)
            case qnn.ConcatOp():
                held[op.result] = Held(make.add(qnn.ConcatOp([rules.plain(p) for p in op.parts])))
            case qnn.SelectOp():
                made = make.add(qnn.SelectOp(rules.plain(op.input), op.index.value.data))
                held[op.result] = Held(made)
            case qnn.StackOp():
                held[op.result] = Held(make.add(qnn.StackOp([rules.plain(p) for p in op.parts])))
            case qnn.ScanOp():
                self._scan(op, rules)
            case qnn.SaturateOp() if read_rectified(op.result):
                pass
            case qnn.SaturateOp() if rectified_value(op) is not None:
                held[op.result] = rules.rectified(op)
            case qnn.SaturateOp() if not _feeds_a_function(op):
                raise unexpected(op)
            case _ if isinstance(op, ABSORBED):
                pass
            case _:
                raise unexpected(op)

    def _once(self, op: qnn.RequantizeOp, rules: CellRules) -> Held:
        """A rescaled value; where loops alone carry it, one that was rescaled alike before.

        A QRNN whose last input is a result of the program reads its input twice.
        """
        carried = all(isinstance(use.operation, qnn.ScanOp) for use in op.result.uses)
        for use in op.input.uses if carried else ():
            other = use.operation
            if (
                isinstance(other, qnn.RequantizeOp)
                and other.parent is op.parent
                and other.result in rules.held
                and other.scales() == op.scales()
                and other.result.type == op.result.type
            ):
                return rules.held[other.result]
        return rules.requantize(op)

    def _scan(self, op: qnn.ScanOp, rules: CellRules) -> None:
        make, body = rules.make, op.body.block
        block = Block(arg_types=[a.type for a in body.args])
        held = dict(rules.held)
        held.update({o: Held(n) for o, n in zip(body.args, block.args, strict=True)})
        inner = Maker(make.numerics, make.names, block, make.mark, make)
        for value, old in zip(op.inputs, body.args, strict=False):
            later = rules.value(value).later
            # By what reads it, not by its numbers: phases have one form for a kind of layer.
            summed = later is not None and reader(old, 0, len(later.values)) != "product"
            if later is not None and (summed or later.values.any()):
                held[old] = inner.biased(Held(held[old].value, later=later))
        yielded = self._block(body, inner, held)
        block.add_op(qnn.YieldOp(yielded))
        lead = list(shape_of(op.inputs[0])[:2])
        kinds = [
            TensorType(
                element_of(v),
                [*lead, *shape_of(v)[1:]] if n < op.output_count else list(shape_of(v)),
            )
            for n, v in enumerate(yielded)
        ]
        made = qnn.ScanOp(
            [rules.value(v).value for v in op.inputs],
            [rules.plain(v) for v in op.init],
            block,
            kinds,
            op.direction.data,
        )
        make.add(made)
        rules.held.update({o: Held(n) for o, n in zip(op.results, made.results, strict=True)})


def _rounds_into_a_sum(op: qnn.RequantizeOp) -> bool:
    """An aligned product, which the rounding behind the sum absorbs; or sums beside a bias."""
    users = {type(u.operation) for u in op.result.uses}
    if isinstance(op.input.owner, qnn.MatmulOp):
        return users == {qnn.BiasOp}
    inside = isinstance(op.input.owner, qnn.MulOp)
    return inside and bool(users) and users <= {qnn.AddOp, qnn.RequantizeOp} and _wide(op)


def _wide(op: qnn.RequantizeOp) -> bool:
    """Whether the result is no held value: it goes into a sum that is rounded again."""
    if int_width(op.result)[0] != 16:
        return True
    return all(
        isinstance(u.operation, qnn.AddOp)
        and any(isinstance(o.owner, qnn.MulOp) for o in u.operation.operands)
        for u in op.result.uses
    )


def _feeds_a_function(op: qnn.RequantizeOp | qnn.SaturateOp) -> bool:
    """Whether functions alone read the result, so that it is formed with their argument."""
    users = [u.operation for u in op.result.uses]
    return bool(users) and all(isinstance(u, qnn.LookupOp) for u in users)


__all__ = ["KNOWN", "Numerics", "legalize", "legalize_for"]
