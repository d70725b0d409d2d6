"""`emit`: from a lowered program to its project folder."""

from __future__ import annotations

from pathlib import Path

from xdsl.rewriter import Rewriter

from mohaq.backends.base import Target
from mohaq.backends.epiphany.emit.blob import build_blob
from mohaq.backends.epiphany.emit.names import Unit
from mohaq.backends.epiphany.emit.project import write_project
from mohaq.backends.epiphany.lowering.nodes import Node
from mohaq.backends.epiphany.lowering.stages import build
from mohaq.backends.epiphany.machine import machine_of
from mohaq.backends.epiphany.module import program_op, read_plan
from mohaq.backends.epiphany.plan.shapes import shape_of_stage
from mohaq.compiler.analysis.ranges import find_ranges
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.program import Program


def unit_of(program: Program, target: Target) -> Unit:
    """Everything that the files of a lowered program follow from.

    Raises:
        MohaqError: no schedule, or the schedule of another program.
    """
    machine = machine_of(target)
    work = program.clone()
    op = program_op(work.module)
    plan = read_plan(op, machine)
    Rewriter.erase_op(op)
    staged = build(work, machine.cores)
    for stage, planned in zip(staged.stages, plan.stages, strict=False):
        if shape_of_stage(stage) != planned.shape:
            raise MohaqError(
                "the schedule is not that of the program", where=f"layer '{stage.layer}'"
            )
    if len(staged.stages) != len(plan.stages):
        raise MohaqError("the schedule has another number of stages than the program")
    ranges = find_ranges(work)

    def bits(node: Node) -> int:
        # Rounded up to what C has, so that layers of one structure get one text.
        exact = ranges[node.value].bits
        return next((b for b in (16, 32) if exact <= b), exact)

    return Unit(
        staged, plan, build_blob(staged.stages, plan.stages, work.parameters), machine, bits
    )


def emit(program: Program, folder: Path, target: Target) -> None:
    """Write the project of a lowered program.

    Raises:
        MohaqError: as `unit_of`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_project(unit_of(program, target), folder, f"Network for {target.name}")
