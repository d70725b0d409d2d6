"""`legalize-for-bitfusion` and `lower-to-bitfusion` for textual pipelines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Region
from xdsl.passes import ModulePass

from mohaq.backends.base import Options, Target, options_of
from mohaq.backends.bitfusion.legalize import legalize
from mohaq.backends.bitfusion.lowering.build import DEFAULT_MAX_ROWS, build
from mohaq.backends.bitfusion.machine import load_target, machine_of
from mohaq.backends.bitfusion.module import to_program_op
from mohaq.backends.bitfusion.options import check_options
from mohaq.compiler.context import store
from mohaq.compiler.dialects.param import DeclareOp
from mohaq.compiler.dialects.qnn.table import TableOp
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.program import ENTRY, Program, take_over

DEFAULT_TARGET = "bitfusion-e"


def lower(
    program: Program, target: Target, options: Options, max_rows: int = DEFAULT_MAX_ROWS
) -> Program:
    """Lower a legalized program to the `bitfusion` dialect; parameters and tables stay.

    Raises:
        MohaqError: something the target cannot run, unknown options.
    """
    check_options(options)
    work = program.clone()
    lowered = build(work, machine_of(target), options.prefer, max_rows)
    used = {r.source for r in lowered.regions}
    kept = [
        op.clone()
        for op in work.module.body.block.ops
        if isinstance(op, (DeclareOp, TableOp)) and op.sym_name.data in used
    ]
    body = Block([to_program_op(lowered, target.name, max_rows), ReturnOp()])
    module = ModuleOp([*kept, FuncOp(ENTRY, ([], []), Region(body))])
    names = {op.sym_name.data for op in kept if isinstance(op, DeclareOp)}
    held = {n: program.parameters[n] for n in names if n in program.parameters}
    return Program(module, ParameterStore(held))


@dataclass(frozen=True)
class LegalizeForBitfusionPass(ModulePass):
    """Rewrite a neutral qnn program into Bit Fusion's arithmetic.

    Splits 16-bit operands into 8-bit passes, proves every accumulator in 32 bits and gives
    multipliers 15 bits.

    Options: target = the machine, a name or a target file.
    """

    name: ClassVar[str] = "legalize-for-bitfusion"
    target: str = DEFAULT_TARGET

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module and the context's parameters."""
        load_target(self.target)
        take_over(ctx, op, legalize(Program(op, store(ctx))))


@dataclass(frozen=True)
class LowerToBitfusionPass(ModulePass):
    """Schedule a legalized program on Bit Fusion and turn it into instructions.

    Options: target = the machine; max_rows = most steps times sequences of a run; prefer =
    latency | energy | balanced.
    """

    name: ClassVar[str] = "lower-to-bitfusion"
    target: str = DEFAULT_TARGET
    max_rows: int = DEFAULT_MAX_ROWS
    prefer: str = "latency"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module and the context's parameters."""
        options, target = options_of(self.prefer), load_target(self.target)
        made = lower(Program(op, store(ctx)), target, options, self.max_rows)
        take_over(ctx, op, made)
