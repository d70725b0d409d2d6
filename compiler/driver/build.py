"""From a calibrated program to an emitted folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mohaq.backends.base import Backend, Estimate, Options, Target, Workload
from mohaq.backends.registry import find_target
from mohaq.compiler.analysis.storage import CalibratedTable, calibrated_table
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.driver.device import device_check, with_entry_clips
from mohaq.compiler.driver.figures import estimate_json
from mohaq.compiler.driver.host import host_plan
from mohaq.compiler.driver.names import (
    AFTER,
    BEFORE,
    EMITTED,
    LEGALIZED,
    MANIFEST,
    SCHEMA,
    TARGET_FILE,
)
from mohaq.compiler.files import dump_json, replacing_folder, write_bytes, write_text
from mohaq.compiler.partition import partition
from mohaq.compiler.program import Program, argument_grids, result_grids
from mohaq.passes.apply_assignment import annotate
from mohaq.passes.lower_to_qnn import lower_to_qnn


@dataclass(frozen=True)
class Lowered:
    """The stages between the float program and the backend's own dialect."""

    quantized: Program
    neutral: Program
    legalized: Program


@dataclass(frozen=True)
class Compiled:
    """A compiled folder and what was estimated for it."""

    folder: Path
    target: str
    estimate: Estimate

    def __repr__(self) -> str:
        total = self.estimate.total
        time = f"{total.cycles} cycles" if total.seconds is None else f"{total.seconds:.3g} s"
        return (
            f"Compiled({self.folder}, {self.target}: {time}, "
            f"{total.joules:.3g} J, {self.estimate.size_bytes} bytes)"
        )

    def _repr_html_(self) -> str:
        """For notebooks: the estimate as a table."""
        from mohaq.compiler.driver.notebook import compiled_html

        return compiled_html(self)


def lower_for_target(
    program: Program,
    backend: Backend,
    target: Target,
    widths: Mapping[Slot, int],
    *,
    calibrated: CalibratedTable | None = None,
) -> Lowered:
    """Annotate, lower to integers and legalize a calibrated program (left alone).

    Raises:
        MohaqError: not calibrated, or the widths are not legal on the target.
    """
    table = backend.obeyed(calibrated or calibrated_table(program), target)
    backend.require_legal(table.table, target, widths)
    quantized = program.clone()
    annotate(quantized, table, table.layer_grids(widths))
    neutral = lower_to_qnn(quantized)
    return Lowered(quantized, neutral, backend.legalize(neutral.clone(), target))


def compile_program(
    program: Program,
    target: str,
    assignment: Assignment,
    out: str | Path,
    *,
    name: str = "model",
    workload: Workload | None = None,
    options: Options | None = None,
    progress: Callable[[str], None] | None = None,
) -> Compiled:
    """Compile a calibrated `nn` program for a target into a folder.

    Args:
        program: calibrated for the widths of the assignment. What the target cannot run is cut
            off and runs on the host, before and after the part on the target.
        target: name of a target, or the path of its TOML file.
        assignment: widths; a default covers slots that it does not name.
        out: folder to write; an earlier compiled folder is replaced only on success.
        name: of the model, for reports.
        workload: what the estimate is for (default: 100 frames, one sequence).
        options: timing and scheduling.
        progress: told the name of each stage as it starts.

    Raises:
        MohaqError: anything that keeps the program from compiling; `out` is left as it was.
    """
    out = Path(out)
    backend, machine = find_target(target)
    workload, options = workload or Workload(100), options or Options()
    say = progress or (lambda _stage: None)
    say("cut off what runs on the host")
    cut = partition(program, device_check(backend, machine))
    core = cut.core if cut.whole else with_entry_clips(cut.core)
    table = backend.obeyed(calibrated_table(core), machine)
    widths = assignment.complete(table.searched())
    say("lower to integers")
    lowered = lower_for_target(core, backend, machine, widths, calibrated=table)
    say(f"lower to {backend.name}")
    device = backend.lower(lowered.legalized.clone(), machine, options)
    estimate = backend.estimate(device, machine, workload, options)
    stages = {
        "0-nn": program.clone(),
        "1-quantized": lowered.quantized,
        "2-qnn": lowered.neutral,
        LEGALIZED: lowered.legalized,
        f"4-{backend.name}": device,
    }
    host = {name: one for name, one in ((BEFORE, cut.before), (AFTER, cut.after)) if one}
    with replacing_folder(out, marker=MANIFEST) as work:
        for stage, one in (stages | host).items():
            say(f"write {stage}")
            one.save(work / stage)
        say("emit")
        backend.emit(device, work / EMITTED, machine)
        Assignment(widths).save(work / "assignment.json")
        write_text(work / "estimate.json", dump_json(estimate_json(estimate)))
        if machine.path is not None:
            write_bytes(work / TARGET_FILE, machine.path.read_bytes())
        entry = lowered.legalized.entry
        manifest = {
            "schema": SCHEMA,
            "model": {"name": name, "sha256": program.content_hash()},
            "backend": backend.name,
            "target": machine.name,
            "workload": asdict(workload),
            "options": asdict(options),
            "inputs": [
                {**_grid_json(grid), "shape": [None if n == DYNAMIC else n for n in shape_of(arg)]}
                for grid, arg in zip(argument_grids(entry), entry.args, strict=True)
            ],
            "outputs": [_grid_json(g) for g in result_grids(entry)],
            "stages": list(stages),
            "host": None if cut.whole else host_plan(program, cut).to_json(),
        }
        write_text(work / MANIFEST, dump_json(manifest))
    return Compiled(out, machine.name, estimate)


def _grid_json(grid: GridAttr | None) -> dict[str, Any]:
    if grid is None:
        raise MohaqError("an input or result of the program has no grid")
    return {"width": grid.bits, "scale": grid.step}
