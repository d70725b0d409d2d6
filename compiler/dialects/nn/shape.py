"""Operations that move elements and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    ArrayAttr,
    FloatAttr,
    IntegerAttr,
    StringAttr,
    TensorType,
    f64,
    i64,
)
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    attr_def,
    base,
    irdl_op_definition,
    operand_def,
    opt_attr_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from mohaq.compiler.dialects.nn.canonicalization import MoveTrait
from mohaq.compiler.dialects.nn.layer import require_shape, shape_text
from mohaq.compiler.dialects.types import DYNAMIC, element_of, fits, shape_of

PAD_MODES = ("constant", "reflect", "edge")


def _like(value: SSAValue, shape: Sequence[int]) -> TensorType[Attribute]:
    return TensorType(element_of(value), list(shape))


def _array(numbers: Sequence[int]) -> ArrayAttr[IntegerAttr]:
    return ArrayAttr([IntegerAttr(n, i64) for n in numbers])


def _numbers(held: ArrayAttr[IntegerAttr]) -> tuple[int, ...]:
    return tuple(n.value.data for n in held)


def _check_axis(value: SSAValue, axis: int) -> None:
    if not 0 <= axis < len(shape_of(value)):
        raise VerifyException(f"{shape_text(value)} has no axis {axis}")


@irdl_op_definition
class TransposeOp(IRDLOperation):
    """Extents in another order: extent n of the result is extent permutation[n] of the input."""

    name = "nn.transpose"
    input = operand_def(base(TensorType))
    permutation = attr_def(ArrayAttr[IntegerAttr])
    result = result_def(base(TensorType))

    traits = traits_def(Pure(), MoveTrait())
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(self, x: SSAValue, permutation: Sequence[int]) -> None:
        shape = shape_of(x)
        super().__init__(
            operands=[x],
            attributes={"permutation": _array(permutation)},
            result_types=[_like(x, [shape[n] for n in permutation])],
        )

    @property
    def order(self) -> tuple[int, ...]:
        """The permutation."""
        return _numbers(self.permutation)

    def verify_(self) -> None:
        shape = shape_of(self.input)
        if sorted(self.order) != list(range(len(shape))):
            raise VerifyException(f"{self.order} is no permutation of {len(shape)} extents")
        require_shape("result", self.result, tuple(shape[n] for n in self.order))


@irdl_op_definition
class UnsqueezeOp(IRDLOperation):
    """New extents of 1 at `axes` of the result (counted from 0)."""

    name = "nn.unsqueeze"
    input = operand_def(base(TensorType))
    axes = attr_def(ArrayAttr[IntegerAttr])
    result = result_def(base(TensorType))

    traits = traits_def(Pure(), MoveTrait())
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(self, x: SSAValue, axes: Sequence[int]) -> None:
        rank = len(shape_of(x)) + len(axes)
        chosen = sorted(a % rank for a in axes)
        super().__init__(
            operands=[x],
            attributes={"axes": _array(chosen)},
            result_types=[_like(x, unsqueezed(shape_of(x), chosen))],
        )

    @property
    def axis_numbers(self) -> tuple[int, ...]:
        """The new extents' places."""
        return _numbers(self.axes)

    def verify_(self) -> None:
        shape = unsqueezed(shape_of(self.input), self.axis_numbers)
        require_shape("result", self.result, shape)


def unsqueezed(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """Shape with extents of 1 at `axes` of the result.

    Raises:
        VerifyException: no such places.
    """
    rank = len(shape) + len(axes)
    if len(set(axes)) != len(axes) or any(not 0 <= a < rank for a in axes):
        raise VerifyException(f"cannot put extents of 1 at {tuple(axes)}")
    old = iter(shape)
    return tuple(1 if n in axes else next(old) for n in range(rank))


@irdl_op_definition
class SqueezeOp(IRDLOperation):
    """Without the extents `axes` (counted from 0), which must be 1."""

    name = "nn.squeeze"
    input = operand_def(base(TensorType))
    axes = attr_def(ArrayAttr[IntegerAttr])
    result = result_def(base(TensorType))

    traits = traits_def(Pure(), MoveTrait())
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(self, x: SSAValue, axes: Sequence[int]) -> None:
        chosen = sorted({a % len(shape_of(x)) for a in axes})
        kept = [size for n, size in enumerate(shape_of(x)) if n not in chosen]
        super().__init__(
            operands=[x], attributes={"axes": _array(chosen)}, result_types=[_like(x, kept)]
        )

    @property
    def axis_numbers(self) -> tuple[int, ...]:
        """The extents that go."""
        return _numbers(self.axes)

    def verify_(self) -> None:
        shape, axes = shape_of(self.input), self.axis_numbers
        for a in axes:
            _check_axis(self.input, a)
            if shape[a] not in (1, DYNAMIC):
                raise VerifyException(f"extent {a} of {shape_text(self.input)} is not 1")
        kept = tuple(size for n, size in enumerate(shape) if n not in axes)
        require_shape("result", self.result, kept)


@irdl_op_definition
class SliceOp(IRDLOperation):
    """Elements start, start + step, ... below stop of one extent; Python's rules for negatives.

    Without `stop`: to the end. step is at least 1 (`nn.flip` turns an extent round).
    """

    name = "nn.slice"
    input = operand_def(base(TensorType))
    axis = attr_def(IntegerAttr)
    start = attr_def(IntegerAttr)
    stop = opt_attr_def(IntegerAttr)
    step = attr_def(IntegerAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure(), MoveTrait())
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(
        self, x: SSAValue, axis: int, start: int, stop: int | None = None, step: int = 1
    ) -> None:
        axis %= len(shape_of(x))
        super().__init__(
            operands=[x],
            attributes={
                "axis": IntegerAttr(axis, i64),
                "start": IntegerAttr(start, i64),
                "stop": None if stop is None else IntegerAttr(stop, i64),
                "step": IntegerAttr(step, i64),
            },
            result_types=[_like(x, sliced(shape_of(x), axis, slice(start, stop, step)))],
        )

    @property
    def range(self) -> slice:
        """As a Python slice."""
        stop = None if self.stop is None else self.stop.value.data
        return slice(self.start.value.data, stop, self.step.value.data)

    def verify_(self) -> None:
        _check_axis(self.input, self.axis.value.data)
        if self.step.value.data < 1:
            raise VerifyException(f"step must be at least 1, got {self.step.value.data}")
        shape = sliced(shape_of(self.input), self.axis.value.data, self.range)
        require_shape("result", self.result, shape)


def sliced(shape: Sequence[int], axis: int, chosen: slice) -> tuple[int, ...]:
    """Shape after a slice of one extent."""
    found = list(shape)
    if found[axis] != DYNAMIC:
        found[axis] = len(range(*chosen.indices(found[axis])))
    return tuple(found)


@irdl_op_definition
class FlipOp(IRDLOperation):
    """One extent in reverse order."""

    name = "nn.flip"
    input = operand_def(base(TensorType))
    axis = attr_def(IntegerAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure(), MoveTrait())
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(self, x: SSAValue, axis: int) -> None:
        super().__init__(
            operands=[x],
            attributes={"axis": IntegerAttr(axis % len(shape_of(x)), i64)},
            result_types=[x.type],
        )

    def verify_(self) -> None:
        _check_axis(self.input, self.axis.value.data)
        require_shape("result", self.result, shape_of(self.input))


@irdl_op_definition
class ConcatOp(IRDLOperation):
    """Tensors one after the other along one extent (counted from 0)."""

    name = "nn.concat"
    parts = var_operand_def(base(TensorType))
    axis = attr_def(IntegerAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure(), MoveTrait())
    assembly_format = "$parts attr-dict `:` functional-type(operands, results)"

    def __init__(self, parts: Sequence[SSAValue], axis: int) -> None:
        axis %= len(shape_of(parts[0]))
        super().__init__(
            operands=[list(parts)],
            attributes={"axis": IntegerAttr(axis, i64)},
            result_types=[_like(parts[0], joined([shape_of(p) for p in parts], axis))],
        )

    def verify_(self) -> None:
        if not self.parts:
            raise VerifyException("nothing to join")
        _check_axis(self.parts[0], self.axis.value.data)
        if len({element_of(p) for p in (*self.parts, self.result)}) != 1:
            raise VerifyException("the parts have different element types")
        shape = joined([shape_of(p) for p in self.parts], self.axis.value.data)
        require_shape("result", self.result, shape)


def joined(shapes: Sequence[Sequence[int]], axis: int) -> tuple[int, ...]:
    """Shape of a concatenation.

    Raises:
        VerifyException: the other extents differ.
    """
    found = list(shapes[0])
    for shape in shapes[1:]:
        if len(shape) != len(found):
            raise VerifyException("the parts have different ranks")
        for n, size in enumerate(shape):
            if n == axis:
                found[n] = DYNAMIC if DYNAMIC in (found[n], size) else found[n] + size
            elif not fits([found[n]], [size]):
                raise VerifyException(f"extent {n} of the parts differs: {found[n]} and {size}")
            elif found[n] == DYNAMIC:
                found[n] = size
    return tuple(found)


@irdl_op_definition
class PadOp(IRDLOperation):
    """More elements before and after one extent: a constant, the mirrored or the edge elements."""

    name = "nn.pad"
    input = operand_def(base(TensorType))
    axis = attr_def(IntegerAttr)
    before = attr_def(IntegerAttr)
    after = attr_def(IntegerAttr)
    mode = attr_def(StringAttr)
    value = attr_def(FloatAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure(), MoveTrait())
    assembly_format = "$mode $input attr-dict `:` functional-type(operands, results)"

    def __init__(
        self,
        x: SSAValue,
        axis: int,
        before: int,
        after: int,
        *,
        mode: str = "constant",
        value: float = 0.0,
    ) -> None:
        shape = list(shape_of(x))
        axis %= len(shape)
        if shape[axis] != DYNAMIC:
            shape[axis] += before + after
        super().__init__(
            operands=[x],
            attributes={
                "axis": IntegerAttr(axis, i64),
                "before": IntegerAttr(before, i64),
                "after": IntegerAttr(after, i64),
                "mode": StringAttr(mode),
                "value": FloatAttr(value, f64),
            },
            result_types=[_like(x, shape)],
        )

    def verify_(self) -> None:
        axis, before, after = (a.value.data for a in (self.axis, self.before, self.after))
        _check_axis(self.input, axis)
        if self.mode.data not in PAD_MODES:
            raise VerifyException(f"'{self.mode.data}' is none of {', '.join(PAD_MODES)}")
        if min(before, after) < 0:
            raise VerifyException("padding must not be negative")
        shape = list(shape_of(self.input))
        if shape[axis] != DYNAMIC:
            if self.mode.data == "reflect" and max(before, after) >= shape[axis]:
                raise VerifyException(f"cannot mirror {max(before, after)} of {shape[axis]}")
            shape[axis] += before + after
        require_shape("result", self.result, tuple(shape))
