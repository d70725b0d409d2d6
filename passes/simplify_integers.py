"""`simplify-integers`: what only the weights and the ranges show to be superfluous."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass

from mohaq.compiler.analysis.ranges import find_ranges
from mohaq.compiler.context import store
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.qnn.elementwise import signed_bits
from mohaq.compiler.dialects.types import int_range, int_width, shape_of
from mohaq.compiler.program import Program

EXACT = (qnn.AddOp, qnn.MulOp, qnn.ShlOp, qnn.RsubOp, qnn.BiasOp)
"""Operations that take a narrower operand as it is: their result types stay wide enough."""

PRODUCT_BITS = 63
"""Widest product of a value and a multiplier."""


def simplify_integers(program: Program) -> int:
    """Rewrite an integer program in place, bits unchanged; gives the operations removed.

    Biases and sums with parameters of zeros go, or become shifts; clamps that no value reaches
    go; so do parameters and tables that nothing uses.

    Raises:
        MohaqError: not an integer program, a parameter without data.
    """
    before = sum(1 for _ in program.module.walk())
    for op in list(program.entry.body.walk()):
        if isinstance(op, (qnn.BiasOp, qnn.AddOp)):
            _drop_zero(program, op)
    ranges = find_ranges(program)
    for op in list(program.entry.body.walk()):
        if isinstance(op, qnn.SaturateOp):
            low, high = ranges[op.input].bounds
            least, most = int_range(int_width(op.result)[0], signed=int_width(op.result)[1])
            if least <= low and high <= most and _all_take(op.result, op.input):
                _replace(op, op.input)
    _drop_unused(program)
    return before - sum(1 for _ in program.module.walk())


def _drop_zero(program: Program, op: qnn.BiasOp | qnn.AddOp) -> None:
    """x + 0 is x, where every reader takes its type; x * 2^k + 0 is a shift."""
    for kept, zero in ((op.operands[0], op.operands[1]), (op.operands[1], op.operands[0])):
        load = zero.owner
        if not isinstance(load, LoadOp) or program.parameters[load.symbol].any():
            continue
        if shape_of(kept) != shape_of(op.result):
            continue
        shift = 0
        if isinstance(op, qnn.BiasOp):
            shift = (op.acc_shift if kept is op.acc else op.bias_shift).value.data
        if shift:
            made = qnn.ShlOp(kept, shift, int_width(op.result)[0])
            _insert(made, op)
            _replace(op, made.result)
        elif _all_take(op.result, kept):
            _replace(op, kept)
        return


def _all_take(old: SSAValue, new: SSAValue) -> bool:
    """Whether every reader of `old` can read `new`, which may be narrower or wider."""
    narrower = signed_bits(new) <= signed_bits(old)
    for use in old.uses:
        user = use.operation
        if isinstance(user, qnn.SaturateOp) or (narrower and isinstance(user, EXACT)):
            continue
        if not isinstance(user, qnn.RequantizeOp):
            return old.type == new.type
        widest = max(m.bit_length() for m, _ in user.scales())
        if signed_bits(new) + widest > PRODUCT_BITS:
            return False
    return True


def _insert(made: Operation, before: Operation) -> None:
    block = before.parent
    assert isinstance(block, Block)
    made.attributes.update({k: v for k, v in before.attributes.items() if k == "layer"})
    block.insert_op_before(made, before)


def _replace(op: Operation, value: SSAValue) -> None:
    op.results[0].replace_all_uses_with(value)
    assert op.parent is not None
    op.parent.erase_op(op)


def _drop_unused(program: Program) -> None:
    for op in reversed(list(program.entry.body.walk())):
        if isinstance(op, LoadOp) and not list(op.result.uses):
            assert op.parent is not None
            op.parent.erase_op(op)
    used = {
        op.table.root_reference.data for op in program.entry.walk() if isinstance(op, qnn.LookupOp)
    }
    top = program.module.body.block
    for op in list(top.ops):
        if isinstance(op, (qnn.TableOp, qnn.PiecewiseOp)) and op.sym_name.data not in used:
            top.erase_op(op)
    program.prune_parameters()


@dataclass(frozen=True)
class SimplifyIntegersPass(ModulePass):
    """Remove from an integer program what its weights and ranges show to be superfluous.

    Biases of zeros, clamps that no value reaches, unused parameters and tables. No bit changes.
    `canonicalize` and `cse` do what shows without the weights.
    """

    name: ClassVar[str] = "simplify-integers"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Change the module and the context's parameters.

        Raises:
            MohaqError: as `simplify_integers`.
        """
        simplify_integers(Program(op, store(ctx)))
