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
from mohaq.compiler.context import MohaqContext, store
from mohaq.compiler.program import Program


def _replace(ctx: Context, module: ModuleOp, made: Program) -> None:
    """Put a program's content into the module and context that a pass was given."""
    assert isinstance(ctx, MohaqContext)
    old, new = module.body.block, made.module.body.block
    for op in reversed(list(old.ops)):
        old.erase_op(op, safe_erase=False)
    for op in list(new.ops):
        new.detach_op(op)
        old.add_op(op)
    for name in list(ctx.parameters):
        del ctx.parameters[name]
    for name in made.parameters:
        ctx.parameters[name] = made.parameters[name]


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
        _replace(ctx, op, legalize_for(Program(op, store(ctx)), load_target(self.target)))


@dataclass(frozen=True)
class LowerToSilagoPass(ModulePass):
    """Cut a legalized program into phases: products and runs of elementwise passes."""

    name: ClassVar[str] = "lower-to-silago"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module and the context's parameters."""
        _replace(ctx, op, lower_to_phases(Program(op, store(ctx))))
