"""`calibrate`: run the float program over data and note a clip for every slot and width."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from mohaq.compiler.analysis.storage import CLIPS_KEY, STORED_WIDTH
from mohaq.compiler.context import MohaqContext, store
from mohaq.compiler.data import load_dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp, LiGruOp, LinearOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.quant import MAX_WIDTH, MIN_WIDTH, ClipsAttr, GridAttr
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.program import Program
from mohaq.compiler.clips import mmse_clips
from mohaq.compiler.quantizer import largest_magnitude

DEFAULT_WIDTHS = (2, 4, 8, 16)

GRANULARITIES = ("per-tensor", "per-channel")


@dataclass(frozen=True)
class CalibrationSettings:
    """How ranges become clips (MOHAQ's scheme is the default).

    widths: a clip is stored for each. method: `mmse` or `minmax`, for searched slots.
    Activations (layer inputs, and the h that recurrent products read): median over sequences. At
    16 bits, and for the slots that always have 16 bits (state, outputs, vectors, projections,
    inputs of the program): largest magnitude over all sequences, since there a clipped peak
    costs more than the step.
    granularity: `per-tensor`, or `per-channel` for one more clip a row of searched weights, which
    targets that can take them use (the others take the tensor's).
    """

    widths: tuple[int, ...] = DEFAULT_WIDTHS
    method: str = "mmse"
    granularity: str = "per-tensor"

    def __post_init__(self) -> None:
        if self.granularity not in GRANULARITIES:
            raise MohaqError(
                f"unknown granularity '{self.granularity}'",
                hint="use " + " or ".join(GRANULARITIES),
            )
        if self.method not in {"mmse", "minmax"}:
            raise MohaqError(f"unknown clip method '{self.method}'", hint="use mmse or minmax")
        bad = [w for w in self.widths if not MIN_WIDTH <= w <= MAX_WIDTH]
        if bad or not self.widths:
            raise MohaqError(f"widths must be {MIN_WIDTH}..{MAX_WIDTH} bits, got {self.widths}")

    def clips(self, values: npt.NDArray[Any]) -> dict[int, float]:
        """Clip of one tensor for each width."""
        if self.method == "mmse":
            return mmse_clips(values, self.widths)
        return dict.fromkeys(self.widths, largest_magnitude(values))


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
        else:
            peaks[layer, slot] = max(peaks[layer, slot], _peak(values))

    for number, sequence in enumerate(sequences):
        if sequence.ndim != 2:
            raise MohaqError(
                f"a calibration sequence is [T, F], got shape {sequence.shape}",
                where=f"sequence {number}",
            )
        x = sequence if rows else sequence[:, None, :]
        run_float(program, [x, *_zero_states(program)], tracer=watch)
        for place, parts in seen.items():  # one part a direction
            whole = parts[0] if len(parts) == 1 else np.stack(parts)
            last = number + 1 == len(sequences)
            if whole.any() or (last and not inputs[place]):
                inputs[place].append(settings.clips(whole))
        seen.clear()
        top = max(top, _peak(sequence))
        if progress is not None:
            progress(number + 1, len(sequences))

    for op in program.layers():
        found = {
            slot: ClipsAttr.of({w: _over_sequences(runs, w) for w in settings.widths})
            for (layer, slot), runs in inputs.items()
            if layer == op.label
        }
        for (layer, slot), peak in peaks.items():
            if layer == op.label:
                found[slot] = ClipsAttr.of({STORED_WIDTH: largest_magnitude(peak)})
        for slot in ("weight", "recurrent"):
            if slot in op.SEARCHED_SLOTS:
                found[slot] = _weight_clips(program, op, slot, settings)
        for slot in ("vector", "peephole", "projection"):
            if getattr(op, slot, None) is not None:
                peak = largest_magnitude(_data(program, op, slot))
                found[slot] = ClipsAttr.of({STORED_WIDTH: peak})
        for slot, grid in (op.given.data if op.given else {}).items():
            if isinstance(grid, GridAttr):  # an already quantized model brings its own
                known = found.get(slot, ClipsAttr.of({}))
                clips = {**known.clips(), grid.bits: grid.step * grid.high}
                found[slot] = ClipsAttr.of(clips, known.rows())
        op.attributes["calibration"] = DictionaryAttr(dict(sorted(found.items())))
    program.prune_parameters()  # steps of an earlier calibration
    held = entry.arg_attrs.data if entry.arg_attrs else (DictionaryAttr({}),) * len(entry.args)
    clip = ClipsAttr.of({STORED_WIDTH: largest_magnitude(top)})
    first = DictionaryAttr({**held[0].data, CLIPS_KEY: clip})
    entry.properties["arg_attrs"] = ArrayAttr([first, *held[1:]])


def _weight_clips(
    program: Program, op: LayerOp, slot: str, settings: CalibrationSettings
) -> ClipsAttr:
    """Clips of a weight; per channel also the steps of its rows, as parameters."""
    values = _data(program, op, slot)
    clips, rows = settings.clips(values), {}
    if settings.granularity == "per-channel":
        lead = 1 if isinstance(op, LinearOp) else 3  # [N, K]; [D, G, H, ...]
        count = math.prod(values.shape[:lead])
        each = [settings.clips(row) for row in values.reshape(count, -1)]
        for width in settings.widths:
            steps = np.array([c[width] for c in each]) / ((1 << (width - 1)) - 1)
            rows[width], _ = program.declare(f"{op.label}.{slot}.steps{width}", steps)
    return ClipsAttr.of(clips, rows)


def _peak(values: npt.NDArray[Any]) -> float:
    """max|x|; zeros, which say nothing about a scale, count as 0."""
    return largest_magnitude(values) if values.any() else 0.0


def _over_sequences(runs: Sequence[dict[int, float]], width: int) -> float:
    clips = [c[width] for c in runs]
    return max(clips) if width >= STORED_WIDTH else float(np.median(clips))


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


def _data(program: Program, op: LayerOp, slot: str) -> npt.NDArray[Any]:
    owner = getattr(op, slot).owner
    if not isinstance(owner, LoadOp):
        raise MohaqError(f"the {slot} of '{op.label}' is not a parameter")
    return program.parameters[owner.symbol]


@dataclass(frozen=True)
class CalibratePass(ModulePass):
    """Collect ranges over calibration data; store a clip for every slot and width.

    Options: data = data set file or folder; limit = sequences to use (0: all);
    widths = widths to store clips for; method = mmse | minmax; granularity = per-tensor |
    per-channel (weights).
    """

    name: ClassVar[str] = "calibrate"
    data: str
    limit: int = 0
    widths: tuple[int, ...] = DEFAULT_WIDTHS
    method: str = "mmse"
    granularity: str = "per-tensor"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Annotate the module."""
        program = Program(op, store(ctx))
        assert isinstance(ctx, MohaqContext)
        sequences = load_dataset(ctx.base_dir / self.data).inputs
        chosen = sequences[: self.limit] if self.limit else sequences
        calibrate(program, chosen, CalibrationSettings(self.widths, self.method, self.granularity))
