"""ONNX models: opset 7 to the newest that the installed `onnx` knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
from onnx import inliner
from onnx_ir.passes.common import TopologicalSortPass

import mohaq.compiler.frontends.onnx.control
import mohaq.compiler.frontends.onnx.dense
import mohaq.compiler.frontends.onnx.elementwise
import mohaq.compiler.frontends.onnx.quantized
import mohaq.compiler.frontends.onnx.recurrent
import mohaq.compiler.frontends.onnx.shape  # noqa: F401  the converters register themselves
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.types import DYNAMIC
from mohaq.compiler.frontends.onnx.convert import (
    BECOMES,
    FLOATS,
    INTEGERS,
    GraphImporter,
    finish,
)
from mohaq.compiler.frontends.onnx.loading import check, load_proto, opset_of
from mohaq.compiler.frontends.refuse import shown
from mohaq.compiler.program import Program


def import_file(path: Path, constants: Mapping[str, Any] | None = None) -> Program:
    """Import an `.onnx` file.

    Args:
        path: of the file; external data must lie in its folder.
        constants: values of graph inputs that are fixed at import, by name; also of symbolic
            sizes, by their name or as `input.axis`.

    Raises:
        MohaqError: damaged or unsafe file, or an operation that we do not import.
    """
    return _import(load_proto(path), constants or {}, str(path))


def import_model(model: onnx.ModelProto, constants: Mapping[str, Any] | None = None) -> Program:
    """Import a model that is already in memory (its tensors, too).

    float16, bfloat16 and float64 weights become float32, and so does the arithmetic.

    Raises:
        MohaqError: as `import_file`.
    """
    own = onnx.ModelProto()
    own.CopyFrom(model)
    where = f"model '{shown(own.graph.name)}'"
    check(own, where, None)
    return _import(own, constants or {}, where)


def supported() -> dict[str, str]:
    """ONNX operator -> what it becomes."""
    return dict(BECOMES)


def _import(model: onnx.ModelProto, constants: Mapping[str, Any], where: str) -> Program:
    opset = opset_of(model, where)
    if model.functions:
        model = inliner.inline_local_functions(model)
    graph = _sorted(model, where).graph
    work = GraphImporter(opset)
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
        names = ", ".join(f"'{shown(n)}'" for n in (*(i.name for i in inputs), *sorted(sizes)))
        raise MohaqError(
            f"the model has no input or symbolic size '{shown(unknown[0])}'",
            where=where,
            hint=f"it has {names}",
        )
    for info in inputs:
        _argument(work, info, constants, where)
    try:
        return finish(work, graph)
    except MohaqError as error:
        if error.where and not error.where.startswith(where):
            error.where = f"{where}: {error.where}"
        raise


def _sorted(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    try:
        held = onnx_ir.from_proto(model)
        TopologicalSortPass()(held)
        return onnx_ir.to_proto(held)
    except (ValueError, KeyError, TypeError, onnx_ir.passes.PassError) as error:
        first = str(error).strip().partition("\n")[0]
        raise MohaqError("the graph has no order", where=where, why=shown(first)) from None


def _argument(
    work: GraphImporter, info: onnx.ValueInfoProto, constants: Mapping[str, Any], where: str
) -> None:
    kind = info.type.tensor_type.elem_type
    place = f"{where}: input '{shown(info.name)}'"
    if info.name in constants:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind) if kind else np.dtype(np.float32)
        try:
            work.values[info.name] = np.asarray(constants[info.name], dtype=dtype)
        except (TypeError, ValueError) as error:
            raise MohaqError("cannot be fixed to this value", where=place, why=str(error)) from None
        return
    if not info.type.HasField("tensor_type") or kind not in FLOATS | INTEGERS:
        named = onnx.TensorProto.DataType.Name(kind) if kind else "no tensor"
        raise MohaqError(
            "an input must hold real or 64-bit whole numbers",
            where=place,
            why=named.lower(),
            hint="fix it with constants={...} (--set NAME=VALUE)",
        )
    if not info.type.tensor_type.HasField("shape"):
        raise MohaqError("the number of extents is not known", where=place)
    shape, names = [], []
    for axis, dim in enumerate(info.type.tensor_type.shape.dim):
        if dim.HasField("dim_value") and dim.dim_value < 1:
            raise MohaqError("a size is zero or negative", where=place)
        said = next((n for n in (f"{info.name}.{axis}", dim.dim_param) if n in constants), None)
        if said is not None and not dim.HasField("dim_value"):
            shape.append(_fixed(constants[said], said, where))
        else:
            shape.append(dim.dim_value if dim.HasField("dim_value") else DYNAMIC)
        names.append(dim.dim_param or None)
    value = work.net.argument(shape, name=info.name, indices=kind in INTEGERS)
    work.extents.name(value, names)
    work.values[info.name] = value


def _fixed(value: Any, name: str, where: str) -> int:
    if isinstance(value, int) and value > 0:
        return value
    raise MohaqError(f"the size '{shown(name)}' must be a positive whole number", where=where)


__all__ = ["import_file", "import_model", "supported"]
