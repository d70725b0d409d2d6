"""The stages of a compilation: their names, the passes in them, the folders of their programs."""

from __future__ import annotations

from dataclasses import dataclass

from mohaq.compiler.diagnostics import MohaqError, did_you_mean


@dataclass(frozen=True)
class Stage:
    """One stage; `passes` do the same in a textual pipeline."""

    name: str
    folder: str
    passes: tuple[str, ...]

    def known_as(self) -> tuple[str, ...]:
        """What a user may call it."""
        return (self.name, *self.passes, self.folder)


IMPORT, CALIBRATE, QUANTIZE, LOWER = "import", "calibrate", "quantize", "lower"
PROGRAM = "0-nn"
"""Folder of the program that a compilation starts with: imported and calibrated."""


def stages(backend: str) -> tuple[Stage, ...]:
    """All stages for a backend, in order; the first two leave one program."""
    return (
        Stage(IMPORT, PROGRAM, ()),
        Stage(CALIBRATE, PROGRAM, ()),
        Stage(QUANTIZE, "1-quantized", ("apply-assignment", "uniform")),
        Stage("lower-to-qnn", "2-qnn", ()),
        Stage("legalize", "3-legalized", (f"legalize-for-{backend}",)),
        Stage(LOWER, f"4-{backend}", (f"lower-to-{backend}",)),
    )


def folders(backend: str) -> tuple[str, ...]:
    """Folders of the programs, in order."""
    return tuple(dict.fromkeys(s.folder for s in stages(backend)))


def stage_named(text: str, backend: str = "TARGET") -> Stage:
    """A stage by its name, one of its passes or its folder (`0-nn`: calibrated).

    Raises:
        MohaqError: nothing is called so.
    """
    every = stages(backend)
    for stage in reversed(every):
        if text in stage.known_as():
            return stage
    known = [name for stage in every for name in stage.known_as()]
    raise MohaqError(f"no stage '{text}'", hint=did_you_mean(text, known))
