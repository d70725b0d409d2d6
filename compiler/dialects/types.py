"""Small typed helpers around xDSL's tensor and integer types."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    Float32Type,
    IntegerType,
    Signedness,
    TensorType,
    f32,
)
from xdsl.ir import Attribute, SSAValue
from xdsl.utils.exceptions import VerifyException

DYNAMIC = DYNAMIC_INDEX
"""The symbolic extent (`?`): time and batch are never fixed in a program."""


def int_type(width: int, *, signed: bool = True) -> IntegerType:
    """`si<width>` or `ui<width>`."""
    return IntegerType(width, Signedness.SIGNED if signed else Signedness.UNSIGNED)


def int_tensor(shape: Sequence[int], width: int, *, signed: bool = True) -> TensorType[Attribute]:
    """An integer tensor type; `DYNAMIC` marks symbolic extents."""
    return TensorType(int_type(width, signed=signed), list(shape))


def float_tensor(shape: Sequence[int]) -> TensorType[Attribute]:
    """A float32 tensor type; `DYNAMIC` marks symbolic extents."""
    return TensorType(f32, list(shape))


def shape_of(value: SSAValue) -> tuple[int, ...]:
    """Shape of a tensor value, with `DYNAMIC` for symbolic extents.

    Raises:
        VerifyException: the value is not a tensor.
    """
    return _tensor(value).get_shape()


def _tensor(value: SSAValue) -> TensorType[Attribute]:
    """The type of a tensor value; `isa` with a parameter costs a third of compiling a layer."""
    kind = value.type
    if not isinstance(kind, TensorType):
        raise VerifyException(f"expected a tensor, got {kind}")
    return kind


def element_of(value: SSAValue) -> Attribute:
    """Element type of a tensor value.

    Raises:
        VerifyException: the value is not a tensor.
    """
    return _tensor(value).element_type


def int_width(value: SSAValue) -> tuple[int, bool]:
    """(bits, signed) of an integer tensor value.

    Raises:
        VerifyException: not an integer tensor, or signless (`i8` instead of `si8`).
    """
    element = element_of(value)
    if not isinstance(element, IntegerType):
        raise VerifyException(f"expected an integer tensor, got elements of {element}")
    if element.signedness.data is Signedness.SIGNLESS:
        raise VerifyException(f"integers must be signed or unsigned, got {element}")
    return element.width.data, element.signedness.data is Signedness.SIGNED


def fits(shape: Sequence[int], expected: Sequence[int]) -> bool:
    """Whether two shapes may be the same; `DYNAMIC` fits any extent."""
    return len(shape) == len(expected) and all(
        a == b or DYNAMIC in (a, b) for a, b in zip(shape, expected, strict=True)
    )


def index_tensor(shape: Sequence[int]) -> TensorType[Attribute]:
    """A tensor of 64-bit indices (token numbers, sequence lengths)."""
    return int_tensor(shape, 64)


def require_index(value: SSAValue) -> None:
    """Check for a tensor of 64-bit signed integers.

    Raises:
        VerifyException: it is something else.
    """
    if int_width(value) != (64, True):
        raise VerifyException(f"expected a tensor of si64 indices, got {value.type}")


def require_f32(value: SSAValue) -> None:
    """Check for a float32 tensor.

    Raises:
        VerifyException: it is something else.
    """
    if not isinstance(element_of(value), Float32Type):
        raise VerifyException(f"expected a float32 tensor, got {value.type}")


def require_same_shape(*values: SSAValue) -> None:
    """Check that all values have one shape.

    Raises:
        VerifyException: they differ.
    """
    if len({shape_of(value) for value in values}) != 1:
        raise VerifyException("operand and result shapes differ")


def int_range(width: int, *, signed: bool = True) -> tuple[int, int]:
    """Smallest and largest value of an integer type."""
    return (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
