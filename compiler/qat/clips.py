"""Clips of a retrained program."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import DictionaryAttr

from mohaq.compiler.analysis.storage import STORED_WIDTH
from mohaq.compiler.assignment import Slot
from mohaq.compiler.clips import CalibrationSettings
from mohaq.compiler.dialects.nn import LayerOp, LinearOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.quant import ClipsAttr
from mohaq.compiler.driver import calibrate
from mohaq.compiler.program import Program

Arrays = Mapping[str, npt.NDArray[Any]]

_WEIGHTS = ("weight", "recurrent")


def with_values(program: Program, values: Arrays) -> Program:
    """A copy of a program with other values of some parameters."""
    made = program.clone()
    declared = made.declared()
    for symbol, array in values.items():
        made.parameters[symbol] = np.ascontiguousarray(array, dtype=np.float32)
        declared[symbol].attributes.pop("sha256", None)
    return made


def retrained_program(
    program: Program,
    values: Arrays,
    rounded: Arrays,
    widths: Mapping[Slot, int],
    sequences: Sequence[npt.NDArray[Any]],
    *,
    recalibrate: bool,
) -> Program:
    """The program with trained parameters, and clips that suit them.

    A weight keeps its clip at the width that it was trained for; at other widths the clip is found
    anew. Activations are measured on the network with rounded weights: those of the width trained
    for keep their clips unless `recalibrate`; the largest magnitudes at 16 bits only grow.

    Args:
        program: calibrated, left alone.
        values: {symbol: trained real values}.
        rounded: {symbol: searched weights as the integer program has them}.
        widths: that were trained for.
        sequences: to measure activations on.
        recalibrate: see above.

    Raises:
        MohaqError: a range cannot be taken.
    """
    known = {w for op in program.layers() for s in op.SEARCHED_SLOTS for w in op.clips(s)}
    settings = CalibrationSettings(tuple(sorted(known)))
    measured = with_values(program, {**values, **rounded})
    calibrate(measured, sequences, settings)
    found = {op.label: op.calibration for op in measured.layers() if op.calibration}
    made = with_values(program, values)
    for op in list(made.layers()):
        if op.calibration is None:
            continue
        slots = dict(op.calibration.data)
        for slot, old in op.calibration.data.items():
            if not isinstance(old, ClipsAttr):
                continue
            width = widths.get(Slot(op.label, slot))
            if slot in _WEIGHTS:
                slots[slot] = _of_weight(made, op, slot, old, width, settings)
                continue
            new = found[op.label].data.get(slot)
            if isinstance(new, ClipsAttr):
                slots[slot] = _of_values(op, slot, old, new, None if recalibrate else width)
        op.attributes["calibration"] = DictionaryAttr(slots)
    made.prune_parameters()
    return made


def _of_values(
    op: LayerOp, slot: str, old: ClipsAttr, new: ClipsAttr, kept: int | None
) -> ClipsAttr:
    """Clips of an activation or a 16-bit slot."""
    before = old.clips()
    clips = {w: c for w, c in new.clips().items() if w in before}
    if kept is not None and kept in before:
        clips[kept] = before[kept]
    if STORED_WIDTH in clips and slot not in ("vector", "peephole", "projection"):
        clips[STORED_WIDTH] = max(clips[STORED_WIDTH], before[STORED_WIDTH])
    grid = op.given_grid(slot)
    if grid is not None and grid.bits in before:
        clips[grid.bits] = before[grid.bits]
    return ClipsAttr.of({**before, **clips})


def _of_weight(
    program: Program,
    op: LayerOp,
    slot: str,
    old: ClipsAttr,
    kept: int | None,
    settings: CalibrationSettings,
) -> ClipsAttr:
    """Clips of a searched weight; rows that had steps of their own get new ones."""
    owner = getattr(op, slot).owner
    assert isinstance(owner, LoadOp)
    values = program.parameters[owner.symbol]
    before, rows = old.clips(), dict(old.rows())
    grid = op.given_grid(slot)
    fixed = {w for w in (kept, None if grid is None else grid.bits) if w in before}
    others = tuple(w for w in before if w not in fixed)
    if not others:
        return old
    clips = settings.weights.clips(values, others)
    stepped = [w for w in others if w in rows]
    if stepped:
        lead = 1 if isinstance(op, LinearOp) else 3
        each = values.reshape(math.prod(values.shape[:lead]), -1)
        found = [settings.weights.clips(row, stepped) for row in each]
        for width in stepped:
            steps = np.array([row[width] for row in found]) / ((1 << (width - 1)) - 1)
            rows[width], _ = program.declare(f"{op.label}.{slot}.steps{width}", steps)
    return ClipsAttr.of({**before, **clips}, rows)
