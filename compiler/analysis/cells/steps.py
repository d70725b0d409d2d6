"""Cells written out in straight code, one step long, as models for streaming have them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations

from xdsl.ir import BlockArgument, Operation, SSAValue

from mohaq.compiler.analysis.cells.body import Array, Body
from mohaq.compiler.analysis.cells.match import build, recognize
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.partition import extract
from mohaq.compiler.program import Program

MOVES = (nn.SliceOp, nn.SqueezeOp, nn.UnsqueezeOp, nn.ReshapeOp, nn.TransposeOp)

LARGEST = 64
"""Operations that a step may have; longer straight code is not searched."""


def recognize_steps(program: Program) -> list[str]:
    """Put whole operations in the place of written-out LSTM and GRU steps, in place.

    A step is a product of a gate with a function of the new state (LSTM), or a sum (GRU), that
    is computed from x and the states by linear layers, functions, sums and products on [B, n].
    Each find is proved by numbers. The operation gets one step: [1, B, I].

    Returns:
        Names of the layers that were made.
    """
    made: list[str] = []
    found = True
    while found:
        found = False
        for op in list(program.entry.body.block.ops):
            used = bool(list(op.results[0].uses)) if op.results else False
            if used and isinstance(op, nn.BinaryOp) and op.kind.data in {"mul", "add"}:
                label = _try(program, op)
                if label is not None:
                    made.append(label)
                    found = True
                    break
    return made


def _try(program: Program, end: nn.BinaryOp) -> str | None:
    """Look for a step that ends in an operation; replace it."""
    ops, leaves = _slice(end.result)
    functions = [o for o in ops if isinstance(o, nn.UnaryOp)]
    linear = [o for o in ops if isinstance(o, nn.LinearOp)]
    wanted = 3 if end.kind.data == "mul" else 2
    if len(ops) > LARGEST or len(leaves) != wanted or len(functions) < wanted or not linear:
        return None
    # x and h have the same part in one step; the one that comes in as a state is h.
    for x, *states in permutations(sorted(leaves, key=_is_state)):
        for nexts in _next_states(ops, end, len(states)):
            if any(shape_of(s)[-1] != shape_of(n)[-1] for s, n in zip(states, nexts, strict=True)):
                continue
            body = Body(extract(program, ops, [x, *states], [*nexts, end.result]))
            guess = recognize(body)
            if guess is not None and guess.kind in {"lstm", "gru"}:
                chosen = [states[n] for n in guess.states]
                ends = [nexts[n] for n in guess.states]
                label = _name(program, guess.kind)

                def parameter(name: str, array: Array) -> SSAValue:
                    load = LoadOp(*program.declare(name, array))
                    program.entry.body.block.insert_op_before(load, end)
                    return load.result

                def before(op: Operation) -> SSAValue:
                    program.entry.body.block.insert_op_before(op, end)
                    return op.results[0]

                sequence = before(nn.UnsqueezeOp(x, [0]))
                given = [before(nn.UnsqueezeOp(s, [0])) for s in chosen]
                layer = build(parameter, label, guess, sequence, given)
                before(layer)
                for value, final in zip(ends, layer.results[1:], strict=True):
                    flat = nn.SqueezeOp(final, [0])
                    before(flat)
                    value.replace_all_uses_with(flat.result)
                _drop_unused(ops)
                return label
    return None


def _drop_unused(ops: Sequence[Operation]) -> None:
    """Erase what nothing reads any more."""
    for op in reversed(ops):
        if not any(list(r.uses) for r in op.results):
            block = op.parent
            assert block is not None
            block.erase_op(op)


def _slice(value: SSAValue) -> tuple[list[Operation], list[SSAValue]]:
    """The operations on [B, n] that a value is computed by, and what they read."""
    ops: dict[Operation, None] = {}
    leaves: dict[SSAValue, None] = {}

    def visit(one: SSAValue) -> None:
        op = one.owner
        if isinstance(op, LoadOp) or op in ops:
            return
        if not (isinstance(op, Operation) and _is_inner(op)) or len(ops) > LARGEST:
            leaves[one] = None
            return
        for operand in op.operands:
            visit(operand)
        ops[op] = None

    visit(value)
    return list(ops), list(leaves)


def _is_state(value: SSAValue) -> bool:
    """Whether a value is a later argument of the program, or a part of one, moved at most."""
    while not isinstance(value, BlockArgument):
        op = value.owner
        if not isinstance(op, MOVES):
            return False
        value = op.operands[0]
    return value.index > 0


def _is_inner(op: Operation) -> bool:
    """Whether an operation can be part of a step: on [B, n], channel by channel or linear."""
    kinds = (nn.LinearOp, nn.UnaryOp, nn.BinaryOp, nn.SliceOp, nn.ConcatOp)
    if not isinstance(op, kinds):
        return False
    shape = shape_of(op.results[0])
    if len(shape) != 2 or shape[1] == DYNAMIC:
        return False
    return not isinstance(op, (nn.SliceOp, nn.ConcatOp)) or op.axis.value.data == 1


def _next_states(
    ops: Sequence[Operation], end: nn.BinaryOp, count: int
) -> Iterator[tuple[SSAValue, ...]]:
    """What the next states may be: h is the end; c any sum of the same size before it."""
    if count == 1:
        yield (end.result,)
        return
    for op in reversed(ops):
        if isinstance(op, nn.BinaryOp) and op.kind.data == "add":
            yield end.result, op.result


def _name(program: Program, kind: str) -> str:
    taken = {op.label for op in program.layers()}
    return next(n for i in range(len(taken) + 1) if (n := f"{kind}{i}") not in taken)
