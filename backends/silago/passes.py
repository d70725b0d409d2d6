"""`legalize-for-silago` and `lower-to-silago` for textual pipelines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from mohaq.backends.base import options_of
from mohaq.backends.silago.legalize import legalize_for
from mohaq.backends.silago.lowering import lower_to_phases
from mohaq.backends.silago.machine import load_target
from mohaq.backends.silago.options import check_options
from mohaq.compiler.context import store
from mohaq.compiler.program import Program, take_over

DEFAULT_TARGET = "silago1-nn"


@dataclass(frozen=True)
class LegalizeForSilagoPass(ModulePass):
    """Rewrite a neutral qnn program into the arithmetic of a SiLago fabric.

    Sums saturate at 32 bits, products are shifted without rounding, sigmoid and tanh are those
    of the datapath. Rescaling is shifting: the scales of the program must be powers of two
    (scales=power-of-two of apply-assignment and uniform).

    Options: target = the machine, a name or a target file.
    """

    name: ClassVar[str] = "legalize-for-silago"
    target: str = DEFAULT_TARGET

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module and the context's parameters."""
        take_over(ctx, op, legalize_for(Program(op, store(ctx)), load_target(self.target)))


@dataclass(frozen=True)
class LowerToSilagoPass(ModulePass):
    """Cut a legalized program into phases: products and runs of elementwise passes.

    Options: prefer = latency | energy | balanced, which here are the same phases.
    """

    name: ClassVar[str] = "lower-to-silago"
    prefer: str = "latency"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module and the context's parameters."""
        check_options(options_of(self.prefer))
        take_over(ctx, op, lower_to_phases(Program(op, store(ctx))))
