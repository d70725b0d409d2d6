"""Costs of many assignments at once: the plan of each, from shapes and widths.

The plan is that of the lowering, so a candidate costs what its compiled program will: which
weights stay in local memory depends on all layers together.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import CostModel, FloatArray, GeneSpace, Options, Workload
from mohaq.backends.epiphany.costs import costs, summed
from mohaq.backends.epiphany.estimate import layer_counters
from mohaq.backends.epiphany.machine import Machine
from mohaq.backends.epiphany.options import check_options
from mohaq.backends.epiphany.passes import cycles_of
from mohaq.backends.epiphany.plan.program import Planner, ProgramPlan, table_bytes
from mohaq.backends.epiphany.plan.shapes import StageShape
from mohaq.backends.epiphany.template import output_split, shapes_of
from mohaq.compiler.analysis.functions import EXACT
from mohaq.compiler.analysis.layers import LayerTable
from mohaq.compiler.assignment import Slot


class EpiphanyCosts(CostModel):
    """Cost model of one program on one machine."""

    def __init__(self, table: LayerTable, space: GeneSpace, machine: Machine) -> None:
        self.table = table
        self.space = space
        self.machine = machine
        held = {
            (function, layer.table_points)
            for layer in table
            for function in layer.functions
            if function.partition(" ")[0] not in EXACT
        }
        self.points = [points for _, points in sorted(held)]
        self._planner = Planner(machine, cycles_of)
        self._plans: dict[tuple[int, ...], ProgramPlan] = {}
        self._found: dict[tuple[tuple[int, ...], Workload], tuple[float, float, float]] = {}

    def cost(
        self, genomes: npt.ArrayLike, workload: Workload, options: Options
    ) -> dict[str, FloatArray]:
        """Costs of genomes [N, G]: `latency` [s], `energy` [J], `size` [bytes], each [N].

        Raises:
            NoRoom: a layer of one of them does not fit.
            MohaqError: unknown options, genomes of the wrong shape.
        """
        check_options(options)
        array = np.atleast_2d(np.asarray(genomes, dtype=np.int64))
        self.space.widths(array)
        rows = [self._cost(tuple(int(v) for v in row), workload) for row in array]
        made = np.array(rows, dtype=np.float64).reshape(len(rows), 3)
        return {"latency": made[:, 0], "energy": made[:, 1], "size": made[:, 2]}

    def _cost(self, genome: tuple[int, ...], workload: Workload) -> tuple[float, float, float]:
        key = genome, workload
        if key not in self._found:
            plan = self.plan(genome)
            found = layer_counters(plan.stages, self.machine, workload, cycles_of)
            total = costs(summed(found), self.machine)
            size = plan.bytes + sum(2 * n for n in self.points)
            self._found[key] = total.latency, total.joules, float(size)
        return self._found[key]

    def plan(self, genome: tuple[int, ...]) -> ProgramPlan:
        """The plan of a candidate."""
        if genome not in self._plans:
            points = table_bytes(self.points)
            self._plans[genome] = self._planner.plan(self.shapes(genome), points)
        return self._plans[genome]

    def shapes(self, genome: tuple[int, ...]) -> list[StageShape]:
        """All stages of a candidate."""
        widths = {slot: int(v[0]) for slot, v in self.space.widths([genome]).items()}
        found: list[StageShape] = []
        for layer in self.table:
            source = None
            if layer.source is not None:
                source = output_split(self.table[layer.source], self.machine.cores)
            mine = tuple((slot, widths[Slot(layer.name, slot)]) for slot in layer.slots)
            found += shapes_of(layer, source, self.machine.cores, mine)
        return found
