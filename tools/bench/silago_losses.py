"""Where the cycles of compiled programs go, slot by slot.

A cycle has a slot for every cell and both lanes of its datapath; all figures are cycles, as if
all slots did the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from xdsl.ir import Block

from mohaq.backends.base import Workload
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.module import keeps_program, phases, task_of
from mohaq.backends.silago.schedule.tasks import MatrixTask, VectorTask
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.program import Program

KINDS = (
    "products", "padding", "second lane idle", "between groups", "start and end of runs",
    "programs of products", "rows and refills of products",
    "elements", "issue, fetch, store of elements", "programs of elements", "rows of elements",
)  # fmt: skip

Losses = dict[str, float]


def of_program(program: Program, fabric: Fabric, workload: Workload) -> Losses:
    """Cycles by kind of a lowered program.

    Raises:
        MohaqError: they do not add up to the cycles of the estimate.
    """
    block = program.entry.body.block
    found = _block(block, fabric, workload.frames * workload.batch, 1, once=False)
    for op in block.ops:
        if isinstance(op, qnn.ScanOp):
            body = op.body.block
            once = keeps_program(body, fabric)
            add(found, _block(body, fabric, workload.batch, workload.frames, once=once))
    return found


def add(total: Losses, more: Mapping[str, float]) -> None:
    """Add cycles by kind."""
    for kind, cycles in more.items():
        total[kind] = total.get(kind, 0) + cycles


def of_task(task: MatrixTask | VectorTask, frames: int, *, again: bool = False) -> Losses:
    """Cycles by kind of a phase over a number of vectors, or of its later executions in a loop.

    Raises:
        MohaqError: as `of_program`.
    """
    if isinstance(task, VectorTask):
        counts = task.counts(frames, again=again)
    else:
        counts = task.counts(frames)
    found: Losses = {}
    others = counts["cycles"] - counts["run_cycles"] - counts["load_cycles"]
    if isinstance(task, MatrixTask):
        peak = 2 * task.fabric.cells * task.lanes
        found["products"] = counts[f"ideal_macs_{task.bits}"] / peak
        done = counts[f"macs_{task.bits}"] / peak
        found["padding"] = done - found["products"]
        operands = gaps = 0
        for vectors, times in task.batches(frames):
            for part in range(task.parts):
                run = task.run(0, part, vectors)
                operands += run.operand_edges * sum(task.runs) * times
                gaps += run.gap_edges * sum(task.runs) * times
        found["second lane idle"] = operands - done
        found["between groups"] = gaps
        found["start and end of runs"] = counts["run_cycles"] - operands - gaps
        found["programs of products"] = counts["load_cycles"]
        found["rows and refills of products"] = others
    else:
        slots = 0
        for one in task.segments:
            dealt = task.deal(one)
            slots += len(one.passes) * one.width * dealt.rounds * dealt.runs * frames
        found["elements"] = slots
        found["issue, fetch, store of elements"] = counts["run_cycles"] - slots
        found["programs of elements"] = counts["load_cycles"]
        found["rows of elements"] = others
    if round(sum(found.values())) != counts["cycles"] or min(found.values()) < 0:
        raise MohaqError(f"{dict(found)} is not {counts['cycles']} cycles")
    return found


def _block(block: Block, fabric: Fabric, frames: int, times: int, *, once: bool) -> Losses:
    total: Losses = {}
    for op in phases(block):
        task = task_of(op, fabric)
        keeps = once and task.keeps_program(frames)
        add(total, of_task(task, frames))
        for kind, cycles in of_task(task, frames, again=True).items():
            if not (keeps and kind.startswith("programs")):
                add(total, {kind: cycles * (times - 1)})
    return total
