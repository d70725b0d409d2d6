"""Which grids the layers of a program train on: widths, clips, what the target can take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mohaq.backends.registry import find_target
from mohaq.compiler.analysis.storage import CalibratedTable, LayerGrids, calibrated_table
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.driver.device import device_check, integer_check, with_entry_clips
from mohaq.compiler.driver.host import HostPlan, host_plan
from mohaq.compiler.partition import Check, partition
from mohaq.compiler.program import Program


@dataclass(frozen=True)
class Grids:
    """The part of a program that has integers, and its grids.

    Attributes:
        core: that part.
        plan: how values go between it and the host.
        whole: whether it is all of the program.
        table: its layers and clips.
        widths: of every searched slot.
        layers: layer -> grids.
    """

    core: Program
    plan: HostPlan
    whole: bool
    table: CalibratedTable
    widths: Mapping[Slot, int]
    layers: Mapping[str, LayerGrids]


def grids_of(program: Program, assignment: Assignment, target: str | Path | None) -> Grids:
    """The grids under an assignment.

    Args:
        program: calibrated `nn` program, left alone.
        assignment: widths; a default covers slots that it does not name.
        target: whose rules for scales count and whose layers; None: everything that has an
            integer form, any scale.

    Raises:
        MohaqError: not calibrated for these widths, unknown slots, no layer for the target.
    """
    check: Check = integer_check
    backend, machine = (None, None) if target is None else find_target(str(target))
    if backend is not None and machine is not None:
        check = device_check(backend, machine)
    cut = partition(program, check)
    core = cut.core if cut.whole else with_entry_clips(cut.core)
    table = calibrated_table(core)
    if backend is not None and machine is not None:
        table = backend.obeyed(table, machine)
    widths = assignment.complete(table.searched())
    if backend is not None and machine is not None:
        backend.space(table.table, machine).encode(widths)  # refuses what is not legal
    plan = host_plan(program, cut)
    return Grids(core, plan, cut.whole, table, widths, table.layer_grids(widths))
