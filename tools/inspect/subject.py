"""What the user names: a program, a compiled folder, the run of a search, an assignment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.driver import EMITTED, LEGALIZED, MANIFEST, CompiledFolder, find_start
from mohaq.compiler.driver.names import STOPPED
from mohaq.compiler.files import read_json
from mohaq.compiler.program import MODULE_FILE, Program
from mohaq.compiler.search.front import FRONT_FILE
from mohaq.tools.inspect.stream import reading
from mohaq.tools.pipelines import full_context
from mohaq.tools.report.load import load_report
from mohaq.tools.report.model import Report
from mohaq.tools.sources import load_model

PARSED_BYTES = 1 << 21
"""Programs with a longer text are counted line by line instead of being read into memory."""

WHOLE, QUANTIZED = "0-nn", "1-quantized"


@dataclass(frozen=True)
class ProgramSubject:
    """A program; `path` is its text where it has one, `program` None where that is too long."""

    title: str
    program: Program | None
    path: Path | None = None


@dataclass
class CompiledSubject:
    """A compiled folder; stages are loaded when they are looked at."""

    title: str
    folder: Path
    opened: CompiledFolder
    manifest: Mapping[str, Any]
    _held: dict[str, Program] = field(default_factory=dict)

    @property
    def stages(self) -> list[str]:
        """Names of the folders with programs."""
        hosts = [n for n in ("host-before", "host-after") if (self.folder / n).is_dir()]
        return [*self.manifest["stages"], *hosts]

    @property
    def emitted(self) -> Path:
        """What the target gets."""
        return self.folder / EMITTED

    def check_stage(self, name: str) -> str:
        """The name of a stage, which may be shortened: `2`, `legalized`.

        Raises:
            MohaqError: no such stage.
        """
        found = [s for s in self.stages if name == s or name in s.split("-", 1)]
        if not found:
            raise MohaqError(
                f"no stage '{name}'", where=self.title, hint=did_you_mean(name, self.stages)
            )
        return found[0]

    def path(self, stage: str) -> Path:
        """Text of a stage."""
        return self.folder / stage / MODULE_FILE

    def is_long(self, stage: str) -> bool:
        """Whether a stage is too long to be read into memory.

        Raises:
            MohaqError: it is not there.
        """
        return _size(self.path(stage)) > PARSED_BYTES

    def program(self, stage: str) -> Program:
        """The program of a stage.

        Raises:
            MohaqError: damaged, or too long.
        """
        if stage not in self._held:
            if self.is_long(stage):
                raise _too_long(self.path(stage))
            self._held[stage] = self.opened.stage(stage)
        return self._held[stage]

    def estimate(self) -> Mapping[str, Any]:
        """What the compiler estimated, checked."""
        path = self.folder / "estimate.json"
        data: Mapping[str, Any] = _checked(path, "estimate", ("total", "layers", "workload"))
        with reading(path, "estimate"):
            _ = int(data["workload"]["frames"]), int(data["size_bytes"])
            for costs in (data["total"], *data["layers"].values()):
                _ = int(costs["cycles"]), float(costs["joules"]), float(costs["seconds"] or 0)
                _ = [int(n) for n in costs["counters"].values()]
        return data

    def widths(self) -> dict[Slot, int]:
        """Bits of every searched slot."""
        return dict(Assignment.load(self.folder / "assignment.json").widths)

    def layer_names(self) -> list[str]:
        """Layers on the target, in program order."""
        return [op.label for op in self.program(QUANTIZED).layers()]

    @property
    def lowered(self) -> str:
        """The stage in the backend's own dialect."""
        return f"4-{self.opened.backend.name}"


@dataclass(frozen=True)
class RunSubject:
    """The run of a search: its front, and the program that was searched."""

    title: str
    folder: Path
    report: Report
    program: Program


@dataclass(frozen=True)
class AssignmentSubject:
    """An assignment file."""

    title: str
    assignment: Assignment


Subject = ProgramSubject | CompiledSubject | RunSubject | AssignmentSubject


def open_subject(name: str) -> Subject:
    """Open what a user named.

    Raises:
        MohaqError: nothing of that name, or something damaged.
    """
    path = Path(name)
    title = path.name or path.resolve().name
    if path.is_dir():
        return _folder(path, title)
    if path.suffix == ".json" and path.exists():
        return _json(path, title)
    if path.suffix == ".mlir" and path.is_file():
        long = _size(path) > PARSED_BYTES
        return ProgramSubject(title, None if long else Program.load(path, full_context()), path)
    if path.is_file() and path.suffix not in {".onnx", ".pt2"}:
        raise MohaqError(
            "this file is nothing that can be inspected",
            where=name,
            hint="a program (.mlir, .onnx, .pt2), an assignment.json, or a folder that mohaq wrote",
        )
    return ProgramSubject(title, load_model(name))


def program_of(subject: Subject, stage: str | None = None) -> tuple[Program, str]:
    """The program of a subject and the name of its stage; annotated where there is a choice.

    Raises:
        MohaqError: it has none, no such stage, or it is too long.
    """
    if isinstance(subject, CompiledSubject):
        chosen = subject.check_stage(stage or QUANTIZED)
        return subject.program(chosen), chosen
    if stage is not None:
        raise MohaqError("--stage needs a compiled folder", where=subject.title)
    if isinstance(subject, AssignmentSubject):
        raise MohaqError("an assignment holds no program", where=subject.title)
    if subject.program is None:
        assert isinstance(subject, ProgramSubject)
        assert subject.path is not None
        raise _too_long(subject.path)
    return subject.program, ""


def _folder(path: Path, title: str) -> Subject:
    if (path / FRONT_FILE).is_file():
        return _run(path, title)
    if path.name == EMITTED and (path.parent / MANIFEST).is_file():
        raise MohaqError(
            "this is the emitted part of a compiled folder",
            where=str(path),
            hint=f"inspect {path.parent}",
        )
    if (path / MANIFEST).is_file():
        opened = CompiledFolder(path)
        manifest = _checked(path / MANIFEST, "manifest of a compiled folder", ("stages", "model"))
        stages = manifest["stages"]
        known = isinstance(stages, list) and all(isinstance(s, str) for s in stages)
        if not known or not {WHOLE, QUANTIZED, LEGALIZED} <= set(stages):
            raise MohaqError("the manifest is damaged", where=str(path / MANIFEST), why="stages")
        return CompiledSubject(title, path, opened, manifest)
    if (path / MODULE_FILE).is_file():
        long = _size(path / MODULE_FILE) > PARSED_BYTES
        program = None if long else Program.load(path, full_context())
        return ProgramSubject(title, program, path / MODULE_FILE)
    if (path / STOPPED).is_file():
        last = find_start(path).stage
        assert last is not None
        return _folder(path / last, f"{title}/{last}")
    raise MohaqError(
        "not a folder of mohaq",
        where=str(path),
        why=f"it has no {MODULE_FILE}, {MANIFEST} or {FRONT_FILE}",
    )


def _run(path: Path, title: str) -> RunSubject:
    return RunSubject(title, path, load_report(path), Program.load(path / "model", full_context()))


def _json(path: Path, title: str) -> Subject:
    if path.name == FRONT_FILE:
        return _run(path.parent, path.resolve().parent.name)
    return AssignmentSubject(title, Assignment.load(path))


def _checked(path: Path, what: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
    data = read_json(path, what)
    if not isinstance(data, dict) or not all(key in data for key in keys):
        raise MohaqError(f"this {what} is damaged", where=str(path), why=f"needs {', '.join(keys)}")
    return data


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise MohaqError("no program here", where=str(path), why=str(error.strerror)) from None


def _too_long(path: Path) -> MohaqError:
    return MohaqError(
        "this program is too long to be read into memory",
        where=str(path),
        why=f"its text has {_size(path):,} bytes, the limit is {PARSED_BYTES:,}",
        hint="without pictures, comparison or a value's name it is counted line by line",
    )
