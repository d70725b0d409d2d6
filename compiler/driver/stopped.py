"""Folders of compilations that stopped after a stage, and going on from them.

After `import` and `calibrate` it is a program folder, as every command takes it, with the model's
name beside it. Later it is a compiled folder without what is made later: `stopped.json` instead of
`manifest.json`, the programs so far, the assignment and the target file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mohaq.backends.base import Backend, Options, Target, Workload
from mohaq.backends.registry import find_target, get_backend
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.context import MohaqContext
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.driver.build import marker_of, write_programs
from mohaq.compiler.driver.host import HostPlan
from mohaq.compiler.driver.names import (
    AFTER,
    ASSIGNMENT_FILE,
    BEFORE,
    MANIFEST,
    SCHEMA,
    STOPPED,
    STOPPED_SCHEMA,
    TARGET_FILE,
)
from mohaq.compiler.driver.stages import LOWER, PROGRAM, Stage, folders, stage_named
from mohaq.compiler.driver.work import Work, advanced, start
from mohaq.compiler.files import dump_json, read_json, replacing_folder, write_text
from mohaq.compiler.program import MODULE_FILE, Program

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Stopped:
    """A folder that a compilation stopped in, after a stage."""

    folder: Path
    stage: str


def stop(work: Work, out: Path, stage: Stage, *, progress: Tell | None = None) -> Stopped:
    """Do the stages up to one (not before the quantized program) and write a stopped folder.

    Raises:
        MohaqError: the compilation is beyond that stage; a stage refuses the program. `out` is
            left as it was.
    """
    work = advanced(work, stage, progress)
    if list(work.programs)[-1] != stage.folder:
        raise MohaqError(f"the folder to start from is beyond stage '{stage.name}'")
    with replacing_folder(Path(out), marker=marker_of(out)) as folder:
        write_programs(work, folder, progress)
        said = {"schema": STOPPED_SCHEMA, "stage": stage.name, **work.facts()}
        write_text(folder / STOPPED, dump_json(said))
    return Stopped(Path(out), stage.name)


def stop_at_program(
    program: Program, out: Path, stage: Stage, name: str, *, calibration: str | None = None
) -> Stopped:
    """Write a program folder that remembers the model's name and the data that it comes with.

    Raises:
        MohaqError: `out` is something else.
    """
    ours = MODULE_FILE if (Path(out) / MODULE_FILE).is_file() else marker_of(out)
    with replacing_folder(Path(out), marker=ours) as folder:
        program.save(folder)
        said: dict[str, Any] = {"schema": STOPPED_SCHEMA, "stage": stage.name}
        said |= {"model": {"name": name}, "calibration": calibration}
        write_text(folder / STOPPED, dump_json(said))
    return Stopped(Path(out), stage.name)


@dataclass(frozen=True)
class Held:
    """A folder to start from.

    Attributes:
        folder: that has the manifest, or is the program's own.
        stage: folder of the program to go on from; None: the folder is a program itself.
        facts: what the manifest says; empty for a program folder without one.
    """

    folder: Path
    stage: str | None
    facts: dict[str, Any]

    @property
    def program(self) -> Path | None:
        """The program to start from, where nothing has been chosen for a target yet."""
        if self.stage is None:
            return self.folder
        return self.folder / PROGRAM if self.stage == PROGRAM else None

    @property
    def name(self) -> str | None:
        """Of the model, if the folder knows."""
        model = self.facts.get("model")
        return str(model["name"]) if isinstance(model, dict) and "name" in model else None

    @property
    def calibration(self) -> str | None:
        """Data that the model comes with, if the folder knows."""
        known = self.facts.get("calibration")
        return known if isinstance(known, str) else None

    @property
    def target(self) -> str | None:
        """Target file, or name, that it was compiled for, if the folder knows."""
        held = self.folder / TARGET_FILE
        if held.is_file():
            return str(held)
        return str(self.facts["target"]) if "target" in self.facts else None

    @property
    def assignment(self) -> Assignment | None:
        """Widths that it was compiled with, if the folder knows."""
        held = self.folder / ASSIGNMENT_FILE
        return Assignment.load(held) if self.stage is not None and held.is_file() else None


def find_start(folder: Path) -> Held:
    """What a folder to start from is: stopped, compiled, a stage of these, or a program.

    Raises:
        MohaqError: none of these.
    """
    folder = Path(folder)
    if (folder / MODULE_FILE).is_file():
        above = folder.absolute().parent
        for name in (STOPPED, MANIFEST):
            if (above / name).is_file() and not (above / MODULE_FILE).is_file():
                facts = _facts(above / name)
                if folder.absolute().name in facts["stages"]:
                    return Held(above, folder.absolute().name, facts)
        facts = _facts(folder / STOPPED) if (folder / STOPPED).is_file() else {}
        return Held(folder, None, facts)
    for name in (STOPPED, MANIFEST):
        if (folder / name).is_file():
            facts = _facts(folder / name)
            return Held(folder, str(facts["stages"][-1]), facts)
    raise MohaqError(
        "nothing to start from here",
        where=str(folder),
        hint="it takes a folder of compile --stop-after, a compiled folder, a stage of one, or a "
        "program folder",
    )


def _facts(path: Path) -> dict[str, Any]:
    data = read_json(path, "manifest")
    if not isinstance(data, dict) or data.get("schema") not in {SCHEMA, STOPPED_SCHEMA}:
        raise MohaqError("not a stopped or compiled folder", where=str(path.parent))
    model, listed = data.get("model"), data.get("stages", [])
    if not isinstance(model, dict) or not isinstance(model.get("name"), str):
        raise _damaged(path, "it names no model")
    if not isinstance(listed, list) or ("backend" in data and not listed):
        raise _damaged(path, "it lists no stages")
    if "backend" in data and listed != list(folders(str(data["backend"])))[: len(listed)]:
        raise _damaged(path, f"stages {listed}")
    return {**data, "stages": listed}


def _damaged(path: Path, why: str) -> MohaqError:
    return MohaqError("the manifest is damaged", where=str(path), why=why)


def reopen(
    held: Held,
    *,
    target: str | None = None,
    assignment: Assignment | None = None,
    workload: Workload | None = None,
    options: Options | None = None,
    progress: Tell | None = None,
) -> Work:
    """The compilation that a folder holds.

    Args:
        held: with a stage (`Held.stage`).
        target: None: that of the folder. Another one can be had from the program only.
        assignment: the same.
        workload: None: that of the folder.
        options: None: those of the folder; others can be had up to the legalized program.
        progress: told the name of each stage as it starts.

    Raises:
        MohaqError: damaged; another target, width or preference than it was made with.
    """
    where = held.folder / (STOPPED if (held.folder / STOPPED).is_file() else MANIFEST)
    if held.stage is None:
        raise MohaqError("a program folder has nothing chosen yet", where=str(held.folder))
    try:
        backend = get_backend(str(held.facts["backend"]))
        recorded = Options(**held.facts["options"])
        frames = Workload(**held.facts["workload"])
        name, sha256 = str(held.facts["model"]["name"]), str(held.facts["model"]["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(where, repr(error)) from None
    widths = Assignment.load(held.folder / ASSIGNMENT_FILE).widths
    if held.stage == PROGRAM:
        return start(
            _program(held.folder / PROGRAM, backend),
            target or held.target or "",
            assignment or Assignment(widths),
            name=name,
            workload=workload or frames,
            options=options or recorded,
            progress=progress,
        )
    machine = backend.load_target(held.target or "")
    if target is not None:
        _require_target(held, machine, target)
    if assignment is not None:
        _require_widths(held, widths, assignment)
    if options is not None and options != recorded and held.stage == _last(backend):
        raise MohaqError(
            f"the program is scheduled for {recorded.prefer}, not for {options.prefer}",
            where=str(held.folder),
            hint=f"start from {held.folder / '3-legalized'}",
        )
    listed = folders(backend.name)
    kept = listed[: listed.index(held.stage) + 1]
    programs = {one: _program(held.folder / one, backend) for one in kept}
    part = programs[listed[1]].entry
    count = len(part.function_type.outputs.data)
    plan = HostPlan.of_json(held.facts.get("host"), where, inputs=len(part.args), outputs=count)
    hosts = {one: _program(held.folder / one, backend) for one in _hosts(plan)}
    work = Work(
        name, sha256, backend, machine, widths, frames, options or recorded, plan, programs, hosts
    )
    return work if workload is None else replace(work, workload=workload)


def _hosts(plan: HostPlan | None) -> list[str]:
    """Programs that the host runs by this plan."""
    if plan is None:
        return []
    sources = (*plan.core_inputs, *plan.after_inputs, *plan.results)
    parts = {source.part for source in sources}
    return [name for part, name in (("before", BEFORE), ("after", AFTER)) if part in parts]


def _last(backend: Backend) -> str:
    return stage_named(LOWER, backend.name).folder


def _program(folder: Path, backend: Backend) -> Program:
    ctx = MohaqContext()
    for dialect in backend.dialects():
        ctx.load_dialect(dialect)
    program = Program.load(folder, ctx)
    for op in program.declared().values():  # stages read programs that were never saved
        op.attributes.pop("sha256", None)
    return program


def _require_target(held: Held, machine: Target, target: str) -> None:
    _, other = find_target(target)
    facts = [(t.backend, t.name, dict(t.constants)) for t in (machine, other)]
    if facts[0] != facts[1]:
        same = machine.name == other.name
        raise MohaqError(
            f"the folder is for target '{machine.name}', not for "
            + (f"'{target}' with other constants" if same else f"'{other.name}'"),
            where=str(held.folder),
            hint=f"start from {held.folder / PROGRAM}",
        )


def _require_widths(held: Held, widths: Mapping[Slot, int], given: Assignment) -> None:
    wanted = given.complete(list(widths))
    for slot, bits in widths.items():
        if wanted[slot] != bits:
            raise MohaqError(
                f"the folder has {bits} bits for '{slot}', the assignment {wanted[slot]}",
                where=str(held.folder),
                hint=f"start from {held.folder / PROGRAM}",
            )
