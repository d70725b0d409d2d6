"""Importers: from the user's model file to the `nn` dialect."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xdsl.transforms.canonicalize import CanonicalizePass

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.program import Program

if TYPE_CHECKING:
    import onnx
    import torch


def load(
    source: str | Path | torch.nn.Module | onnx.ModelProto,
    example_inputs: tuple[Any, ...] | None = None,
    *,
    constants: Mapping[str, Any] | None = None,
) -> Program:
    """A program from a torch module, a `.pt2` or `.onnx` file, a program folder or a `.mlir` file.

    Args:
        source: the module, the ONNX model or the path.
        example_inputs: for a module: tensors as it is called with.
        constants: for ONNX: values of graph inputs that are fixed at import, by name, e.g. the
            sampling rate that an `If` of the model asks for.

    Raises:
        MohaqError: unknown kind of file, or a model that cannot be imported.
    """
    if not isinstance(source, (str, Path)):
        import onnx

        if isinstance(source, onnx.ModelProto):
            from mohaq.compiler.frontends.onnx import import_model

            return _tidy(import_model(source, constants))
        from mohaq.compiler.frontends.pytorch import import_module

        _no_constants(constants, type(source).__name__)
        if example_inputs is None:
            raise MohaqError(
                "a torch module needs example inputs",
                hint="mohaq.load(module, (torch.zeros(16, 1, features),))",
            )
        return _tidy(import_module(source, example_inputs))
    path = Path(source)
    if path.suffix == ".onnx":
        from mohaq.compiler.frontends.onnx import import_file as import_onnx

        return _tidy(import_onnx(path, constants))
    _no_constants(constants, str(path))
    if path.suffix == ".pt2":
        from mohaq.compiler.frontends.pytorch import import_file

        return _tidy(import_file(path))
    if path.is_dir() or path.suffix == ".mlir":
        return Program.load(path)
    if not path.exists():
        raise MohaqError("no such model", where=str(path))
    raise MohaqError(
        f"cannot import a '{path.suffix or 'nameless'}' file",
        where=str(path),
        hint="models come as .onnx, .pt2 (torch.export), a program folder or .mlir",
    )


def _tidy(program: Program) -> Program:
    """Without the moves that cancel, as exporters leave many; written-out cells and sequences made whole."""
    from mohaq.compiler.analysis.cells import recognize_steps
    from mohaq.compiler.analysis.rows import keep_sequences

    if recognize_steps(program):
        program.verify()
    if keep_sequences(program):
        program.verify()
    CanonicalizePass().apply(program.context(), program.module)
    program.prune_parameters()
    return program


def _no_constants(constants: Mapping[str, Any] | None, where: str) -> None:
    if constants:
        raise MohaqError("only ONNX models have inputs that can be fixed at import", where=where)
