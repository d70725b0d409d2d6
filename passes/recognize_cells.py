"""`recognize-cells`: recurrent cells written out in straight code become whole layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from mohaq.compiler.analysis.cells import recognize_steps
from mohaq.compiler.context import store
from mohaq.compiler.program import Program


@dataclass(frozen=True)
class RecognizeCellsPass(ModulePass):
    """Put one operation in the place of each cell that linear layers and functions spell out.

    The importers do this to every model; the pass is for programs written by hand or by others.
    What it finds is proved by numbers (`compiler/analysis/cells`), so a cell that is none of ours
    stays as it is.
    """

    name: ClassVar[str] = "recognize-cells"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Change the module and the context's parameters."""
        program = Program(op, store(ctx))
        if recognize_steps(program):
            program.prune_parameters()
