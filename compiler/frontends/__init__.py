"""Importers: from the user's model file to the `nn` dialect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.program import Program

if TYPE_CHECKING:
    import torch


def load(
    source: str | Path | torch.nn.Module, example_inputs: tuple[Any, ...] | None = None
) -> Program:
    """A program from a torch module, a `.pt2` file, a program folder or a `.mlir` file.

    Args:
        source: the module or the path.
        example_inputs: for a module: tensors as it is called with, time first ([T, B, F]).

    Raises:
        MohaqError: unknown kind of file, or a model that cannot be imported.
    """
    if not isinstance(source, (str, Path)):
        from mohaq.compiler.frontends.torch_export import import_module

        if example_inputs is None:
            raise MohaqError(
                "a torch module needs example inputs",
                hint="mohaq.load(module, (torch.zeros(16, 1, features),))",
            )
        return import_module(source, example_inputs)
    path = Path(source)
    if path.suffix == ".pt2":
        from mohaq.compiler.frontends.torch_export import import_file

        return import_file(path)
    if path.is_dir() or path.suffix == ".mlir":
        return Program.load(path)
    if not path.exists():
        raise MohaqError("no such model", where=str(path))
    raise MohaqError(
        f"cannot import a '{path.suffix or 'nameless'}' file",
        where=str(path),
        hint="models come as .pt2 (torch.export), a program folder or .mlir",
    )
