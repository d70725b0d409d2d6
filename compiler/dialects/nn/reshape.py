"""`nn.reshape`: the same elements under other extents."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import ArrayAttr, IntegerAttr, TensorType, i64
from xdsl.ir import SSAValue
from xdsl.irdl import (
    IRDLOperation,
    attr_def,
    base,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from mohaq.compiler.dialects.nn.canonicalization import MoveTrait
from mohaq.compiler.dialects.nn.layer import require_shape
from mohaq.compiler.dialects.types import DYNAMIC, element_of, shape_of

SAME, REST = 0, -1


def extent_of(place: int) -> int:
    """What stands for extent `place` of `like` in the shape of a reshape."""
    return -2 - place


@irdl_op_definition
class ReshapeOp(IRDLOperation):
    """The elements in row-major order under new extents.

    `shape` as in ONNX: 0 keeps the input's extent at that place, -1 (at most once) is what
    remains. -2 - n is extent n of the operand `like`, whose elements are not read:
    `nn.reshape %rows like %x {shape = [-2, -3, 5]}` gives [T, B, 5] for %x [T, B, F].
    """

    name = "nn.reshape"
    input = operand_def(base(TensorType))
    like = opt_operand_def(base(TensorType))
    shape = attr_def(ArrayAttr[IntegerAttr])
    result = result_def(base(TensorType))

    traits = traits_def(Pure(), MoveTrait())
    assembly_format = "$input (`like` $like^)? attr-dict `:` functional-type(operands, results)"

    def __init__(self, x: SSAValue, shape: Sequence[int], like: SSAValue | None = None) -> None:
        made = reshaped(shape_of(x), shape, None if like is None else shape_of(like))
        super().__init__(
            operands=[x, like],
            attributes={"shape": ArrayAttr([IntegerAttr(n, i64) for n in shape])},
            result_types=[TensorType(element_of(x), list(made))],
        )

    @property
    def extents(self) -> tuple[int, ...]:
        """The new extents as written."""
        return tuple(n.value.data for n in self.shape)

    def verify_(self) -> None:
        like = None if self.like is None else shape_of(self.like)
        require_shape("result", self.result, reshaped(shape_of(self.input), self.extents, like))


def target(
    shape: Sequence[int], wanted: Sequence[int], like: Sequence[int] | None
) -> tuple[int, ...]:
    """The new extents with numbers for 0 and -2 - n, at known sizes of input and `like`."""
    found = []
    for place, size in enumerate(wanted):
        if size == SAME:
            found.append(shape[place])
        elif size < REST:
            assert like is not None
            found.append(like[-2 - size])
        else:
            found.append(size)
    return tuple(found)


def reshaped(
    shape: Sequence[int], wanted: Sequence[int], like: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Shape after a reshape, with symbolic extents.

    Raises:
        VerifyException: the elements do not fit.
    """
    if list(wanted).count(REST) > 1 or any(
        (n < REST and (like is None or -2 - n >= len(like))) or (n == SAME and i >= len(shape))
        for i, n in enumerate(wanted)
    ):
        raise VerifyException(f"cannot reshape {tuple(shape)} to {tuple(wanted)}")
    copied = {i for i, n in enumerate(wanted) if n == SAME}
    # Extents that are copied cancel, known or not.
    before = [n for i, n in enumerate(shape) if i not in copied]
    after = [
        n if n > 0 else (like or ())[-2 - n]
        for n in wanted
        if n > 0 or (n < REST and (like or ())[-2 - n] != DYNAMIC)
    ]
    total, rest = 1, 1
    for n in before:
        total *= n if n != DYNAMIC else 1
    for n in after:
        rest *= n
    borrowed = any(n < REST and (like or ())[-2 - n] == DYNAMIC for n in wanted)
    known = DYNAMIC not in before and not borrowed
    left: int | None = None
    if known and REST in wanted and rest and total % rest == 0:
        left = total // rest
    if known and left is None and (REST in wanted or total != rest):
        raise VerifyException(f"cannot reshape {tuple(shape)} to {tuple(wanted)}")
    return tuple(
        shape[i]
        if n == SAME
        else (like or ())[-2 - n]
        if n < REST
        else (DYNAMIC if left is None else left)
        if n == REST
        else n
        for i, n in enumerate(wanted)
    )
