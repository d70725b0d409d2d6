"""Running program segments on either engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.simulator.cycle import CycleEngine
from mohaq.backends.silago.simulator.fast import FastEngine
from mohaq.backends.silago.simulator.state import Delivery, Run, State
from mohaq.compiler.diagnostics import MohaqError

Engine = Literal["cycle", "fast"]
ENGINES: tuple[Engine, ...] = ("cycle", "fast")


def run(
    fabric: Fabric,
    programs: Mapping[tuple[int, int], Sequence[int]],
    state: State,
    *,
    engine: Engine = "fast",
    edges: int | None = None,
    log: bool = True,
    deliveries: Sequence[Delivery] = (),
) -> Run:
    """Execute one program segment; `state` is changed in place and may go on to the next one.

    Args:
        fabric: the machine.
        programs: words of 27 bits by cell; other cells stay idle.
        state: contents before the start (`reset` after power-up).
        engine: `cycle` steps in Python, `fast` is compiled; their results are equal.
        edges: observe edges 0 .. edges-1 only; by default run until all is quiet.
        deliveries: rows that come from outside while the segment runs.
        log: keep every register-file and SRAM write (the cycle engine always does).

    Raises:
        MohaqError: a cell that does not exist, an instruction whose effect is not known, a
            program that never ends, or numerics that have no values (`analytic`).
    """
    if fabric.numerics == "analytic":
        raise MohaqError(
            f"'{fabric.name}' has analytic numerics: it gives costs, no values",
            hint="choose faithful or wide_acc",
        )
    for row, col in programs:
        if not fabric.has(row, col):
            raise MohaqError(f"'{fabric.name}' has no cell ({row}, {col})")
    if engine == "cycle":
        return CycleEngine(fabric, state, programs).run(edges, deliveries)
    return FastEngine(fabric, state, programs).run(edges, log, deliveries)
