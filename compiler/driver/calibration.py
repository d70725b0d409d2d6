"""Calibration of any imported program: the layers that a target may run, on what they see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import RecurrentOp
from mohaq.compiler.dialects.quant import row_parameters
from mohaq.compiler.driver.device import integer_check
from mohaq.compiler.driver.host import host_plan
from mohaq.compiler.driver.prepare import prepare
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.partition import partition
from mohaq.compiler.program import Program
from mohaq.passes import calibrate as inner
from mohaq.passes.calibrate import CalibrationSettings


def calibrate(
    program: Program,
    sequences: Sequence[npt.NDArray[Any]],
    settings: CalibrationSettings | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Annotate the layers of a program in place with the clips of all slots.

    The program is prepared first (see `prepare`): batch normalizations are folded into the
    layers beside them, since clips hold for folded weights only, grids that the model came with
    are taken over, transposes leave the chain of layers.

    Args:
        program: any `nn` program; its first argument takes the sequences, the others are states,
            which start at zero.
        sequences: calibration sequences as the program's first argument, without the batch
            extent: [T, F] for a program that takes [T, B, F] or [B, T, F].
        settings: widths and clip method.
        progress: called with (sequences done, sequences in all).

    Raises:
        MohaqError: no data, data that do not fit the program, NaN among them; no layer with an
            integer form.
    """
    prepare(program)
    cut = partition(program, integer_check)
    if cut.whole:
        inner.calibrate(program, sequences, settings, progress=progress)
        return
    plan = host_plan(program, cut)
    recurrent = any(isinstance(op, RecurrentOp) for op in cut.core.layers())
    seen: list[npt.NDArray[Any]] = []
    for number, sequence in enumerate(sequences):
        try:
            given = [plan.first_argument(np.asarray(sequence))]
        except MohaqError as error:
            error.where = f"sequence {number}"
            raise
        for argument in plan.arguments[1:]:
            shape = [1 if n is None else n for n in argument.shape]
            given.append(np.zeros(shape, dtype=np.int64 if argument.indices else np.float32))
        made = run_float(cut.before, given) if cut.before is not None else ()
        source = plan.core_inputs[0]
        x = given[source.number] if source.part == "argument" else made[source.number]
        if not recurrent:  # rows are all that linear layers see
            seen.append(x.reshape(-1, x.shape[-1]))
            continue
        if x.shape[1] != 1:
            raise MohaqError(
                "the layers on the target see a batch of sequences",
                where=f"sequence {number}",
                why=f"[T, B, F] = {list(x.shape)}",
            )
        seen.append(x[:, 0])
    inner.calibrate(cut.core, seen, settings, progress=progress)
    found = {op.label: op.calibration for op in cut.core.layers()}
    for op in program.layers():
        held = found.get(op.label)
        if held is not None:
            op.attributes["calibration"] = held
            for name in row_parameters({"calibration": held}):
                _take(program, cut.core, name)
    program.prune_parameters()


def _take(program: Program, core: Program, name: str) -> None:
    """Take a parameter with the steps of a weight's rows over from the core."""
    if name in program.declared():
        program.parameters[name] = core.parameters[name]
        program.declared()[name].attributes.pop("sha256", None)
    else:
        program.declare(name, core.parameters[name])
