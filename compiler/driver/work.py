"""A compilation at some stage: what it is for and the programs so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from mohaq.backends.base import Backend, Options, Target, Workload
from mohaq.backends.registry import find_target
from mohaq.compiler.analysis.storage import CalibratedTable, calibrated_table
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.driver.device import device_check, with_entry_clips
from mohaq.compiler.driver.host import HostPlan, host_plan
from mohaq.compiler.driver.names import AFTER, BEFORE
from mohaq.compiler.driver.stages import Stage, folders
from mohaq.compiler.partition import partition
from mohaq.compiler.program import Program
from mohaq.passes.apply_assignment import annotate
from mohaq.passes.lower_to_qnn import lower_to_qnn

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Work:
    """A compilation between two stages.

    Attributes:
        name: of the model, for reports.
        sha256: content hash of the calibrated program.
        backend: of the target.
        machine: the target.
        widths: of every searched slot of the part on the target.
        workload: what the estimate is for.
        options: timing and scheduling.
        plan: how values go between host and target; None: the target runs everything.
        programs: by folder, in order; never fewer than the whole one and the quantized part.
        hosts: programs that the host runs, by folder.
    """

    name: str
    sha256: str
    backend: Backend
    machine: Target
    widths: Mapping[Slot, int]
    workload: Workload
    options: Options
    plan: HostPlan | None
    programs: Mapping[str, Program]
    hosts: Mapping[str, Program]

    def facts(self) -> dict[str, Any]:
        """What the manifests of compiled and of stopped folders both say."""
        return {
            "model": {"name": self.name, "sha256": self.sha256},
            "backend": self.backend.name,
            "target": self.machine.name,
            "workload": asdict(self.workload),
            "options": asdict(self.options),
            "stages": list(self.programs),
            "host": None if self.plan is None else self.plan.to_json(),
        }


def quantized(
    program: Program,
    backend: Backend,
    target: Target,
    widths: Mapping[Slot, int],
    calibrated: CalibratedTable,
) -> Program:
    """A calibrated program (left alone) with grids that the target can take.

    Raises:
        MohaqError: the widths are not legal on the target.
    """
    table = backend.obeyed(calibrated, target)
    backend.require_legal(table.table, target, widths)
    made = program.clone()
    annotate(made, table, table.layer_grids(widths))
    return made


def start(
    program: Program,
    target: str,
    assignment: Assignment,
    *,
    name: str = "model",
    workload: Workload | None = None,
    options: Options | None = None,
    progress: Tell | None = None,
) -> Work:
    """Choose what runs on the target, and quantize it. Arguments: see `compile_program`.

    Raises:
        MohaqError: not calibrated, or the widths are not legal on the target.
    """
    say = progress or (lambda _stage: None)
    backend, machine = find_target(target)
    say("cut off what runs on the host")
    cut = partition(program, device_check(backend, machine))
    core = cut.core if cut.whole else with_entry_clips(cut.core)
    table = backend.obeyed(calibrated_table(core), machine)
    widths = assignment.complete(table.searched())
    say("quantize")
    whole, part = folders(backend.name)[:2]
    return Work(
        name,
        program.content_hash(),
        backend,
        machine,
        widths,
        workload or Workload(100),
        options or Options(),
        None if cut.whole else host_plan(program, cut),
        {whole: program.clone(), part: quantized(core, backend, machine, widths, table)},
        {folder: one for folder, one in ((BEFORE, cut.before), (AFTER, cut.after)) if one},
    )


def advanced(work: Work, last: Stage, progress: Tell | None = None) -> Work:
    """The compilation after a stage; as it is if it is there already.

    Raises:
        MohaqError: a stage refuses the program.
    """
    say = progress or (lambda _stage: None)
    backend = work.backend
    names = folders(backend.name)
    while last.folder not in work.programs:
        current = list(work.programs.values())[-1]
        match len(work.programs):
            case 2:
                say("lower to integers")
                made = lower_to_qnn(current)
            case 3:
                say(f"legalize for {backend.name}")
                made = backend.legalize(current.clone(), work.machine)
            case _:
                say(f"lower to {backend.name}")
                made = backend.lower(current.clone(), work.machine, work.options)
        work = replace(work, programs={**work.programs, names[len(work.programs)]: made})
    return work
