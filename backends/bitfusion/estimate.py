"""Costs of a lowered program, from its blocks alone."""

from __future__ import annotations

import numpy as np

from mohaq.backends.base import Costs, Estimate, Workload
from mohaq.backends.bitfusion.counters import COUNTERS, costs
from mohaq.backends.bitfusion.machine import Machine
from mohaq.backends.bitfusion.module import read_module
from mohaq.backends.bitfusion.schedule.counts import count_block
from mohaq.compiler.program import Program


def estimate(program: Program, machine: Machine, workload: Workload) -> Estimate:
    """Counts of all blocks, summed by layer; blocks run one after the other.

    Raises:
        MohaqError: not a lowered program, or more rows than it was laid out for.
    """
    compiled = read_module(program.module)
    layers = {n: np.zeros(len(COUNTERS), dtype=np.int64) for n in compiled.layers}
    for block in compiled.blocks:
        layers[compiled.layers[block.layer]] += count_block(block, workload, machine)
    total = np.sum(list(layers.values()), axis=0)
    each: dict[str, Costs] = {n: costs(v, machine) for n, v in layers.items()}
    size = sum(-(-r.bits.value.data // 8) for r in compiled.regions if r.source is not None)
    return Estimate(workload, costs(total, machine), each, size)
