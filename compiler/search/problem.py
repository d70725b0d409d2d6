"""The search problem of one program on one target: genes, cheap objectives, constraints."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mohaq.backends.base import Backend, FloatArray, GeneSpace, IntArray, Target, Workload
from mohaq.compiler.analysis.storage import CalibratedTable
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.engine import Evaluation, Failure
from mohaq.compiler.search.settings import SearchSettings

ILLEGAL, FAILED = 1e2, 1e3
"""Violations of candidates without an error; those that break a limit are below."""

LIMIT_CONSTANT = "model_bytes"
"""Constant of a target file that bounds the size of a model."""

UNIFORM_WIDTHS = (16, 8, 4, 2)
"""Uniform assignments to compare with."""


class SearchProblem:
    """Genes and everything about a candidate that needs no inference."""

    def __init__(
        self,
        calibrated: CalibratedTable,
        backend: Backend,
        target: Target,
        settings: SearchSettings,
        workload: Workload,
    ) -> None:
        table = calibrated.table
        self.space: GeneSpace = backend.space(table, target)
        self.settings = settings
        self.workload = workload
        self.slots = tuple(calibrated.searched())
        self._cost_model = backend.cost_model(table, self.space, target)
        self._limits = [settings.constraints.max_size] if settings.constraints.max_size else []
        if LIMIT_CONSTANT in target.constants:
            self._limits.append(target[LIMIT_CONSTANT])
        covered = {slot for group in self.space.groups for slot in group.slots}
        if missing := [slot for slot in self.slots if slot not in covered]:
            raise MohaqError(f"target '{target.name}' gives no widths for '{missing[0]}'")
        for group in self.space.groups:
            for choice in group.choices:
                for slot, width in zip(group.slots, choice, strict=True):
                    calibrated.grid(slot.layer, slot.slot, width)

    @property
    def needs_error(self) -> bool:
        """Whether candidates have to be run at all."""
        return (
            "error" in self.settings.objectives or self.settings.constraints.max_error is not None
        )

    def widths(self, genomes: IntArray) -> list[dict[Slot, int]]:
        """Widths of each genome [n, G], in program order."""
        found = self.space.widths(genomes)
        return [
            {slot: int(found[slot][row]) for slot in self.slots}
            for row in range(len(np.atleast_2d(genomes)))
        ]

    def costs(self, genomes: IntArray) -> dict[str, FloatArray]:
        """Latency, energy and size of genomes, each [n].

        Raises:
            MohaqError: the backend gave a cost that is not finite, or not one for each genome.
        """
        found = self._cost_model.cost(genomes, self.workload, self.settings.options)
        for name, values in found.items():
            if np.shape(values) != (len(genomes),) or not np.isfinite(values).all():
                raise MohaqError(f"the backend's cost '{name}' is not one finite number a genome")
        return found

    def cost_violation(self, costs: Mapping[str, float]) -> float:
        """How far a candidate is beyond its size limits, as a share; 0 when within."""
        return sum(max(0.0, (costs["size"] - limit) / limit) for limit in self._limits)

    def error_violation(self, result: Evaluation | Failure) -> float:
        """How far an evaluated candidate is from being feasible."""
        if isinstance(result, Failure):
            return ILLEGAL if result.kind == "illegal" else FAILED
        limit = self.settings.constraints.max_error
        return 0.0 if limit is None else max(0.0, (result.value - limit) / limit)

    def uniform(self) -> dict[int, IntArray]:
        """{bits: genome} of the uniform assignments that are legal, widest first."""
        found: dict[int, IntArray] = {}
        for bits in UNIFORM_WIDTHS:
            genome = [_index(group.choices, bits) for group in self.space.groups]
            if None not in genome:
                found[bits] = np.array(genome, dtype=np.int64)
        return found

    def widest_costs(self) -> dict[str, float]:
        """Costs of the genome with the widest choice of every gene."""
        found = self.costs(self.space.upper[None, :])
        return {name: float(values[0]) for name, values in found.items()}


def _index(choices: tuple[tuple[int, ...], ...], bits: int) -> int | None:
    for number, choice in enumerate(choices):
        if set(choice) == {bits}:
            return number
    return None
