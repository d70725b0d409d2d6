"""`calibrate`: run the float program over data and note a clip for every slot and width."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp
from xdsl.passes import ModulePass

from mohaq.compiler.analysis.storage import CLIPS_KEY, STORED_WIDTH
from mohaq.compiler.clips import DEFAULT_WIDTHS, CalibrationSettings, preset
from mohaq.compiler.clips.observe import Observed, located, observe
from mohaq.compiler.context import option_file, store
from mohaq.compiler.data import load_dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp, LiGruOp, LinearOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.quant import ClipsAttr, GridAttr
from mohaq.compiler.program import Program
from mohaq.compiler.quantizer import SMALLEST_CLIP, largest_magnitude

__all__ = ["CalibratePass", "CalibrationSettings", "calibrate"]


def calibrate(
    program: Program,
    sequences: Sequence[npt.NDArray[Any]],
    settings: CalibrationSettings | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Annotate an `nn` program in place with the clips of all slots.

    Args:
        program: takes one sequence input [T, B, F], or rows [N, F] if it has linear layers only;
            initial states, if any, start at zero.
        sequences: calibration sequences, each [T, F].
        settings: widths and clip method.
        progress: called with (sequences done, sequences in all).

    Raises:
        MohaqError: no data, data that do not fit the program, NaN among them; a batch
            normalization that has not been folded.
    """
    settings = settings or CalibrationSettings()
    if not sequences:
        raise MohaqError("calibration needs at least one sequence")
    for op in program.layers():
        require_folded(op)
    observed = observe(program, sequences, settings, progress)
    for op in program.layers():
        _require_a_product(program, op, observed)
    made = {op.label: _of_layer(program, op, observed, settings) for op in program.layers()}
    for op in program.layers():  # nothing is written before all is found
        found = dict(made[op.label].slots)
        for (slot, width), steps in made[op.label].steps.items():
            name, _ = program.declare(f"{op.label}.{slot}.steps{width}", steps)
            clips = found[slot]
            found[slot] = ClipsAttr.of(clips.clips(), {**clips.rows(), width: name})
        op.attributes["calibration"] = DictionaryAttr(dict(sorted(found.items())))
    program.prune_parameters()  # steps of an earlier calibration
    entry = program.entry
    held = entry.arg_attrs.data if entry.arg_attrs else (DictionaryAttr({}),) * len(entry.args)
    clip = ClipsAttr.of({STORED_WIDTH: largest_magnitude(observed.top)})
    first = DictionaryAttr({**held[0].data, CLIPS_KEY: clip})
    entry.properties["arg_attrs"] = ArrayAttr([first, *held[1:]])


@dataclass(frozen=True)
class _Found:
    """Clips of the slots of a layer, and the steps of the rows of a weight for each width."""

    slots: Mapping[str, ClipsAttr]
    steps: Mapping[tuple[str, int], npt.NDArray[np.float64]]


def _of_layer(
    program: Program,
    op: LayerOp,
    observed: Observed,
    settings: CalibrationSettings,
) -> _Found:
    found = {}
    for (layer, slot), peak in observed.peaks.items():
        if layer == op.label:
            runs = observed.clips.get((layer, slot))
            clips = {STORED_WIDTH: largest_magnitude(peak)}
            found[slot] = ClipsAttr.of(settings.over_sequences(runs) if runs else clips)
    steps: dict[tuple[str, int], npt.NDArray[np.float64]] = {}
    for slot in ("weight", "recurrent"):
        if slot not in op.SEARCHED_SLOTS:
            continue
        values = _data(program, op, slot)
        with located(f"layer '{op.label}', {slot}"):
            found[slot] = ClipsAttr.of(settings.weights.clips(values, settings.widths))
        if settings.granularity == "per-channel":
            steps |= {(slot, w): s for w, s in _row_steps(op, values, settings).items()}
    for slot in ("vector", "peephole", "projection"):
        if getattr(op, slot, None) is not None:
            with located(f"layer '{op.label}', {slot}"):
                peak = largest_magnitude(_data(program, op, slot))
            found[slot] = ClipsAttr.of({STORED_WIDTH: peak})
    for slot, grid in (op.given.data if op.given else {}).items():
        if isinstance(grid, GridAttr):  # an already quantized model brings its own
            known = found.get(slot, ClipsAttr.of({}))
            clips = {**known.clips(), grid.bits: grid.step * grid.high}
            found[slot] = ClipsAttr.of(clips, known.rows())
    return _Found(found, steps)


def _require_a_product(program: Program, op: LayerOp, observed: Observed) -> None:
    """Values below SMALLEST_CLIP count as nothing, so their products must be nothing as well."""
    for slot, source in (("weight", "input"), ("recurrent", "hidden")):
        if slot not in op.SEARCHED_SLOTS or not observed.clips.get((op.label, source)):
            continue
        weight = np.abs(_data(program, op, slot).astype(np.float64))
        peak = observed.peaks[op.label, source]
        longest = float(weight.reshape(-1, weight.shape[-1]).sum(axis=1).max())
        if min(peak, float(weight.max())) < SMALLEST_CLIP < longest * peak:
            raise MohaqError(
                "its product cannot be computed with integers: one operand is nearly nothing, "
                "the other is huge",
                where=f"layer '{op.label}', {slot} and {source}",
                why=f"largest magnitudes {float(weight.max()):g} and {peak:g}",
                hint="scale the data or the weights",
            )


def _row_steps(
    op: LayerOp, values: npt.NDArray[Any], settings: CalibrationSettings
) -> dict[int, npt.NDArray[np.float64]]:
    """{width: step of every row} of a weight."""
    lead = 1 if isinstance(op, LinearOp) else 3  # [N, K]; [D, G, H, ...]
    count = math.prod(values.shape[:lead])
    each = [settings.weights.clips(r, settings.widths) for r in values.reshape(count, -1)]
    return {
        w: np.array([clips[w] for clips in each]) / ((1 << (w - 1)) - 1) for w in settings.widths
    }


def require_folded(op: LayerOp) -> None:
    """Clips of a weight hold only once a batch normalization is part of it.

    Raises:
        MohaqError: the layer still has one.
    """
    if isinstance(op, LiGruOp) and op.norm is not None:
        raise MohaqError(
            "the batch normalization must be part of the weights before quantization",
            where=f"layer '{op.label}'",
            hint="run the pass fold-batchnorm first",
        )


def _data(program: Program, op: LayerOp, slot: str) -> npt.NDArray[Any]:
    owner = getattr(op, slot).owner
    if not isinstance(owner, LoadOp):
        raise MohaqError(f"the {slot} of '{op.label}' is not a parameter")
    return program.parameters[owner.symbol]


@dataclass(frozen=True)
class CalibratePass(ModulePass):
    """Collect ranges over calibration data; store a clip for every slot and width.

    Options: data = data set file or folder; limit = sequences to use (0: all);
    widths = widths to store clips for, 2..16; method = mmse | minmax | percentile | aciq |
    entropy, activation and weight = another method for these; percentile = in percent;
    over = median | max | mean (of the sequences' activation clips); granularity = per-tensor |
    per-channel (weights); preset = mohaq, instead of all options after widths.
    """

    name: ClassVar[str] = "calibrate"
    data: str
    limit: int = 0
    widths: tuple[int, ...] = DEFAULT_WIDTHS
    method: str = "mmse"
    granularity: str = "per-tensor"
    activation: str = ""
    weight: str = ""
    percentile: float = 99.99
    over: str = "median"
    preset: str = ""

    def settings(self) -> CalibrationSettings:
        """The options as settings.

        Raises:
            MohaqError: unknown names, or options beside a preset.
        """
        given = CalibrationSettings(
            self.widths,
            self.method,
            self.granularity,
            self.activation,
            self.weight,
            self.percentile,
            self.over,
        )
        if not self.preset:
            return given
        if given != CalibrationSettings(self.widths):
            raise MohaqError("a preset stands for the other options", where="pass 'calibrate'")
        return preset(self.preset).with_widths(self.widths)

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Annotate the module."""
        program, settings = Program(op, store(ctx)), self.settings()
        if self.limit < 0:
            raise MohaqError(f"limit is a number of sequences, got {self.limit}")
        sequences = load_dataset(option_file(ctx, self.data)).inputs
        calibrate(program, sequences[: self.limit] if self.limit else sequences, settings)
