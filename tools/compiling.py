"""What `mohaq compile` does: load, calibrate, compile; stop, go on, and reuse what was made before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from mohaq.backends.base import Estimate, Options, Workload, options_of
from mohaq.backends.registry import find_target
from mohaq.compiler.assignment import Assignment
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.driver import (
    Held,
    Stage,
    Stopped,
    Work,
    find_start,
    finish,
    reopen,
    stage_named,
    start,
    stop,
    stop_at_program,
)
from mohaq.compiler.driver.cache import key_of
from mohaq.compiler.driver.figures import estimate_of
from mohaq.compiler.driver.fingerprint import fingerprint
from mohaq.compiler.driver.names import ESTIMATE_FILE
from mohaq.compiler.driver.stages import IMPORT, PROGRAM
from mohaq.compiler.files import read_json
from mohaq.tools.reuse import CalibratedModel, Reuse, open_cache, sha256_of
from mohaq.tools.sources import CALIBRATION, model_name

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What was asked for; None: not given. `source` is a model, or a folder to start from."""

    source: str
    out: Path
    going_on: bool = False
    target: str | None = None
    assignment: Assignment | None = None
    data: str | None = None
    clip: str | None = None
    frames: int | None = None
    prefer: str | None = None
    until: str | None = None
    cached: bool = True

    def __post_init__(self) -> None:
        """What cannot work is refused before anything is loaded."""
        _ = self.workload, self.options

    @property
    def workload(self) -> Workload | None:
        """What the estimate is for."""
        return None if self.frames is None else Workload(self.frames)

    @property
    def options(self) -> Options | None:
        """How it is scheduled."""
        return None if self.prefer is None else options_of(self.prefer)


@dataclass(frozen=True)
class Done:
    """An estimate, or where it stopped; and what was reused and made, for people."""

    estimate: Estimate | None
    stopped: Stopped | None
    note: str


def compile_order(order: Order, tell: Tell) -> Done:
    """Do what was asked.

    Raises:
        MohaqError: as `compile_program`, `reopen` and `load_model`; something is missing.
    """
    held = find_start(Path(order.source)) if order.going_on else None
    if held is not None and held.program is None:
        return _go_on(order, held, tell)
    return _Fresh(order, held, tell).run()


def _go_on(order: Order, held: Held, tell: Tell) -> Done:
    if order.data is not None or order.clip is not None:
        raise MohaqError(
            "the folder to start from is calibrated and quantized already",
            where=str(held.folder),
            hint=f"start from {held.folder / PROGRAM} to calibrate anew",
        )
    stage = None
    if order.until is not None:
        stage = stage_named(order.until, str(held.facts["backend"]))
    work = reopen(
        held,
        target=order.target,
        assignment=order.assignment,
        workload=order.workload,
        options=order.options,
        progress=tell,
    )
    if stage is not None:
        return Done(None, stop(work, order.out, stage, progress=tell), "")
    return Done(finish(work, order.out, progress=tell).estimate, None, "")


class _Fresh:
    """A compilation from a model or a program."""

    def __init__(self, order: Order, held: Held | None, tell: Tell) -> None:
        self.order, self.tell = order, tell
        self.target = order.target or (held.target if held else None)
        self.assignment = order.assignment or (held.assignment if held else None)
        self.reuse = Reuse(open_cache(tell)) if order.cached else None
        self.source = CalibratedModel(
            order.source if held is None else str(held.program),
            (held.name if held else None) or model_name(order.source),
            order.data,
            CALIBRATION.get(order.source) if held is None else held.calibration,
            order.clip,
            () if self.assignment is None else self.assignment.used(),
            self.reuse,
            tell,
        )

    def run(self) -> Done:
        """Do it."""
        out, stage, source = self.order.out, self._stage(), self.source
        if stage is not None and stage.name == IMPORT and (self.order.data or self.order.clip):
            raise MohaqError("importing takes no data", hint="stop after 'calibrate' instead")
        if stage is not None and stage.folder == PROGRAM:
            program = source.loaded() if stage.name == IMPORT else source.program()
            return self._done(
                stopped=stop_at_program(
                    program, out, stage, source.name, calibration=source.default
                )
            )
        if self.target is None:
            raise MohaqError("--target is missing", hint="mohaq targets lists them")
        if self.assignment is None:
            raise MohaqError("give either --bits or --assignment")
        find_target(self.target)  # what cannot work is refused before anything is loaded
        if stage is not None:
            return self._done(stopped=stop(self._work(), out, stage, progress=self.tell))
        if self.reuse is None:
            return self._done(finish(self._work(), out, progress=self.tell).estimate)
        key = self._key()
        if self.reuse.copied(key, out):
            self.reuse.reused.append("the compiled folder")
            return self._done(estimate_of(read_json(out / ESTIMATE_FILE, "estimate")))
        found = finish(self._work(), out, progress=self.tell)
        self.reuse.made.append("the compiled folder")
        self.reuse.store(key, self._key, out, {"model": source.sha256()})
        return self._done(found.estimate)

    def _done(self, estimate: Estimate | None = None, stopped: Stopped | None = None) -> Done:
        return Done(estimate, stopped, "" if self.reuse is None else self.reuse.note())

    def _stage(self) -> Stage | None:
        if self.order.until is None:
            return None
        if self.target is None:
            return stage_named(self.order.until)
        return stage_named(self.order.until, find_target(self.target)[0].name)

    def _work(self) -> Work:
        assert self.target is not None
        assert self.assignment is not None
        return start(
            self.source.program(),
            self.target,
            self.assignment,
            name=self.source.name,
            workload=self.order.workload,
            options=self.order.options,
            progress=self.tell,
        )

    def _key(self) -> str:
        """Of the compiled folder."""
        assert self.target is not None
        assert self.assignment is not None
        backend, machine = find_target(self.target)
        constants = {name: asdict(c) for name, c in machine.constants.items()}
        file = None if machine.path is None else sha256_of(machine.path)
        return key_of(
            "compiled",
            {
                "code": fingerprint(),
                "model": {"name": self.source.name, "sha256": self.source.sha256()},
                "backend": backend.name,
                "target": {"name": machine.name, "constants": constants, "file": file},
                "assignment": self.assignment.to_json(),
                "workload": asdict(self.order.workload or Workload(100)),
                "options": asdict(self.order.options or Options()),
            },
        )
