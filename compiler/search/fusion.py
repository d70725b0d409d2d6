"""Groups of operations in a scan body that the kernel runs as one loop over units.

Only how often values pass through memory changes: the arithmetic is that of the operations.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.ir import Operation, SSAValue

from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.types import int_range, int_width
from mohaq.compiler.search import kernels


@dataclass(frozen=True)
class Fused:
    """One tape row for several operations.

    `operands` are up to three values that the row reads; `immediates` follow the opcode's use.
    """

    code: int
    operands: tuple[SSAValue, ...]
    immediates: tuple[int, ...]
    absorbed: tuple[Operation, ...]
    table: str | None = None


def fuse(op: Operation) -> Fused | None:
    """The group that ends in `op`, if it ends one."""
    if isinstance(op, qnn.RequantizeOp) and len(op.scales()) == 1:
        return _product(op) or _blend(op)
    if isinstance(op, qnn.LookupOp):
        return _looked_up_sum(op)
    return None


def _only(value: SSAValue, kind: type[Operation]) -> Operation | None:
    """The operation that makes a value, if it is of a kind and nothing else reads the value."""
    owner = value.owner
    if isinstance(owner, kind) and len(list(value.uses)) == 1:
        return owner
    return None


def _rounding(op: qnn.RequantizeOp) -> tuple[int, ...]:
    ((m, s),) = op.scales()
    width, signed = int_width(op.result)
    return (m, s, *int_range(width, signed=signed))


def _product(op: qnn.RequantizeOp) -> Fused | None:
    """clamp(round(a * b))."""
    product = _only(op.input, qnn.MulOp)
    if not isinstance(product, qnn.MulOp):
        return None
    operands = (product.lhs, product.rhs)
    return Fused(kernels.PRODUCT, operands, _rounding(op), (product,))


def _blend(op: qnn.RequantizeOp) -> Fused | None:
    """clamp(round(g * a + (k - g) * b))."""
    total = _only(op.input, qnn.AddOp)
    if not isinstance(total, qnn.AddOp):
        return None
    left, right = _only(total.lhs, qnn.MulOp), _only(total.rhs, qnn.MulOp)
    if not isinstance(left, qnn.MulOp) or not isinstance(right, qnn.MulOp):
        return None
    rest = _only(right.lhs, qnn.RsubOp)
    if not isinstance(rest, qnn.RsubOp) or rest.input is not left.lhs:
        return None
    return Fused(
        kernels.BLEND,
        (left.lhs, left.rhs, right.rhs),
        (*_rounding(op), rest.constant.value.data),
        (total, left, right, rest),
    )


def _looked_up_sum(op: qnn.LookupOp) -> Fused | None:
    """table(clamp(a + b))."""
    held = _only(op.input, qnn.SaturateOp)
    if not isinstance(held, qnn.SaturateOp):
        return None
    total = _only(held.input, qnn.AddOp)
    if not isinstance(total, qnn.AddOp):
        return None
    width, signed = int_width(held.result)
    return Fused(
        kernels.LOOKED_UP_SUM,
        (total.lhs, total.rhs),
        int_range(width, signed=signed),
        (held, total),
        op.table.root_reference.data,
    )
