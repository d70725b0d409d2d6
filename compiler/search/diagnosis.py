"""Where the accuracy went: what each grid of a program does to its values and to the error."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import Backend, Target
from mohaq.compiler.analysis.storage import STORED_WIDTH, calibrated_table
from mohaq.compiler.assignment import Slot
from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.metrics import Metric
from mohaq.compiler.program import Program
from mohaq.compiler.search.evaluator import Evaluator
from mohaq.compiler.search.scoring import score

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SlotReport:
    """One precision slot of one layer under its grid.

    Attributes:
        slot: layer and slot.
        width: bits.
        clip: largest value of the grid (of the coarsest row, where rows have their own steps).
        saturated: share of the values outside the grid, 0..1.
        sqnr: signal-to-quantization-noise ratio in dB, 10 log10(sum x^2 / sum (x - q)^2);
            infinite without noise, NaN for values that are all zero.
        alone: error of the metric with this slot at its width and all others at 16 bits; None for
            slots that are always 16 bits wide.
    """

    slot: Slot
    width: int
    clip: float
    saturated: float
    sqnr: float
    alone: float | None


@dataclass(frozen=True)
class Diagnosis:
    """All slots of a program under one assignment.

    Attributes:
        metric: its name.
        full: error of the float program.
        base: error with 16 bits everywhere: what states, biases, vectors and tables cost.
        assigned: error under the assignment.
        slots: in program order.
        utterances: how many were run.
    """

    metric: str
    full: float
    base: float
    assigned: float
    slots: tuple[SlotReport, ...]
    utterances: int


@dataclass
class _Noise:
    """Sums over the values of one slot."""

    count: int = 0
    outside: int = 0
    signal: float = 0.0
    noise: float = 0.0

    def add(self, values: npt.ArrayLike, grid: GridAttr, steps: Floats | None) -> None:
        """Quantize values as the program does and compare."""
        real = np.asarray(values, dtype=np.float64)
        step = np.float64(grid.step) if steps is None else steps.reshape(-1, 1)
        if steps is not None:
            real = real.reshape(steps.size, -1)
        whole = np.floor(real / step + 0.5) + grid.zero
        held = np.clip(whole, grid.low, grid.high)
        self.count += real.size
        self.outside += int(np.count_nonzero(held != whole))
        self.signal += float(np.sum(real * real))
        self.noise += float(np.sum((real - (held - grid.zero) * step) ** 2))

    @property
    def sqnr(self) -> float:
        """In dB."""
        if self.signal == 0.0:
            return math.nan
        return math.inf if self.noise == 0.0 else 10 * math.log10(self.signal / self.noise)


@dataclass
class _Watch:
    """Collects the noise of the values that layers see."""

    grids: Mapping[Slot, GridAttr]
    found: dict[Slot, _Noise] = field(default_factory=dict)

    def __call__(self, layer: str, slot: str, values: npt.NDArray[np.float32]) -> None:
        """As a tracer of the float interpreter."""
        key = Slot(layer, slot)
        if key in self.grids:
            self.found.setdefault(key, _Noise()).add(values, self.grids[key], None)


def diagnose(
    program: Program,
    widths: Mapping[Slot, int],
    backend: Backend,
    target: Target,
    dataset: Dataset,
    metric: Metric,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Diagnosis:
    """Measure every slot.

    Args:
        program: calibrated for the widths and for 16 bits, one sequence in, run by the target
            whole.
        widths: of all searched slots.
        backend: whose integers are meant.
        target: of the backend; must take 16 bits and widths that differ from slot to slot.
        dataset: with labels for the metric.
        metric: counts the errors.
        progress: called with (steps done, steps in all).

    Raises:
        MohaqError: not calibrated for these widths, data that do not fit; the target cannot run
            one slot alone at its width.
    """
    calibrated = backend.obeyed(calibrated_table(program), target)
    evaluator = Evaluator(program, backend, target, dataset, metric)
    wide = dict.fromkeys(calibrated.searched(), STORED_WIDTH)
    narrow = [slot for slot, bits in widths.items() if bits != STORED_WIDTH]
    total, done = len(narrow) + len(dataset) + 2, 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    grids = {
        Slot(layer, slot): grid
        for layer, held in calibrated.layer_grids(widths).items()
        for slot, grid in held.slots.items()
    }
    watch = _Watch(grids)
    outputs = []
    for sequence in dataset.inputs:
        outputs.append(run_float(program, [sequence[:, None]], tracer=watch)[0][:, 0])
        step()
    full = score(metric, outputs, dataset).value
    base = evaluator.evaluate(wide).value
    step()
    alone = {}
    for slot in narrow:
        alone[slot] = evaluator.evaluate({**wide, slot: widths[slot]}).value
        step()
    assigned = evaluator.evaluate(widths).value
    step()
    reports = []
    for op in program.layers():
        for name in (*op.SEARCHED_SLOTS, *op.FIXED_SLOTS):
            slot = Slot(op.label, name)
            if slot not in grids:
                continue
            noise = _parameter_noise(program, op, name, grids[slot]) or watch.found.get(slot)
            if noise is None:  # gates: a grid of the tables, not of values that a program holds
                continue
            grid = grids[slot]
            own = alone.get(slot, base) if slot in widths else None
            clip = grid.step * (grid.high - grid.zero)
            share = noise.outside / noise.count if noise.count else 0.0
            reports.append(SlotReport(slot, grid.bits, clip, share, noise.sqnr, own))
    return Diagnosis(metric.name, full, base, assigned, tuple(reports), len(dataset))


def _parameter_noise(program: Program, op: LayerOp, slot: str, grid: GridAttr) -> _Noise | None:
    """Noise of a slot that holds a parameter, None if it holds values."""
    value = getattr(op, slot, None) if slot not in {"input", "hidden", "output", "state"} else None
    if value is None:
        return None
    if not isinstance(value.owner, LoadOp):
        raise MohaqError(f"the {slot} is not a parameter", where=f"layer '{op.label}'")
    found = _Noise()
    steps = np.asarray(program.parameters[grid.rows], np.float64) if grid.rows else None
    found.add(program.parameters[value.owner.symbol], grid, steps)
    return found
