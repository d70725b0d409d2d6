"""ONNX models: opset 7 to the newest that the installed `onnx` knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

import mohaq.compiler.frontends.onnx.choice
import mohaq.compiler.frontends.onnx.control
import mohaq.compiler.frontends.onnx.dense
import mohaq.compiler.frontends.onnx.elementwise
import mohaq.compiler.frontends.onnx.loops
import mohaq.compiler.frontends.onnx.qlinear
import mohaq.compiler.frontends.onnx.quantized
import mohaq.compiler.frontends.onnx.recurrent
import mohaq.compiler.frontends.onnx.shape
import mohaq.compiler.frontends.onnx.sizes
import mohaq.compiler.frontends.onnx.windows  # noqa: F401  the converters register themselves
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.frontends.onnx.arguments import set_inputs
from mohaq.compiler.frontends.onnx.convert import BECOMES, GraphImporter, finish
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
    return _import(check(own, where, None), constants or {}, where)


def supported() -> dict[str, str]:
    """ONNX operator -> what it becomes."""
    return dict(BECOMES)


def _import(model: onnx.ModelProto, constants: Mapping[str, Any], where: str) -> Program:
    work = GraphImporter(opset_of(model, where))
    set_inputs(work, model.graph, constants, where)
    try:
        return finish(work, model.graph)
    except MohaqError as error:
        if error.where and error.where.startswith(where):
            raise
        place = f"{where}: {error.where}" if error.where else where
        raise MohaqError(error.what, where=place, why=error.why, hint=error.hint) from error


__all__ = ["import_file", "import_model", "supported"]
