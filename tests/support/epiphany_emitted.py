"""Small networks as emitted Epiphany projects, with what the legalized program computes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from programs import one_cell, sequences

from mohaq.backends.base import Options
from mohaq.backends.epiphany import BACKEND
from mohaq.compiler.analysis.layers import layer_table
from mohaq.compiler.assignment import Slot
from mohaq.compiler.dialects.types import int_width, shape_of
from mohaq.compiler.driver.build import lower_for_target
from mohaq.compiler.driver.calibration import calibrate
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.program import Program

Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Emitted:
    """A project's folder, inputs [T, B, F] and states, and the outputs that it must have."""

    folder: Path
    inputs: tuple[Array, ...]
    expected: tuple[Array, ...]


def emit_cell(
    folder: Path, target: str, kind: str, widths: int, *, frames: int, batch: int, hidden: int = 24
) -> Emitted:
    """One recurrent layer with its states as inputs, all searched slots at one width."""
    program = one_cell(kind, inputs=10, hidden=hidden, states=True)
    calibrate(program, sequences(3, features=10, lengths=(12, 9)))
    return emit_program(program, folder, target, widths, frames=frames, batch=batch)


def emit_program(
    program: Program, folder: Path, target: str, width: int, *, frames: int, batch: int
) -> Emitted:
    """Lower a calibrated program for a target, write its project, draw inputs."""
    chip = BACKEND.load_target(target)
    slots = [Slot(row.name, s) for row in layer_table(program).layers for s in row.slots]
    legal = lower_for_target(program, BACKEND, chip, dict.fromkeys(slots, width)).legalized
    folder.mkdir(parents=True, exist_ok=True)
    BACKEND.emit(BACKEND.lower(legal.clone(), chip, Options()), folder, chip)
    draw = np.random.default_rng(11)
    inputs = []
    for number, argument in enumerate(legal.entry.body.block.args):
        shape = list(shape_of(argument))
        shape[0] = frames if number == 0 else shape[0]
        shape[-2] = batch
        most = 1 << int_width(argument)[0] - 1
        inputs.append(draw.integers(-most, most, shape))
    return Emitted(folder, tuple(inputs), tuple(run_integer(legal, inputs)))
