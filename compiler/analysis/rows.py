"""`[T, B, F]` flattened to rows, worked on row by row, and put back: no flattening is needed.

Exporters write `x.view(-1, F)`, layers on rows, `.view(T, B, N)`. The layers work on the last extent
anyway, and targets want whole sequences.
"""

from __future__ import annotations

from typing import Any

from xdsl.ir import Operation, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from mohaq.compiler.analysis.extents import Extents
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.program import Program


def keep_sequences(program: Program) -> bool:
    """Write chains of operations between a flattening and its inverse for whole sequences.

    Returns:
        Whether anything changed.
    """
    extents = Extents()
    for number, argument in enumerate(program.entry.args):
        extents.name(argument, [f"{number}.{axis}" for axis in range(len(shape_of(argument)))])
    changed = False
    for op in list(program.entry.body.block.ops):
        if not isinstance(op, nn.ReshapeOp) or len(shape_of(op.input)) != 2:
            continue
        after = extents.of(op.result)
        if len(after) < 3 or after[-1] != extents.of(op.input)[-1]:
            continue
        work = _Whole(extents, after[:-1])
        made = work.of(op.input)
        if made is None or made.type != op.result.type:
            work.undo()
            continue
        op.result.replace_all_uses_with(made)
        Rewriter.erase_op(op)
        work.finish()
        changed = True
    return changed


class _Whole:
    """Operations on rows, written again for the extents before they were joined."""

    def __init__(self, extents: Extents, leading: tuple[Any, ...]) -> None:
        self.extents, self.leading = extents, leading
        self._made: dict[SSAValue, SSAValue | None] = {}
        self._new: list[Operation] = []
        self._layers: list[tuple[nn.LayerOp, SSAValue]] = []

    def of(self, value: SSAValue) -> SSAValue | None:
        """The same values with the leading extents apart; None if they are not rows of such."""
        if value not in self._made:
            self._made[value] = self._written(value)
        return self._made[value]

    def undo(self) -> None:
        """Take out what was written in vain."""
        for op in reversed(self._new):
            Rewriter.erase_op(op)

    def finish(self) -> None:
        """Layers exist once: whoever else reads their rows reads the new result, flattened."""
        for layer, made in reversed(self._layers):
            old = layer.results[0]
            if any(True for _ in old.uses):
                rows = nn.ReshapeOp(made, (-1, shape_of(made)[-1]))
                assert isinstance(made.owner, Operation)
                Rewriter.insert_op(rows, InsertPoint.after(made.owner))
                old.replace_all_uses_with(rows.result)
            Rewriter.erase_op(layer)

    def _add(self, old: Operation, new: Operation) -> SSAValue:
        Rewriter.insert_op(new, InsertPoint.before(old))
        self._new.append(new)
        return new.results[0]

    def _layer(self, old: nn.LayerOp, new: nn.LayerOp) -> SSAValue:
        for name, attribute in old.attributes.items():
            if name not in new.attributes:
                new.attributes[name] = attribute
        made = self._add(old, new)
        self._layers.append((old, made))
        return made

    def _written(self, value: SSAValue) -> SSAValue | None:
        op = value.owner
        if not isinstance(op, Operation) or len(shape_of(value)) != 2:
            return None
        last = len(self.leading)
        match op:
            case nn.ReshapeOp():
                found = self.extents.of(op.input)
                same = found[:-1] == self.leading and found[-1] == shape_of(value)[-1]
                return op.input if same else None
            case nn.UnaryOp():
                x = self.of(op.input)
                return None if x is None else self._add(op, nn.UnaryOp(op.function, x))
            case nn.SoftmaxOp() if op.axis.value.data == 1:
                x = self.of(op.input)
                log = bool(op.log.value.data)
                return None if x is None else self._add(op, nn.SoftmaxOp(x, last, log=log))
            case nn.BinaryOp():
                sides = [self._side(side) for side in (op.lhs, op.rhs)]
                if sides[0] is None or sides[1] is None:
                    return None
                return self._add(op, nn.BinaryOp(op.kind.data, sides[0], sides[1]))
            case nn.LinearOp() if isinstance(op.weight.owner, LoadOp):
                x = self.of(op.input)
                if x is None:
                    return None
                return self._layer(op, nn.LinearOp(op.label, x, op.weight, op.bias))
            case nn.LayerNormOp() if op.axis.value.data == 1:
                x = self.of(op.input)
                if x is None:
                    return None
                epsilon = float(op.epsilon.value.data)
                held = (op.gamma, op.beta)
                norm = nn.LayerNormOp(op.label, x, *held, axis=last, epsilon=epsilon)
                return self._layer(op, norm)
            case nn.BatchNormOp() if op.axis.value.data == 1:
                x = self.of(op.input)
                if x is None:
                    return None
                epsilon = float(op.epsilon.value.data)
                stored = (op.gamma, op.beta, op.mean, op.var)
                batch = nn.BatchNormOp(op.label, x, *stored, axis=last, epsilon=epsilon)
                return self._layer(op, batch)
        return None

    def _side(self, value: SSAValue) -> SSAValue | None:
        """An operand of an elementwise operation; parameters broadcast to every row as they are."""
        if isinstance(value.owner, LoadOp) and shape_of(value)[:-1] in ((), (1,)):
            return value
        return self.of(value)
