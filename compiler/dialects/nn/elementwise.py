"""Elementwise operations, softmax, reductions and products of two computed tensors."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    ArrayAttr,
    BoolAttr,
    IntegerAttr,
    StringAttr,
    TensorType,
    f32,
    i64,
)
from xdsl.ir import SSAValue
from xdsl.irdl import (
    IRDLOperation,
    attr_def,
    base,
    irdl_op_definition,
    operand_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from mohaq.compiler.dialects.nn.canonicalization import MoveTrait, SumTrait
from mohaq.compiler.dialects.nn.function import FunctionAttr
from mohaq.compiler.dialects.nn.layer import require_shape, shape_text
from mohaq.compiler.dialects.types import (
    DYNAMIC,
    element_of,
    float_tensor,
    int_type,
    require_f32,
    shape_of,
)

BINARY = ("add", "sub", "mul", "div", "pow", "max", "min")
REAL_ONLY = ("div", "pow", "mean", "l2")
"""Not defined on whole numbers."""

REDUCTIONS = ("mean", "sum", "max", "min", "prod", "l2")


def require_one_kind(*values: SSAValue) -> None:
    """All real, or all whole numbers.

    Raises:
        VerifyException: anything else.
    """
    kinds = {element_of(value) for value in values}
    if len(kinds) != 1 or not kinds <= {f32, int_type(64)}:
        raise VerifyException(f"expected real or whole numbers, got {', '.join(map(str, kinds))}")


def broadcast(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    """Shape of a NumPy broadcast with symbolic extents.

    Raises:
        VerifyException: the shapes do not fit.
    """
    size = max(len(a), len(b))
    found = []
    for m, n in zip(
        (1,) * (size - len(a)) + tuple(a), (1,) * (size - len(b)) + tuple(b), strict=True
    ):
        if n in (1, m):
            found.append(m)
        elif m in (1, DYNAMIC):
            found.append(n)
        elif n == DYNAMIC:
            found.append(m)
        else:
            raise VerifyException(f"shapes {tuple(a)} and {tuple(b)} do not broadcast")
    return tuple(found)


@irdl_op_definition
class UnaryOp(IRDLOperation):
    """A scalar function of every element: `nn.unary #nn.fn<relu> %x : tensor<...>`."""

    name = "nn.unary"
    input = operand_def(base(TensorType))
    function = attr_def(FunctionAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure(), MoveTrait())
    assembly_format = "$function $input attr-dict `:` functional-type(operands, results)"

    def __init__(self, function: FunctionAttr | str, x: SSAValue) -> None:
        chosen = FunctionAttr.of(function) if isinstance(function, str) else function
        super().__init__(operands=[x], attributes={"function": chosen}, result_types=[x.type])

    def verify_(self) -> None:
        require_f32(self.input)
        require_shape("result", self.result, shape_of(self.input))


@irdl_op_definition
class BinaryOp(IRDLOperation):
    """A scalar function of two tensors with NumPy broadcasting: `nn.binary "add" %a, %b`.

    Both are real, or both are whole numbers (si64; no division then).
    """

    name = "nn.binary"
    lhs = operand_def(base(TensorType))
    rhs = operand_def(base(TensorType))
    kind = attr_def(StringAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure(), SumTrait())
    assembly_format = "$kind $lhs `,` $rhs attr-dict `:` functional-type(operands, results)"

    def __init__(self, kind: str, lhs: SSAValue, rhs: SSAValue) -> None:
        super().__init__(
            operands=[lhs, rhs],
            attributes={"kind": StringAttr(kind)},
            result_types=[
                TensorType(element_of(lhs), list(broadcast(shape_of(lhs), shape_of(rhs))))
            ],
        )

    def verify_(self) -> None:
        require_one_kind(*self.operands, self.result)
        if self.kind.data not in BINARY:
            raise VerifyException(f"'{self.kind.data}' is none of {', '.join(BINARY)}")
        if self.kind.data in REAL_ONLY and element_of(self.lhs) != f32:
            raise VerifyException(f"'{self.kind.data}' of whole numbers")
        require_shape("result", self.result, broadcast(shape_of(self.lhs), shape_of(self.rhs)))


@irdl_op_definition
class MatmulOp(IRDLOperation):
    """Product of two tensors, NumPy's `matmul`: [..., M, K] x [..., K, N] -> [..., M, N].

    A product with a parameter is `nn.linear`; this one is for attention and the like.
    """

    name = "nn.matmul"
    lhs = operand_def(base(TensorType))
    rhs = operand_def(base(TensorType))
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = "$lhs `,` $rhs attr-dict `:` functional-type(operands, results)"

    def __init__(self, lhs: SSAValue, rhs: SSAValue) -> None:
        super().__init__(operands=[lhs, rhs], result_types=[float_tensor(_product(lhs, rhs))])

    def verify_(self) -> None:
        for value in (*self.operands, self.result):
            require_f32(value)
        require_shape("result", self.result, _product(self.lhs, self.rhs))


def _product(lhs: SSAValue, rhs: SSAValue) -> tuple[int, ...]:
    a, b = shape_of(lhs), shape_of(rhs)
    if len(a) < 2 or len(b) < 2:
        raise VerifyException("matmul needs operands of at least two extents")
    if a[-1] != b[-2] and DYNAMIC not in (a[-1], b[-2]):
        raise VerifyException(f"{shape_text(lhs)} does not fit {shape_text(rhs)}")
    return (*broadcast(a[:-2], b[:-2]), a[-2], b[-1])


@irdl_op_definition
class SoftmaxOp(IRDLOperation):
    """Softmax along one extent (counted from 0), or its logarithm."""

    name = "nn.softmax"
    input = operand_def(base(TensorType))
    axis = attr_def(IntegerAttr)
    log = attr_def(BoolAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(self, x: SSAValue, axis: int = -1, *, log: bool = False) -> None:
        super().__init__(
            operands=[x],
            attributes={
                "axis": IntegerAttr(axis % len(shape_of(x)), i64),
                "log": BoolAttr.from_bool(log),
            },
            result_types=[x.type],
        )

    def verify_(self) -> None:
        require_f32(self.input)
        if not 0 <= self.axis.value.data < len(shape_of(self.input)):
            raise VerifyException(f"{shape_text(self.input)} has no axis {self.axis.value.data}")
        require_shape("result", self.result, shape_of(self.input))


@irdl_op_definition
class ReduceOp(IRDLOperation):
    """Reduction over extents (counted from 0), which stay as 1 with `keep`.

    Of real or whole numbers (si64; no mean and no length then).
    """

    name = "nn.reduce"
    input = operand_def(base(TensorType))
    kind = attr_def(StringAttr)
    axes = attr_def(ArrayAttr[IntegerAttr])
    keep = attr_def(BoolAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = "$kind $input attr-dict `:` functional-type(operands, results)"

    def __init__(self, kind: str, x: SSAValue, axes: Sequence[int], *, keep: bool = True) -> None:
        rank = len(shape_of(x))
        chosen = sorted({a % rank for a in axes})
        super().__init__(
            operands=[x],
            attributes={
                "kind": StringAttr(kind),
                "axes": ArrayAttr([IntegerAttr(a, i64) for a in chosen]),
                "keep": BoolAttr.from_bool(keep),
            },
            result_types=[
                TensorType(element_of(x), list(_reduced(shape_of(x), chosen, keep=keep)))
            ],
        )

    @property
    def axis_numbers(self) -> tuple[int, ...]:
        """The extents that are reduced."""
        return tuple(a.value.data for a in self.axes)

    def verify_(self) -> None:
        require_one_kind(self.input, self.result)
        shape, axes = shape_of(self.input), self.axis_numbers
        if self.kind.data not in REDUCTIONS:
            raise VerifyException(f"'{self.kind.data}' is none of {', '.join(REDUCTIONS)}")
        if self.kind.data in REAL_ONLY and element_of(self.input) != f32:
            raise VerifyException(f"'{self.kind.data}' of whole numbers")
        if not axes or any(not 0 <= a < len(shape) for a in axes):
            raise VerifyException(f"{shape_text(self.input)} has no axes {axes}")
        keep = bool(self.keep.value.data)
        require_shape("result", self.result, _reduced(shape, axes, keep=keep))


def _reduced(shape: Sequence[int], axes: Sequence[int], *, keep: bool) -> tuple[int, ...]:
    if keep:
        return tuple(1 if n in axes else size for n, size in enumerate(shape))
    return tuple(size for n, size in enumerate(shape) if n not in axes)
