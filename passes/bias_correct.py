"""`bias-correct`: biases take back the mean shift that rounding gives to pre-activations."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, UnitAttr
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from mohaq.compiler.analysis.slices import slice_layer
from mohaq.compiler.analysis.storage import LayerGrids
from mohaq.compiler.clips.observe import run_sequence
from mohaq.compiler.context import option_file, store
from mohaq.compiler.data import load_dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.program import Program
from mohaq.compiler.quantizer import dequantize, quantize
from mohaq.passes.lower_to_qnn import annotated_grids, lower_to_qnn
from mohaq.passes.operands import give_parameter, parameter_of

CORRECTED_KEY = "bias_corrected"
"""Attribute of a layer whose bias holds a correction: its float form is no longer the model's."""

Wide = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Correction:
    """What was done to one layer.

    Attributes:
        layer: its name.
        shift: mean shift of each row that a bias took back; the shape of the bias.
        left: mean shift of the rows that have no bias to take it back.
        given: whether the layer got a bias that it did not have.
        why: it was left alone for this reason; empty when it was not.
    """

    layer: str
    shift: Wide
    left: Wide
    given: bool = False
    why: str = ""

    def line(self) -> str:
        """For a report."""
        if self.why:
            return f"'{self.layer}' stays: {self.why}; mean shift up to {_top(self.left):.3g}"
        new = ", in a new bias" if self.given else ""
        text = f"'{self.layer}': {self.shift.size} rows, mean shift up to {_top(self.shift):.3g}"
        kept = f"; {self.left.size} rows without a bias keep up to {_top(self.left):.3g}"
        return text + new + (kept if self.left.size else "")


def bias_correct(
    program: Program,
    sequences: Sequence[npt.NDArray[Any]],
    *,
    add: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> list[Correction]:
    """Correct in place the biases of an `nn` program with grids.

    Rounding of weights and inputs moves the mean of W x + b by E[Wq xq] - E[W x] in every row; that
    is taken off the bias (M. Nagel, M. van Baalen, T. Blankevoort, M. Welling, "Data-Free
    Quantization Through Weight Equalization and Bias Correction", ICCV 2019, arXiv 1906.04721,
    section 4.2, here with data instead of statistics of a normalization; the paper was not at hand,
    only its abstract). Layers are corrected in program order, and xq is what the integer
    interpreter gives for the layers before, corrected already. E is the mean over all frames.

    Corrected are linear layers and the products with the input of LSTM, GRU, RNN, LiGRU and QRNN,
    and of the gates f and r of SRU. Not corrected: rows of an SRU for the candidate and the skip
    term, which have no bias; products with h', whose shift depends on the states that a correction
    would change; the rows of a coupled forget gate, which are not computed. A mean that is right
    in front of a function need not be right behind it.

    Args:
        program: grids from `apply-assignment` or `uniform`; layers alone, as `lower-to-qnn` takes.
        sequences: calibration sequences, each [T, F].
        add: give linear layers and cells without a bias one; else they are left alone.
        progress: called with (steps done, steps in all).

    Raises:
        MohaqError: no grids; corrected before; no data, data that do not fit, NaN among them; a
            layer without an integer form.
    """
    if not sequences:
        raise MohaqError("bias correction needs at least one sequence")
    for op in program.layers():
        if CORRECTED_KEY in op.attributes:
            raise MohaqError(
                "its bias has been corrected already, and its float form moved with it",
                where=f"layer '{op.label}'",
                hint="start from the program before bias-correct",
            )
    work = program.clone()
    grids = annotated_grids(work)
    read = {_source(op) for op in work.layers()}
    total, done = len(sequences) * (1 + sum(label in read for label in grids)), 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    exact = _float_means(work, sequences, step)
    first = [_as_argument(work, one) for one in sequences]
    held: dict[str | None, list[Integers]] = {}
    made: list[tuple[Correction, Wide | None]] = []
    for op in list(work.layers()):
        mine, source = grids[op.label], _source(op)
        inputs = [quantize(x, mine.stored_input) for x in first] if source is None else held[source]
        one, bias = _corrected(work, op, exact[op.label], _rounded_mean(op, inputs, mine), add=add)
        if bias is not None:
            give_parameter(work, op, "bias", bias, f"{op.label}.bias.corrected")
        made.append((one, bias))
        if op.label not in read:  # the bias may have made another operation of it, not another name
            continue
        lowered = lower_to_qnn(slice_layer(work, op.label, mine))
        outputs = []
        for x in inputs:
            outputs.append(np.asarray(run_integer(lowered, [x])[0], dtype=np.int64))
            step()
        held[op.label] = outputs
    for one, bias in made:
        if bias is not None:
            op = next(o for o in program.layers() if o.label == one.layer)
            op = give_parameter(program, op, "bias", bias, f"{one.layer}.bias.corrected")
            op.attributes[CORRECTED_KEY] = UnitAttr()
    program.prune_parameters()
    return [one for one, _ in made]


def _source(op: LayerOp) -> str | None:
    """The layer that an input comes from; None: the program's."""
    owner = op.operands[0].owner
    return owner.label if isinstance(owner, LayerOp) else None


def _as_argument(program: Program, sequence: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """[T, F] as the program takes it."""
    return sequence if len(shape_of(program.entry.args[0])) == 2 else sequence[:, None, :]


def _float_means(
    program: Program, sequences: Sequence[npt.NDArray[Any]], step: Callable[[], None]
) -> dict[str, Wide]:
    """{layer: mean of what its product reads}, in the float program."""
    layers = {op.label: op for op in program.layers()}
    seen: dict[str, list[npt.NDArray[Any]]] = {label: [] for label in layers}

    def watch(layer: str, slot: str, values: npt.NDArray[np.float32]) -> None:
        if slot == "input" and layer in seen:
            seen[layer].append(values)

    sums: dict[str, Wide] = {}
    frames = 0
    for number, sequence in enumerate(sequences):
        run_sequence(program, sequence, number, watch)
        for label, parts in seen.items():
            sums[label] = sums.get(label, np.float64(0)) + _sum(layers[label], parts[0])
            parts.clear()
        frames += len(sequence)
        step()
    means = {label: value / frames for label, value in sums.items()}
    for label, mean in means.items():
        if not np.isfinite(mean).all():
            raise MohaqError("the values hold NaN or infinity", where=f"layer '{label}', input")
    return means


def _rounded_mean(op: LayerOp, inputs: Sequence[Integers], grids: LayerGrids) -> Wide:
    """Mean of what the product reads in the integer program, as real numbers."""
    slot = grids.slots["input"]
    total: Wide = np.zeros(())
    frames = 0
    for x in inputs:
        real = dequantize(x, grids.stored_input)
        total = total + _sum(op, dequantize(quantize(real, slot), slot))
        frames += len(x)
    mean: Wide = np.asarray(total / frames)
    return mean


def _sum(op: LayerOp, x: npt.NDArray[Any]) -> Wide:
    """Sum over the frames of what the product of a layer reads: [K], for a QRNN [D, window * I]."""
    frames = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    total: Wide = frames.sum(axis=0)
    if not isinstance(op, nn.QrnnOp):
        return total
    if op.window == 1:
        return np.stack([total] * op.directions)
    # The other tap never sees the end that the walk starts from; before it lie zeros.
    taps = [total - frames[0 if op.is_reverse(d) else -1] for d in range(op.directions)]
    return np.stack([np.concatenate([tap, total]) for tap in taps])


def _corrected(
    program: Program, op: LayerOp, exact: Wide, rounded: Wide, *, add: bool
) -> tuple[Correction, Wide | None]:
    """What to say of a layer, and its new bias if it gets one."""
    weight = parameter_of(program, op, "weight")
    grid = op.grid("weight")
    if weight is None or grid is None:
        raise MohaqError("the weight is not a parameter with a grid", where=f"layer '{op.label}'")
    lead = 1 if isinstance(op, nn.LinearOp) else 3  # [N, K]; [D, G, H, ...]
    rows = weight.astype(np.float64).reshape(int(np.prod(weight.shape[:lead])), -1)
    steps = program.parameters[grid.rows] if grid.rows else None
    whole = quantize(rows, grid, steps)
    scale = np.float64(grid.step) if steps is None else np.asarray(steps, np.float64)[:, None]
    shift = _product((whole - grid.zero) * scale, rounded) - _product(rows, exact)
    shift = shift.reshape(weight.shape[:lead])
    left = np.zeros(0)
    if isinstance(op, nn.SruOp):
        left = np.concatenate([shift[:, :1].ravel(), shift[:, 3:].ravel()])
        shift = shift[:, 1:3]
    elif isinstance(op, nn.LstmOp) and bool(op.coupled.value.data):
        shift[:, 1] = 0
    held = parameter_of(program, op, "bias")
    one = Correction(op.label, shift, left)
    if held is None:
        why = ""
        if isinstance(getattr(op, "bias", None), SSAValue):
            why = "its bias is computed"
        elif not add:
            why = "it has no bias"
        if why:
            return replace(one, shift=np.zeros(0), left=shift, why=why), None
    if not shift.any():
        return one, None
    before = np.zeros(shift.shape) if held is None else held.astype(np.float64)
    return replace(one, given=held is None), before - shift


def _product(rows: Wide, mean: Wide) -> Wide:
    """rows [N, K] by a mean [K], or [D, K] of which each serves N / D rows: [N]."""
    if mean.ndim == 1:
        return rows @ mean
    parts = np.split(rows, len(mean))
    return np.concatenate([part @ one for part, one in zip(parts, mean, strict=True)])


def _top(values: Wide) -> float:
    return float(np.abs(values).max()) if values.size else 0.0


@dataclass(frozen=True)
class BiasCorrectPass(ModulePass):
    """Take the mean shift that rounding gives to the products of layers off their biases.

    Needs apply-assignment or uniform before it; lower-to-qnn comes next. Run it once: the float
    form of the program moves with its biases (arXiv 1906.04721, section 4.2).

    Options: data = data set file or folder; limit = sequences to use (0: all); add = give layers
    without a bias one; report = print the shifts to standard error.
    """

    name: ClassVar[str] = "bias-correct"
    data: str
    limit: int = 0
    add: bool = True
    report: bool = True

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Change the module and the context's parameters."""
        if self.limit < 0:
            raise MohaqError(f"limit is a number of sequences, got {self.limit}")
        sequences = load_dataset(option_file(ctx, self.data)).inputs
        chosen = sequences[: self.limit] if self.limit else sequences
        done = bias_correct(Program(op, store(ctx)), chosen, add=self.add)
        if self.report:
            print(*(one.line() for one in done), sep="\n", file=sys.stderr)
