"""Inputs of an ONNX model: arguments of the program, or values fixed at import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.types import DYNAMIC
from mohaq.compiler.frontends.onnx.convert import FLOATS, INTEGERS, Array, GraphImporter
from mohaq.compiler.frontends.refuse import shown

LARGEST_INPUT = 1 << 40
"""Elements that the fixed extents of an input may have; more is damage."""

TRUTH = {onnx.TensorProto.BOOL}
"""Truth values are real numbers 0 and 1 in a program."""

LISTED = 20
"""Names that a hint lists."""


def set_inputs(
    work: GraphImporter, graph: onnx.GraphProto, constants: Mapping[str, Any], where: str
) -> None:
    """Give every input of the graph its argument or its fixed value.

    Args:
        work: the importer, empty.
        graph: the model's.
        constants: value of an input by its name, extent by its name or as `input.axis`.
        where: for messages.

    Raises:
        MohaqError: a name that the model does not have, a value that does not fit, an input of
            a kind that programs do not take.
    """
    initial = {t.name for t in graph.initializer}
    inputs = [i for i in graph.input if i.name not in initial]  # old opsets list both
    sizes = {
        name
        for i in inputs
        for n, d in enumerate(i.type.tensor_type.shape.dim)
        if not d.HasField("dim_value")
        for name in (d.dim_param, f"{i.name}.{n}")
        if name
    }
    unknown = sorted(set(constants) - {i.name for i in graph.input} - sizes)
    if unknown:
        names = [f"'{shown(n)}'" for n in (*(i.name for i in inputs), *sorted(sizes))]
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        raise MohaqError(
            f"the model has no input or symbolic size '{shown(unknown[0])}'",
            where=where,
            hint=f"it has {', '.join(names[:LISTED])}{more}",
        )
    for info in graph.input:
        place = f"{where}: input '{shown(info.name)}'"
        if info.name in constants:
            work.values[info.name] = _value(info, constants[info.name], place)
        elif info.name not in initial:
            _argument(work, info, constants, place)


def _value(info: onnx.ValueInfoProto, given: Any, place: str) -> Array:
    """A fixed value with the type and the shape of its input."""
    kind = info.type.tensor_type.elem_type
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind) if kind else np.dtype(np.float32)
        said = np.asarray(given)
        value = said.astype(dtype)
        if dtype.kind in "iu" and not np.array_equal(value, said):
            raise ValueError(f"{shown(str(given))} is no {dtype.name}")
    except (TypeError, ValueError, OverflowError, KeyError) as error:
        raise MohaqError("cannot be fixed to this value", where=place, why=str(error)) from None
    wanted = [
        d.dim_value if d.HasField("dim_value") else None for d in info.type.tensor_type.shape.dim
    ]
    if info.type.tensor_type.HasField("shape") and not _fits(value.shape, wanted):
        if value.size != 1 or any(n not in (1, None) for n in wanted):
            raise MohaqError(
                "cannot be fixed to this value",
                where=place,
                why=f"its shape is {list(value.shape)}, expected "
                f"[{', '.join('?' if n is None else str(n) for n in wanted)}]",
            )
        value = value.reshape([1] * len(wanted))  # one number is enough for one element
    return value


def _fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(
        want in (None, size) for size, want in zip(shape, wanted, strict=True)
    )


def _argument(
    work: GraphImporter, info: onnx.ValueInfoProto, constants: Mapping[str, Any], place: str
) -> None:
    kind = info.type.tensor_type.elem_type
    if not info.type.HasField("tensor_type") or kind not in FLOATS | INTEGERS | TRUTH:
        raise MohaqError(
            "an input must hold real or 64-bit whole numbers, or truth values",
            where=place,
            why=_kind_name(info),
            hint="fix it with constants={...} (--set NAME=VALUE); a quantized model must begin "
            "with QuantizeLinear of a real input",
        )
    if not info.type.tensor_type.HasField("shape"):
        raise MohaqError("the number of extents is not known", where=place)
    shape: list[int] = []
    names: list[str | None] = []
    fixed = 1
    for axis, dim in enumerate(info.type.tensor_type.shape.dim):
        known = dim.HasField("dim_value") and dim.dim_value != -1  # as some exporters say "any"
        if known and dim.dim_value < 1:
            raise MohaqError("a size is zero or negative", where=place)
        said = next((n for n in (f"{info.name}.{axis}", dim.dim_param) if n in constants), None)
        if said is not None and not known:
            shape.append(_extent(constants[said], said, place))
        else:
            shape.append(dim.dim_value if known else DYNAMIC)
        fixed *= max(shape[-1], 1)
        # A size without a name can be fixed by its place, so messages call it that.
        names.append(dim.dim_param or f"{info.name}.{axis}")
    if fixed > LARGEST_INPUT:
        raise MohaqError("the input is too large", where=place, why=f"{fixed} elements")
    value = work.net.argument(shape, name=info.name, indices=kind in INTEGERS)
    work.extents.name(value, names)
    work.values[info.name] = value


def _kind_name(info: onnx.ValueInfoProto) -> str:
    if not info.type.HasField("tensor_type"):
        return "no tensor"
    try:
        return str(onnx.TensorProto.DataType.Name(info.type.tensor_type.elem_type)).lower()
    except ValueError:
        return f"element type {info.type.tensor_type.elem_type}"


def _extent(value: Any, name: str, place: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 31:
        return value
    raise MohaqError(f"the size '{shown(name)}' must be a positive whole number", where=place)
