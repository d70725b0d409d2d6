"""`legalize-for-epiphany` and `lower-to-epiphany`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from mohaq.backends.base import Options, Target, options_of
from mohaq.backends.epiphany.analyzer import kernel_cycles
from mohaq.backends.epiphany.legalize import MULTIPLIER_BITS, legalize
from mohaq.backends.epiphany.lowering.stages import build
from mohaq.backends.epiphany.machine import load_target, machine_of
from mohaq.backends.epiphany.module import to_program_op
from mohaq.backends.epiphany.options import check_options
from mohaq.backends.epiphany.plan.program import plan_program, table_bytes
from mohaq.backends.epiphany.plan.shapes import shape_of_stage
from mohaq.compiler.context import store
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.program import Program, take_over

DEFAULT_TARGET = "epiphany-e16"


def cycles_of(name: str, columns: int) -> int:
    """Cycles of a kernel call, from the shipped assembly."""
    return kernel_cycles(f"mohaq_{name}", columns)


def lower(program: Program, target: Target, options: Options) -> Program:
    """Plan a legalized program and put its schedule beside it.

    Raises:
        MohaqError: something the target cannot run, a layer that does not fit, unknown options.
    """
    check_options(options)
    _require_legalized(program)
    machine = machine_of(target)
    made = program.clone()
    staged = build(made, machine.cores)
    shapes = [shape_of_stage(s) for s in staged.stages]
    points = [len(p) for p in staged.tables.values()]
    plan = plan_program(shapes, machine, table_bytes(points), cycles_of)
    size = plan.bytes + sum(2 * n for n in points)
    made.module.body.block.add_op(to_program_op(plan, target.name, machine.cores, size))
    return made


def _require_legalized(program: Program) -> None:
    """The kernels multiply in 32 bits; a wider multiplier would lose bits there."""
    for op in program.entry.body.walk():
        if isinstance(op, qnn.RequantizeOp) and any(m >> MULTIPLIER_BITS for m, _ in op.scales()):
            raise MohaqError(
                f"a multiplier has more than {MULTIPLIER_BITS} bits",
                hint="run legalize-for-epiphany first",
            )


@dataclass(frozen=True)
class LegalizeForEpiphanyPass(ModulePass):
    """Rewrite a neutral qnn program into Epiphany's arithmetic.

    Proves every sum in 32 bits or gives it a pair, splits 16-bit activations in front of 16-bit
    weights and gives multipliers 15 bits.

    Options: target = the machine, a name or a target file.
    """

    name: ClassVar[str] = "legalize-for-epiphany"
    target: str = DEFAULT_TARGET

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module and the context's parameters."""
        load_target(self.target)
        take_over(ctx, op, legalize(Program(op, store(ctx))))


@dataclass(frozen=True)
class LowerToEpiphanyPass(ModulePass):
    """Schedule a legalized program on the cores of an Epiphany chip.

    Options: target = the machine; prefer = latency | energy | balanced, which here are the same
    schedule.
    """

    name: ClassVar[str] = "lower-to-epiphany"
    target: str = DEFAULT_TARGET
    prefer: str = "latency"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Add the schedule to the module."""
        options, target = options_of(self.prefer), load_target(self.target)
        made = lower(Program(op, store(ctx)), target, options)
        take_over(ctx, op, made)
