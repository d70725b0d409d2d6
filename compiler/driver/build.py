"""From a calibrated program to an emitted folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mohaq.backends.base import Backend, Estimate, Options, Target, Workload
from mohaq.compiler.analysis.storage import CalibratedTable, calibrated_table
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.driver.figures import estimate_json
from mohaq.compiler.driver.names import (
    ASSIGNMENT_FILE,
    EMITTED,
    ESTIMATE_FILE,
    LEGALIZED,
    MANIFEST,
    SCHEMA,
    STOPPED,
    TARGET_FILE,
)
from mohaq.compiler.driver.stages import LOWER, stage_named
from mohaq.compiler.driver.work import Work, advanced, quantized, start
from mohaq.compiler.files import dump_json, replacing_folder, write_bytes, write_text
from mohaq.compiler.program import Program, argument_grids, result_grids
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
    made = quantized(program, backend, target, widths, calibrated or calibrated_table(program))
    neutral = lower_to_qnn(made)
    return Lowered(made, neutral, backend.legalize(neutral.clone(), target))


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
    work = start(
        program,
        target,
        assignment,
        name=name,
        workload=workload,
        options=options,
        progress=progress,
    )
    return finish(work, Path(out), progress=progress)


def finish(work: Work, out: Path, *, progress: Callable[[str], None] | None = None) -> Compiled:
    """Do the stages that are left and write the compiled folder. Arguments as `compile_program`.

    Raises:
        MohaqError: a stage refuses the program; `out` is left as it was.
    """
    say = progress or (lambda _stage: None)
    backend, machine = work.backend, work.machine
    work = advanced(work, stage_named(LOWER, backend.name), progress)
    device = list(work.programs.values())[-1]
    estimate = backend.estimate(device, machine, work.workload, work.options)
    with replacing_folder(Path(out), marker=marker_of(out)) as folder:
        write_programs(work, folder, progress)
        say("emit")
        backend.emit(device, folder / EMITTED, machine)
        write_text(folder / ESTIMATE_FILE, dump_json(estimate_json(estimate)))
        entry = work.programs[LEGALIZED].entry
        facts = work.facts()
        plan, stages = facts.pop("host"), facts.pop("stages")
        manifest = {
            "schema": SCHEMA,
            **facts,
            "inputs": [
                {**_grid_json(grid), "shape": [None if n == DYNAMIC else n for n in shape_of(arg)]}
                for grid, arg in zip(argument_grids(entry), entry.args, strict=True)
            ],
            "outputs": [_grid_json(g) for g in result_grids(entry)],
            "stages": stages,
            "host": plan,
        }
        write_text(folder / MANIFEST, dump_json(manifest))
    return Compiled(Path(out), machine.name, estimate)


def marker_of(out: Path) -> str:
    """The file that shows that a folder is one of ours and may be replaced."""
    return STOPPED if (Path(out) / STOPPED).is_file() else MANIFEST


def write_programs(work: Work, folder: Path, progress: Callable[[str], None] | None = None) -> None:
    """Write the programs so far, the assignment and the target file."""
    for name, one in (*work.programs.items(), *work.hosts.items()):
        if progress is not None:
            progress(f"write {name}")
        one.save(folder / name)
    Assignment(work.widths).save(folder / ASSIGNMENT_FILE)
    if work.machine.path is not None:
        write_bytes(folder / TARGET_FILE, work.machine.path.read_bytes())


def _grid_json(grid: GridAttr | None) -> dict[str, Any]:
    if grid is None:
        raise MohaqError("an input or result of the program has no grid")
    return {"width": grid.bits, "scale": grid.step}
