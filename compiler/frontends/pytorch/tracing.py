"""A module as an exported program: torch.export, after torch.fx where it has to be."""

from __future__ import annotations

import contextlib
import traceback
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.frontends.refuse import shown

NOT_THE_USERS = (
    str(Path(torch.__file__).parent), str(Path(__file__).parents[2]), contextlib.__file__, "<"
)  # fmt: skip
"""Where the code of torch, of the compiler and of Python's own wrappers lies."""


def export_module(module: torch.nn.Module, inputs: tuple[Any, ...]) -> ExportedProgram:
    """Export; a module that torch.export refuses is traced by torch.fx first.

    Raises:
        MohaqError: both refuse.
    """
    try:
        return torch.export.export(module, inputs, strict=False)
    except Exception as refused:  # noqa: BLE001  torch.export raises many kinds
        try:
            traced = _Tracer().trace(module)
            graph = torch.fx.GraphModule(module, traced)
            return torch.export.export(graph, inputs, strict=False)
        except Exception as error:  # noqa: BLE001
            line = _users_line(refused)
            raise MohaqError(
                "torch.export cannot export this module",
                where=type(module).__name__ + (f" ({line})" if line else ""),
                why=f"{first_line(refused)}; torch.fx: {first_line(error)}",
                hint="control flow must not depend on data, nor leave torch",
            ) from refused


class _Tracer(torch.fx.Tracer):
    """Keeps layers whole, and leaves out assertions on data: they change no value."""

    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        """Layers of torch and ours are leaves."""
        ours = type(m).__module__.startswith("mohaq.")
        return ours or super().is_leaf_module(m, module_qualified_name)

    def to_bool(self, obj: torch.fx.Proxy) -> bool:
        """What a condition on data is taken for: true in an `assert`, else refused."""
        asked = _users_frame(traceback.extract_stack())
        if asked is not None and (asked.line or "").startswith("assert "):
            return True
        return super().to_bool(obj)


def _users_line(error: BaseException) -> str | None:
    """`file.py:12` of the line of the model that an error comes from."""
    frame = _users_frame(traceback.extract_tb(error.__traceback__))
    return None if frame is None else f"{Path(frame.filename).name}:{frame.lineno}"


def _users_frame(frames: traceback.StackSummary) -> traceback.FrameSummary | None:
    """The innermost call that belongs neither to torch nor to us."""
    for frame in reversed(frames):
        if not frame.filename.startswith(NOT_THE_USERS):
            return frame
    return None


def first_line(error: BaseException) -> str:
    """The first line of a message, printable and of bounded length."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return shown(lines[0].strip()) if lines else type(error).__name__
