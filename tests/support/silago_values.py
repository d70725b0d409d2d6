"""Programs of SiLago with data: emitted folders and inputs for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import Options, Target
from mohaq.backends.silago import BACKEND
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.program import Program
from mohaq.passes.apply_assignment import annotate
from mohaq.passes.lower_to_qnn import lower_to_qnn

Inputs = list[npt.NDArray[np.int64]]


def legalized(program: Program, name: str, bits: int) -> tuple[Program, Target]:
    """The program with one width everywhere, in the arithmetic of a target."""
    target = BACKEND.load_target(name)
    table = BACKEND.obeyed(calibrated_table(program), target)
    quantized = program.clone()
    annotate(quantized, table, table.layer_grids(dict.fromkeys(table.searched(), bits)))
    return BACKEND.legalize(lower_to_qnn(quantized), target), target


def emitted(program: Program, name: str, bits: int, folder: Path) -> tuple[Program, Program]:
    """(legalized, lowered) of a program that was written to a folder."""
    legal, target = legalized(program, name, bits)
    legal.verify()
    lowered = BACKEND.lower(legal, target, Options())
    lowered.verify()
    BACKEND.emit(lowered, folder, target)
    return legal, lowered


def random_inputs(program: Program, steps: int, batch: int, seed: int = 0) -> Inputs:
    """Full-range integers [steps, batch, features]."""
    features = int(program.entry.args[0].type.get_shape()[-1])  # type: ignore[attr-defined]
    rng = np.random.default_rng(seed)
    return [rng.integers(-(1 << 15), 1 << 15, (steps, batch, features))]
