"""Costs of a lowered program, from its schedule alone."""

from __future__ import annotations

from collections.abc import Sequence

from mohaq.backends.base import Estimate, Workload
from mohaq.backends.epiphany.costs import KernelCycles, breakdown, costs, counters, summed
from mohaq.backends.epiphany.counters import Counts, added
from mohaq.backends.epiphany.machine import Machine
from mohaq.backends.epiphany.module import program_op, read_plan
from mohaq.backends.epiphany.plan.counts import Counter
from mohaq.backends.epiphany.plan.tiles import StagePlan
from mohaq.compiler.program import Program


def estimate(
    program: Program, machine: Machine, workload: Workload, cycles: KernelCycles
) -> Estimate:
    """Counts of all stages, added up by layer; layers run one after the other.

    Raises:
        MohaqError: not a lowered program.
    """
    op = program_op(program.module)
    plan = read_plan(op, machine)
    rows = layer_counters(plan.stages, machine, workload, cycles)
    layers = {name: costs(row, machine) for name, row in rows.items()}
    return Estimate(workload, costs(summed(rows), machine), layers, op.size.value.data)


def layer_counters(
    stages: Sequence[StagePlan], machine: Machine, workload: Workload, cycles: KernelCycles
) -> dict[str, dict[str, int]]:
    """{layer: counters} of planned stages."""
    found = layer_counts(stages, machine, workload)
    return {name: counters(one, breakdown(one, machine, cycles)) for name, one in found.items()}


def layer_counts(
    stages: Sequence[StagePlan], machine: Machine, workload: Workload
) -> dict[str, Counts]:
    """{layer: what every core does} of planned stages."""
    counter, found = Counter(machine), dict[str, Counts]()
    for stage in stages:
        if not stage.shape.outputs:
            continue  # it only carries a state to its end, which counts with loading
        mine = counter.stage(stage, workload.frames, workload.batch)
        name = stage.shape.name
        found[name] = added(found[name], mine) if name in found else mine
    return found
