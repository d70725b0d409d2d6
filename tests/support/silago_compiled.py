"""Programs for SiLago as the driver makes them, step by step, for tests that look at each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from programs import sequences

from mohaq.backends.base import Options, Target
from mohaq.backends.silago import BACKEND
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.program import Program, argument_grids
from mohaq.compiler.quantizer import quantize
from mohaq.passes.apply_assignment import annotate
from mohaq.passes.lower_to_qnn import lower_to_qnn

Inputs = list[npt.NDArray[np.int64]]
CASES = [
    ("silago-mohaq", 16),
    ("silago-mohaq", 8),
    ("silago-mohaq", 4),
    ("silago1-nn", 16),
    ("silago1-rtl", 16),
]


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
    features = sequences_features(program)
    rng = np.random.default_rng(seed)
    return [rng.integers(-(1 << 15), 1 << 15, (steps, batch, features))]


def sequences_features(program: Program) -> int:
    return int(program.entry.args[0].type.get_shape()[-1])  # type: ignore[attr-defined]


def neutral_and_legal(
    program: Program, legal: Program, name: str, bits: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Results of the neutral and of the legalized program on a sequence of the calibration's kind."""
    table = BACKEND.obeyed(calibrated_table(program), BACKEND.load_target(name))
    quantized = program.clone()
    annotate(quantized, table, table.layer_grids(dict.fromkeys(table.searched(), bits)))
    neutral = lower_to_qnn(quantized)
    (grid,) = argument_grids(neutral.entry)
    assert grid is not None
    x = quantize(sequences(9, features=4)[0], grid)[:, None]
    return run_integer(neutral, [x])[0], run_integer(legal, [x])[0]
