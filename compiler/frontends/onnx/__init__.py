"""ONNX models: opset 7 to the newest that the installed `onnx` knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.program import Program


def import_file(path: Path, constants: Mapping[str, Any] | None = None) -> Program:
    """Import an `.onnx` file.

    Args:
        path: of the file; external data must lie in its folder.
        constants: values of graph inputs that are fixed at import.

    Raises:
        MohaqError: damaged or unsafe file, or an operation that we do not import.
    """
    raise MohaqError("ONNX models cannot be imported yet", where=str(path), why=f"{constants}")


def import_model(model: onnx.ModelProto, constants: Mapping[str, Any] | None = None) -> Program:
    """Import a model that is already in memory (its tensors, too).

    Raises:
        MohaqError: as `import_file`.
    """
    raise MohaqError(
        "ONNX models cannot be imported yet", where=model.graph.name, why=f"{constants}"
    )


__all__ = ["import_file", "import_model"]
