"""Costs of a lowered program, from its phases alone."""

from __future__ import annotations

import numpy as np
from xdsl.ir import Block

from mohaq.backends.base import Costs, Estimate, Workload
from mohaq.backends.silago.counters import INDEX, Counts, costs, vector
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.module import keeps_program, layer_of, layers, phases, sizes, task_of
from mohaq.backends.silago.schedule.tasks import VectorTask
from mohaq.compiler.dialects import qnn
from mohaq.compiler.program import Program


def count(program: Program, fabric: Fabric, workload: Workload) -> dict[str, Counts]:
    """Counters of every layer.

    Raises:
        MohaqError: not a lowered program, or one that does not fit the tiles.
    """
    found = {name: np.zeros(len(INDEX), dtype=np.int64) for name in layers(program)}
    frames = workload.frames * workload.batch
    _block(program.entry.body.block, fabric, frames, 1, found, once=False)
    for op in program.entry.body.block.ops:
        if isinstance(op, qnn.ScanOp):
            body = op.body.block
            once = keeps_program(body, fabric)
            _block(body, fabric, workload.batch, workload.frames, found, once=once)
    return found


def _block(
    block: Block, fabric: Fabric, frames: int, times: int, found: dict[str, Counts], *, once: bool
) -> None:
    """Add the phases of a block that is executed `times` times for `frames` vectors each."""
    for op in phases(block):
        task = task_of(op, fabric)
        counts = vector(task.counts(frames))
        total = counts * times
        if isinstance(task, VectorTask):
            total = counts + vector(task.counts(frames, again=True)) * (times - 1)
        if once and task.keeps_program(frames):
            saved = (times - 1) * counts[INDEX["load_cycles"]]
            total[INDEX["load_cycles"]] -= saved
            total[INDEX["cycles"]] -= saved
        found[layer_of(op)] += total


def estimate(program: Program, fabric: Fabric, workload: Workload) -> Estimate:
    """Counts of all phases, summed by layer; phases run one after the other.

    Raises:
        MohaqError: as `count`.
    """
    each = count(program, fabric, workload)
    total = np.sum(list(each.values()), axis=0)
    priced: dict[str, Costs] = {name: costs(one, fabric) for name, one in each.items()}
    size = sum(w + v for w, v in sizes(program).values())
    return Estimate(workload, costs(total, fabric), priced, size)
