"""What the slots of a program hold when its float form runs over data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.ir import SSAValue

from mohaq.compiler.clips.settings import CalibrationSettings
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.interpreters.float_nn import Tracer, run_float
from mohaq.compiler.program import Program
from mohaq.compiler.quantizer import peak_magnitude

Place = tuple[str, str]
"""(layer, slot)."""

PER_SEQUENCE = ("input", "hidden")
"""Slots with a clip for each sequence; the others only have a peak."""


@dataclass(frozen=True)
class Observed:
    """Clips and peaks of slots over all sequences.

    clips: {place: [{width: clip}, one a sequence that was not all zero]} of layer inputs and of
    what recurrent products read. peaks: largest magnitude of every place, 0 where all is zero.
    top: largest magnitude of the data.
    """

    clips: Mapping[Place, Sequence[Mapping[int, float]]]
    peaks: Mapping[Place, float]
    top: float


def observe(
    program: Program,
    sequences: Sequence[npt.NDArray[Any]],
    settings: CalibrationSettings,
    progress: Callable[[int, int], None] | None = None,
) -> Observed:
    """Run a program over sequences [T, F].

    Raises:
        MohaqError: no data, data that do not fit the program, NaN or infinity in them or in what
            becomes of them.
    """
    clips: dict[Place, list[Mapping[int, float]]] = defaultdict(list)
    peaks: dict[Place, float] = defaultdict(float)
    seen: dict[Place, list[npt.NDArray[np.float32]]] = defaultdict(list)

    def watch(layer: str, slot: str, values: npt.NDArray[np.float32]) -> None:
        seen[layer, slot].append(values)

    loudest = 0.0
    for number, sequence in enumerate(sequences):
        run_sequence(program, sequence, number, watch)
        for (layer, slot), parts in seen.items():  # one part a direction, or more
            with located(f"layer '{layer}', {slot}"):
                top = max(map(peak_magnitude, parts))
                peaks[layer, slot] = max(peaks[layer, slot], top)
                last = number + 1 == len(sequences)
                if slot in PER_SEQUENCE and (top or (last and not clips[layer, slot])):
                    whole = parts[0] if len(parts) == 1 else np.stack(parts)
                    clips[layer, slot].append(settings.activations.clips(whole, settings.widths))
        seen.clear()
        loudest = max(loudest, peak_magnitude(sequence))
        if progress is not None:
            progress(number + 1, len(sequences))
    return Observed(clips, peaks, loudest)


def run_sequence(
    program: Program, sequence: npt.NDArray[Any], number: int, tracer: Tracer
) -> tuple[npt.NDArray[Any], ...]:
    """Run a program that takes [T, B, F], or rows [N, F], over one sequence [T, F].

    Initial states, if any, start at zero.

    Raises:
        MohaqError: the sequence is not usable, or the program takes other inputs.
    """
    where = f"sequence {number}"
    if sequence.ndim != 2:
        raise MohaqError(
            f"a calibration sequence is [T, F], got shape {sequence.shape}", where=where
        )
    if not np.isfinite(sequence).all():
        raise MohaqError("the calibration data hold NaN or infinity", where=where)
    rows = len(shape_of(program.entry.args[0])) == 2
    x = sequence if rows else sequence[:, None, :]
    with np.errstate(all="ignore"):  # what overflows is reported where it is looked at
        return run_float(program, [x, *_zero_states(program)], tracer=tracer)


@contextmanager
def located(where: str) -> Iterator[None]:
    """Say whose values an error speaks of."""
    try:
        yield
    except MohaqError as error:
        place = error.where or where
        raise MohaqError(error.what, where=place, why=error.why, hint=error.hint) from None


def _zero_states(program: Program) -> list[npt.NDArray[np.float32]]:
    states = []
    for number, arg in enumerate(program.entry.args[1:], start=1):
        users = [u.operation for u in arg.uses]
        layers = [u for u in users if isinstance(u, LayerOp)]
        if len(layers) != len(users) or not all(arg in _states(u) for u in layers) or not users:
            lengths = [u.label for u in layers if getattr(u, "lengths", None) is arg]
            raise MohaqError(
                "calibration knows one sequence input and initial states only",
                where=f"input {number} of the program",
                why=f"'{lengths[0]}' takes the lengths of sequences from it" if lengths else "",
                hint="calibrate and run each sequence at its own length, without lengths"
                if lengths
                else "",
            )
        shape = [1 if n == DYNAMIC else n for n in shape_of(arg)]
        states.append(np.zeros(shape, dtype=np.float32))
    return states


def _states(op: LayerOp) -> list[SSAValue]:
    return list(op.state_operands().values())
