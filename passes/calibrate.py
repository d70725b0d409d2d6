"""`calibrate`: run the float program over data and note a clip for every slot and width."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from mohaq.compiler.analysis.storage import CLIPS_KEY, STORED_WIDTH
from mohaq.compiler.clips import DEFAULT_WIDTHS, CalibrationSettings, preset
from mohaq.compiler.context import MohaqContext, store
from mohaq.compiler.data import load_dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp, LiGruOp, LinearOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.quant import ClipsAttr, GridAttr
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.program import Program
from mohaq.compiler.quantizer import largest_magnitude

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
    entry = program.entry
    rows = len(shape_of(entry.args[0])) == 2
    inputs: dict[tuple[str, str], list[dict[int, float]]] = defaultdict(list)
    peaks: dict[tuple[str, str], float] = defaultdict(float)
    top = 0.0
    seen: dict[tuple[str, str], list[npt.NDArray[np.float32]]] = defaultdict(list)

    def watch(layer: str, slot: str, values: npt.NDArray[np.float32]) -> None:
        if slot in {"input", "hidden"}:
            seen[layer, slot].append(values)
            return
        with _located(f"layer '{layer}', {slot}"):
            peaks[layer, slot] = max(peaks[layer, slot], _peak(values))

    for number, sequence in enumerate(sequences):
        _require_usable(sequence, number)
        x = sequence if rows else sequence[:, None, :]
        with np.errstate(all="ignore"):  # what overflows is reported with its place below
            run_float(program, [x, *zero_states(program)], tracer=watch)
        for place, parts in seen.items():  # one part a direction
            whole = parts[0] if len(parts) == 1 else np.stack(parts)
            last = number + 1 == len(sequences)
            if whole.any() or (last and not inputs[place]):
                with _located(f"layer '{place[0]}', {place[1]}"):
                    inputs[place].append(settings.activations.clips(whole, settings.widths))
        seen.clear()
        top = max(top, _peak(sequence))
        if progress is not None:
            progress(number + 1, len(sequences))

    made = {op.label: _of_layer(program, op, inputs, peaks, settings) for op in program.layers()}
    for op in program.layers():  # nothing is written before all is found
        found = dict(made[op.label].slots)
        for (slot, width), steps in made[op.label].steps.items():
            name, _ = program.declare(f"{op.label}.{slot}.steps{width}", steps)
            clips = found[slot]
            found[slot] = ClipsAttr.of(clips.clips(), {**clips.rows(), width: name})
        op.attributes["calibration"] = DictionaryAttr(dict(sorted(found.items())))
    program.prune_parameters()  # steps of an earlier calibration
    held = entry.arg_attrs.data if entry.arg_attrs else (DictionaryAttr({}),) * len(entry.args)
    clip = ClipsAttr.of({STORED_WIDTH: largest_magnitude(top)})
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
    inputs: Mapping[tuple[str, str], Sequence[Mapping[int, float]]],
    peaks: Mapping[tuple[str, str], float],
    settings: CalibrationSettings,
) -> _Found:
    found = {
        slot: ClipsAttr.of(settings.over_sequences(runs))
        for (layer, slot), runs in inputs.items()
        if layer == op.label
    }
    for (layer, slot), peak in peaks.items():
        if layer == op.label:
            found[slot] = ClipsAttr.of({STORED_WIDTH: largest_magnitude(peak)})
    steps: dict[tuple[str, int], npt.NDArray[np.float64]] = {}
    for slot in ("weight", "recurrent"):
        if slot not in op.SEARCHED_SLOTS:
            continue
        values = _data(program, op, slot)
        with _located(f"layer '{op.label}', {slot}"):
            found[slot] = ClipsAttr.of(settings.weights.clips(values, settings.widths))
        if settings.granularity == "per-channel":
            steps |= {(slot, w): s for w, s in _row_steps(op, values, settings).items()}
    for slot in ("vector", "peephole", "projection"):
        if getattr(op, slot, None) is not None:
            with _located(f"layer '{op.label}', {slot}"):
                peak = largest_magnitude(_data(program, op, slot))
            found[slot] = ClipsAttr.of({STORED_WIDTH: peak})
    for slot, grid in (op.given.data if op.given else {}).items():
        if isinstance(grid, GridAttr):  # an already quantized model brings its own
            known = found.get(slot, ClipsAttr.of({}))
            clips = {**known.clips(), grid.bits: grid.step * grid.high}
            found[slot] = ClipsAttr.of(clips, known.rows())
    return _Found(found, steps)


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


def _require_usable(sequence: npt.NDArray[Any], number: int) -> None:
    where = f"sequence {number}"
    if sequence.ndim != 2:
        raise MohaqError(
            f"a calibration sequence is [T, F], got shape {sequence.shape}", where=where
        )
    if not np.isfinite(sequence).all():
        raise MohaqError("the calibration data hold NaN or infinity", where=where)


@contextmanager
def _located(where: str) -> Iterator[None]:
    """Say where the values are whose range cannot be taken."""
    try:
        yield
    except MohaqError as error:
        error.where = error.where or where
        raise


def _peak(values: npt.NDArray[Any]) -> float:
    """max|x|; zeros, which say nothing about a scale, count as 0."""
    return largest_magnitude(values) if values.any() else 0.0


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


def zero_states(program: Program) -> list[npt.NDArray[np.float32]]:
    """Zeros for the initial states that follow the sequence among a program's inputs.

    Raises:
        MohaqError: another kind of input.
    """
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
        assert isinstance(ctx, MohaqContext)
        if self.limit < 0:
            raise MohaqError(f"limit is a number of sequences, got {self.limit}")
        sequences = load_dataset(ctx.base_dir / self.data).inputs
        calibrate(program, sequences[: self.limit] if self.limit else sequences, settings)
