"""A program on its way through a backend, and what has to be equal at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import (
    Backend,
    Estimate,
    FloatArray,
    GeneSpace,
    Options,
    Simulation,
    Target,
    Workload,
)
from mohaq.backends.outside import checked_costs
from mohaq.compiler.analysis.storage import CalibratedTable, calibrated_table
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.program import Program, argument_grids
from mohaq.compiler.quantizer import quantize
from mohaq.passes.apply_assignment import annotate
from mohaq.passes.lower_to_qnn import lower_to_qnn

Arrays = Sequence[npt.NDArray[Any]]


@dataclass(frozen=True)
class Built:
    """A calibrated program compiled with one genome."""

    backend: Backend
    target: Target
    table: CalibratedTable
    space: GeneSpace
    genome: npt.NDArray[np.int64]
    legalized: Program
    lowered: Program

    def costs(self, workload: Workload) -> dict[str, FloatArray]:
        """Costs of the genome, checked."""
        model = self.backend.cost_model(self.table.table, self.space, self.target)
        found = model.cost(self.genome, workload, Options())
        return checked_costs(found, 1, f"backend '{self.backend.name}'")

    def estimate(self, workload: Workload) -> Estimate:
        """Costs of the lowered program."""
        return self.backend.estimate(self.lowered, self.target, workload, Options())

    def emit(self, folder: Path) -> Path:
        """Write the folder; gives it."""
        self.backend.emit(self.lowered, folder, self.target)
        return folder

    def simulate(self, folder: Path, inputs: Arrays) -> Simulation:
        """Run an emitted folder."""
        return self.backend.simulate(folder, inputs, Options())

    def integers(self, inputs: Arrays) -> list[npt.NDArray[np.int64]]:
        """Real inputs on the grids of the program's arguments."""
        made = []
        for value, grid in zip(inputs, argument_grids(self.legalized.entry), strict=True):
            assert grid is not None, "an argument of the legalized program has no grid"
            made.append(quantize(value, grid))
        return made

    def require_costs_agree(self, workload: Workload) -> Estimate:
        """Cost in the search = estimate; gives the estimate."""
        estimate, costs = self.estimate(workload), self.costs(workload)
        told = {
            "latency": estimate.total.latency,
            "energy": estimate.total.joules,
            "size": estimate.size_bytes,
        }
        for name, value in told.items():
            assert costs[name][0] == value, (
                f"{name}: cost {costs[name][0]!r}, estimate {value!r} for {workload}"
            )
        return estimate

    def require_run_agrees(self, folder: Path, inputs: Arrays) -> None:
        """Outputs of the folder = the interpreter's, counters = estimate = cost."""
        steps, batch = inputs[0].shape[:2]
        workload = Workload(steps, batch, carried_state=len(inputs) > 1)
        estimate = self.require_costs_agree(workload)
        found = self.simulate(folder, inputs)
        expected = run_integer(self.legalized, inputs)
        assert len(found.outputs) == len(expected), "another number of results"
        for number, (ours, theirs) in enumerate(zip(found.outputs, expected, strict=True)):
            assert ours.shape == theirs.shape, f"result {number}: {ours.shape}, not {theirs.shape}"
            wrong = int(np.count_nonzero(ours != theirs))
            assert not wrong, f"result {number}: {wrong} of {ours.size} integers differ"
        assert found.measured == estimate, "the counters of the run differ from the estimate"


def build(
    backend: Backend, target: Target, program: Program, choices: Sequence[int] | None = None
) -> Built:
    """Compile a calibrated program.

    Args:
        backend: of the target.
        target: machine.
        program: calibrated `nn` program; left alone.
        choices: index of each gene, cut at the largest, repeated as needed; None: the widest.

    Raises:
        MohaqError: the target refuses a layer.
        IllegalAssignment: the widths do not fit because of the data.
    """
    table = backend.obeyed(calibrated_table(program), target)
    space = backend.space(table.table, target)
    genome = space.upper
    if choices is not None:
        drawn = np.array([choices[n % len(choices)] for n in range(len(genome))], dtype=np.int64)
        genome = np.minimum(drawn, space.upper)
    widths = {s: int(v[0]) for s, v in space.widths(genome).items()}
    backend.require_legal(table.table, target, widths)
    quantized = program.clone()
    annotate(quantized, table, table.layer_grids(widths))
    legalized = backend.legalize(lower_to_qnn(quantized), target)
    legalized.verify()
    lowered = backend.lower(legalized.clone(), target, Options())
    lowered.verify()
    return Built(backend, target, table, space, genome, legalized, lowered)
