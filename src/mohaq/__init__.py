"""mohaq: a mixed-precision compiler for recurrent networks.

The workflow in Python:

    program = mohaq.load(module, example_inputs)     # or a folder, .mlir, .pt2
    mohaq.calibrate(program, sequences)
    result = mohaq.search(program, target="bitfusion-e", data=dataset, ...)
    mohaq.compile(program, "bitfusion-e", assignment, out)

Names are resolved on first use, so that importing mohaq does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

if TYPE_CHECKING:
    from mohaq.compiler.assignment import Assignment
    from mohaq.compiler.data import Dataset, load_dataset
    from mohaq.compiler.diagnostics import MohaqError
    from mohaq.compiler.driver import CompiledFolder, calibrate
    from mohaq.compiler.driver import compile_program as compile  # noqa: A004
    from mohaq.compiler.driver.export import export_onnx
    from mohaq.compiler.frontends import load
    from mohaq.compiler.onnx_export.session import open_session as onnx_session
    from mohaq.compiler.program import Program
    from mohaq.compiler.qat import retrain
    from mohaq.compiler.search.search import search

_PUBLIC = {
    "Assignment": ("mohaq.compiler.assignment", "Assignment"),
    "CompiledFolder": ("mohaq.compiler.driver", "CompiledFolder"),
    "Dataset": ("mohaq.compiler.data", "Dataset"),
    "MohaqError": ("mohaq.compiler.diagnostics", "MohaqError"),
    "Program": ("mohaq.compiler.program", "Program"),
    "calibrate": ("mohaq.compiler.driver", "calibrate"),
    "compile": ("mohaq.compiler.driver", "compile_program"),
    "export_onnx": ("mohaq.compiler.driver.export", "export_onnx"),
    "load": ("mohaq.compiler.frontends", "load"),
    "load_dataset": ("mohaq.compiler.data", "load_dataset"),
    "onnx_session": ("mohaq.compiler.onnx_export.session", "open_session"),
    "retrain": ("mohaq.compiler.qat", "retrain"),
    "search": ("mohaq.compiler.search.search", "search"),
}

__all__ = [
    "Assignment",
    "CompiledFolder",
    "Dataset",
    "MohaqError",
    "Program",
    "calibrate",
    "compile",
    "export_onnx",
    "load",
    "load_dataset",
    "onnx_session",
    "retrain",
    "search",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mohaq' has no attribute '{name}'")
    module, attribute = _PUBLIC[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
