"""`fold`: everything constant goes into the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.transforms.canonicalize import CanonicalizePass

from mohaq.compiler.context import store
from mohaq.compiler.program import Program
from mohaq.passes.fold_batchnorm import fold_batchnorm


@dataclass(frozen=True)
class FoldPass(ModulePass):
    """Put normalizations into the weights beside them and drop what then does nothing.

    `fold-batchnorm` between two rounds of `canonicalize`.
    """

    name: ClassVar[str] = "fold"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Change the module and the context's parameters."""
        CanonicalizePass().apply(ctx, op)
        fold_batchnorm(Program(op, store(ctx)))
        CanonicalizePass().apply(ctx, op)
