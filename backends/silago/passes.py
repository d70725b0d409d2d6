"""`legalize-for-silago` and `lower-to-silago` for textual pipelines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from mohaq.backends.silago.legalize import legalize_for
from mohaq.backends.silago.lowering import lower_to_phases
from mohaq.backends.silago.machine import load_target
from mohaq.compiler.context import store
from mohaq.compiler.program import Program, take_over


@dataclass(frozen=True)
class LegalizeForSilagoPass(ModulePass):
    """Rewrite a neutral qnn program into the arithmetic of a SiLago fabric.

    Sums saturate at 32 bits, products are shifted without rounding, sigmoid and tanh are those
    of the datapath.
    """

    name: ClassVar[str] = "legalize-for-silago"
    target: str

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module and the context's parameters."""
        take_over(ctx, op, legalize_for(Program(op, store(ctx)), load_target(self.target)))


@dataclass(frozen=True)
class LowerToSilagoPass(ModulePass):
    """Cut a legalized program into phases: products and runs of elementwise passes."""

    name: ClassVar[str] = "lower-to-silago"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module and the context's parameters."""
        take_over(ctx, op, lower_to_phases(Program(op, store(ctx))))
