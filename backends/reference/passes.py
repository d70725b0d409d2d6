"""`legalize-for-reference` and `lower-to-reference` for textual pipelines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from mohaq.backends.base import options_of
from mohaq.backends.reference.backend import ReferenceBackend
from mohaq.backends.reference.target import load_target
from mohaq.compiler.context import store
from mohaq.compiler.program import Program, take_over

DEFAULT_TARGET = "reference"


@dataclass(frozen=True)
class LegalizeForReferencePass(ModulePass):
    """Give every product of a neutral qnn program the accumulator of the reference core.

    Options: target = the machine, a name or a target file.
    """

    name: ClassVar[str] = "legalize-for-reference"
    target: str = DEFAULT_TARGET

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module."""
        target = load_target(self.target)
        take_over(ctx, op, ReferenceBackend().legalize(Program(op, store(ctx)), target))


@dataclass(frozen=True)
class LowerToReferencePass(ModulePass):
    """Note layer and width on every product and recurrence of a legalized program.

    Options: target = the machine; prefer = latency | energy | balanced, which here are the same.
    """

    name: ClassVar[str] = "lower-to-reference"
    target: str = DEFAULT_TARGET
    prefer: str = "latency"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Annotate the module."""
        options, target = options_of(self.prefer), load_target(self.target)
        take_over(ctx, op, ReferenceBackend().lower(Program(op, store(ctx)), target, options))
