"""`time-first`: transposes leave the chain of layers that a target can run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, TensorType, i64
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from mohaq.compiler.context import store
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import element_of, shape_of
from mohaq.compiler.program import Program

Order = tuple[int, ...]

WITH_AXIS = (nn.BatchNormOp, nn.FakeQuantizeOp, nn.SliceOp, nn.FlipOp, nn.PadOp, nn.ConcatOp)
"""Element by element but for one extent, whose number follows it."""


def time_first(program: Program) -> bool:
    """Move transposes in place; tells whether any moved.

    Batch-first models are imported as transpose, recurrent layer, transpose. A transpose that a
    recurrent layer's result goes through moves down, past operations that give the same on
    transposed values; one that a recurrent layer reads moves up, past such operations that
    nothing else reads. Pairs that meet cancel under `canonicalize`; the others end at the
    border. Past `nn.linear` and norms and softmax over the last extent go transposes that keep
    this extent last; past operations on single elements go all.
    """
    mover = _Mover(program)
    down, up = mover.sink(), mover.hoist()
    return down or up


def _inverse(order: Order) -> Order:
    return tuple(order.index(n) for n in range(len(order)))


def _moved(op: Operation, order: Order) -> list[int] | None:
    """Places of the operands to transpose if the operation runs on values in another order.

    None where that would be another function.
    """
    rank, last = len(order), order[-1] == len(order) - 1
    match op:
        case nn.UnaryOp() | nn.BatchNormOp() | nn.FakeQuantizeOp():
            return [0]
        case nn.SliceOp() | nn.FlipOp() | nn.PadOp():
            return [0]
        case nn.LinearOp():
            return [0] if last else None
        case nn.SoftmaxOp() | nn.LayerNormOp():
            return [0] if last and op.axis.value.data == rank - 1 else None
        case nn.ConcatOp():
            return list(range(len(op.operands)))
        case nn.BinaryOp():
            places = []
            for place, value in enumerate(op.operands):
                shape = shape_of(value)
                if isinstance(value.owner, LoadOp):
                    wide = shape if not last else shape[:-1]
                    if any(n != 1 for n in wide):
                        return None
                elif len(shape) == rank:
                    places.append(place)
                else:
                    return None
            return places or None
    return None


class _Mover:
    def __init__(self, program: Program) -> None:
        self._block = program.entry.body.block
        self._native: set[SSAValue] = set()
        """Results of recurrent layers, and what is computed from them in the same order."""

    def _note(self, op: Operation) -> None:
        if isinstance(op, nn.RecurrentOp) or self._reads_native(op):
            self._native.add(op.results[0])

    def _reads_native(self, op: Operation) -> bool:
        if not op.results:
            return False
        same = tuple(range(len(shape_of(op.results[0]))))
        places = _moved(op, same) if same else None
        return any(op.operands[n] in self._native for n in places or ())

    def sink(self) -> bool:
        """Transposes of native values go down."""
        changed = False
        for op in list(self._block.ops):
            order = self._order_above(op)
            if isinstance(op, nn.TransposeOp) and order is not None:
                self._replace(op, self._compose(op))
                changed = True
                continue
            places = None if order is None else _moved(op, order)
            if order is None or places is None:
                self._note(op)
                continue
            values = {n: self._before(op, op.operands[n], _inverse(order)) for n in places}
            shape = shape_of(op.results[0])
            inner = [shape[n] for n in _inverse(order)]
            made = self._again(op, values, order, inner)
            back = nn.TransposeOp(made.results[0], order)
            self._block.insert_op_before(back, op)
            self._replace(op, back.result)
            self._note(made)
            changed = True
        return changed

    def _compose(self, op: nn.TransposeOp) -> SSAValue:
        """A transpose of a transpose as one, or none."""
        above = op.input.owner
        assert isinstance(above, nn.TransposeOp)
        order = [above.order[n] for n in op.order]
        if order == sorted(order):
            return above.input
        made = nn.TransposeOp(above.input, order)
        self._block.insert_op_before(made, op)
        return made.result

    def _order_above(self, op: Operation) -> Order | None:
        """Order of the first transpose of a native value among the operands, all others not."""
        several = isinstance(op, (nn.BinaryOp, nn.ConcatOp))
        read = op.operands if several else op.operands[:1]
        if any(value in self._native for value in read):
            return None  # native values in two orders meet here
        for value in read:
            above = value.owner
            if isinstance(above, nn.TransposeOp) and above.input in self._native:
                return above.order
        return None

    def _before(self, place: Operation, value: SSAValue, order: Order) -> SSAValue:
        """The value in another order: what a transpose read, or the result of one."""
        above = value.owner
        if isinstance(above, nn.TransposeOp) and above.order == _inverse(order):
            return above.input
        for use in value.uses:
            found = use.operation
            if (
                isinstance(found, nn.TransposeOp)
                and found.order == order
                and found.is_before_in_block(place)
            ):
                return found.result
        made = nn.TransposeOp(value, order)
        self._block.insert_op_before(made, place)
        return made.result

    def hoist(self) -> bool:
        """Transposes that native operations read go up, where their input is not native."""
        changed = False
        waiting = [
            op for op in self._block.ops if isinstance(op, nn.TransposeOp) and self._wanted(op)
        ]
        while waiting:
            low = waiting.pop()
            if low.parent is None:
                continue  # went with another one of the same value
            made = self._over(low)
            if made is not None:
                waiting += made
                changed = True
        return changed

    def _wanted(self, op: nn.TransposeOp) -> bool:
        return op.input not in self._native and any(
            (isinstance(u.operation, nn.RecurrentOp) and u.index == 0)
            or self._reads_native(u.operation)
            for u in op.result.uses
        )

    def _over(self, low: nn.TransposeOp) -> list[nn.TransposeOp] | None:
        """Move a transpose above the operation that it reads; gives the new transposes."""
        op, order = low.input.owner, low.order
        if isinstance(op, nn.TransposeOp):
            whole = self._compose(low)
            self._replace(low, whole)
            return [whole.owner] if isinstance(whole.owner, nn.TransposeOp) else []
        readers = [u.operation for u in low.input.uses]
        if (
            not isinstance(op, Operation)
            or low.input in self._native
            or not all(isinstance(r, nn.TransposeOp) and r.order == order for r in readers)
        ):
            return None
        places = _moved(op, order)
        if places is None:
            return None
        values = {n: self._before(op, op.operands[n], order) for n in places}
        again = self._again(op, values, _inverse(order), shape_of(low.result))
        for reader in readers:
            self._replace(reader, again.results[0])
        self._block.erase_op(op)
        return [v.owner for v in values.values() if isinstance(v.owner, nn.TransposeOp)]

    def _again(
        self,
        op: Operation,
        values: dict[int, SSAValue],
        axes: Order,
        shape: Sequence[int],
    ) -> Operation:
        """The operation on other operands, before the old one; extent n is now axes[n]."""
        attributes = dict(op.attributes)
        if isinstance(op, WITH_AXIS):
            attributes["axis"] = IntegerAttr(axes[op.axis.value.data], i64)
        made = type(op).create(
            operands=[values.get(n, v) for n, v in enumerate(op.operands)],
            result_types=[TensorType(element_of(op.results[0]), list(shape))],
            attributes=attributes,
            properties=dict(op.properties),
        )
        self._block.insert_op_before(made, op)
        return made

    def _replace(self, op: Operation, value: SSAValue) -> None:
        above = [v.owner for v in op.operands]
        op.results[0].replace_all_uses_with(value)
        self._block.erase_op(op)
        for one in above:
            self._erase_unused(one)

    def _erase_unused(self, op: object) -> None:
        if isinstance(op, nn.TransposeOp) and op.parent is not None and not list(op.result.uses):
            self._block.erase_op(op)


@dataclass(frozen=True)
class TimeFirstPass(ModulePass):
    """Move transposes of batch-first models out of the chain of layers.

    They pass linear layers, norms, softmax and elementwise operations where the function stays
    the same; `canonicalize` afterwards removes the pairs that met.
    """

    name: ClassVar[str] = "time-first"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module."""
        time_first(Program(op, store(ctx)))
