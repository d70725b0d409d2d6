"""The search problem of one program on one target: genes, cheap objectives, constraints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from mohaq.backends.base import (
    Backend,
    CostModel,
    FloatArray,
    GeneSpace,
    IntArray,
    NoRoom,
    Target,
    Workload,
)
from mohaq.compiler.analysis.storage import CalibratedTable
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.engine import Bound, Evaluation, Failure
from mohaq.compiler.search.genes import check_choices, shaped
from mohaq.compiler.search.objectives import BUILT_IN, ERROR, Priced, find_objective
from mohaq.compiler.search.settings import SearchSettings

ILLEGAL, FAILED = 1e2, 1e3
"""Violations of candidates without an error; those that break a limit are below."""

LEAST = 1e-9
"""Violation of a candidate that only just does not fit."""

LIMIT_CONSTANT = "model_bytes"
"""Constant of a target file that bounds the size of a model."""

HEADROOM = 1.1
"""The hypervolume's reference point lies so far beyond the widest assignment's costs."""

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
        whole = backend.space(table, target)
        check_choices(whole, backend.name)
        self.space: GeneSpace
        self.space, self._frozen = shaped(whole, settings.freeze, settings.ties)
        self.settings = settings
        self.workload = workload
        self.slots = tuple(calibrated.searched())
        self._table, self._target = table, target
        self._priced = [axis for axis in settings.axes if axis.name != ERROR]
        self._more = dict(settings.constraints.more)
        self._priced += [find_objective(n) for n in self._more if n not in settings.objectives]
        self._cost_model = backend.cost_model(table, self.space, target)
        self._unfit: dict[tuple[int, ...], NoRoom] = {}
        self.widest, _ = _widest(self._cost_model, self.space, workload, settings)
        whole_model = backend.cost_model(table, whole, target)
        _, self._widest = _widest(whole_model, whole, workload, settings)
        self._limits: dict[str, float] = {}
        if settings.constraints.max_size:
            self._limits["max_size"] = settings.constraints.max_size
        if LIMIT_CONSTANT in target.constants:
            self._limits[f"{LIMIT_CONSTANT} of target '{target.name}'"] = target[LIMIT_CONSTANT]
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
        """The backend's costs of genomes and the objectives made of them, each [n].

        NaN for those that do not fit the target's memory (`unfit`).

        Raises:
            MohaqError: the backend gave a cost that is not finite, or not one for each genome; an
                objective cannot be priced.
        """
        array = np.atleast_2d(np.asarray(genomes, dtype=np.int64))
        try:
            return self._fitting_costs(array)
        except NoRoom:
            fits = np.array([self._fits(row) for row in array], dtype=bool)
        known = self._fitting_costs(array[fits] if fits.any() else self.widest[None, :])
        found = {name: np.full(len(array), np.nan) for name in known}
        for name, values in known.items() if fits.any() else ():
            found[name][fits] = values
        return found

    def unfit(self, genome: tuple[int, ...]) -> NoRoom | None:
        """Why a priced genome does not fit the target's memory; None: it does."""
        return self._unfit.get(genome)

    def _fits(self, genome: IntArray) -> bool:
        key = tuple(int(v) for v in genome)
        if key not in self._unfit:
            try:
                self._cost_model.cost(genome[None, :], self.workload, self.settings.options)
            except NoRoom as reason:
                self._unfit[key] = reason
        return key not in self._unfit

    def _fitting_costs(self, genomes: IntArray) -> dict[str, FloatArray]:
        found = self._cost_model.cost(genomes, self.workload, self.settings.options)
        for name, values in found.items():
            if np.shape(values) != (len(genomes),) or not np.isfinite(values).all():
                raise MohaqError(f"the backend's cost '{name}' is not one finite number a genome")
        priced = Priced(
            self.space.widths(genomes),
            found,
            self._widest,
            self._table,
            self._target,
            self.workload,
        )
        own = {axis.name: axis.price(priced) for axis in self._priced if axis.name not in found}
        return {**found, **own}

    def cost_violation(self, costs: Mapping[str, float]) -> float:
        """How far a candidate is beyond the limits of its costs, as a share; 0 when within.

        Costs of a candidate that fits its target.
        """
        size = sum(max(0.0, (costs["size"] - limit) / limit) for limit in self._limits.values())
        more = (max(0.0, (costs[n] - limit) / limit) for n, limit in self._more.items())
        return size + sum(more)

    @staticmethod
    def room_violation(reason: NoRoom) -> float:
        """How far a candidate is from fitting the target's memory."""
        return ILLEGAL if reason.excess is None else min(max(reason.excess, LEAST), ILLEGAL)

    def error_violation(self, result: Evaluation | Failure | Bound) -> float:
        """How far an evaluated candidate is from being feasible."""
        if isinstance(result, Failure):
            return ILLEGAL if result.kind == "illegal" else FAILED
        limit = self.settings.constraints.max_error
        return 0.0 if limit is None else max(0.0, (result.value - limit) / limit)

    def uniform(self) -> dict[int, IntArray]:
        """{bits: genome} of the uniform assignments that are legal, widest first.

        Frozen genes stay as they are.
        """
        found: dict[int, IntArray] = {}
        free = [group for group in self.space.groups if group.name not in self._frozen]
        for bits in UNIFORM_WIDTHS if free else ():
            genome = [
                _nearest(group.choices, bits)
                if group.name in self._frozen
                else _index(group.choices, bits)
                for group in self.space.groups
            ]
            if None not in genome:
                found[bits] = np.array(genome, dtype=np.int64)
        return found

    def reference_point(self, error: float) -> FloatArray:
        """The point [M] that hypervolumes refer to.

        Error 1 (or `error`, if that is worse); costs a little beyond those of the widest
        assignment that fits, or of the worst of the widest, the narrowest and the uniform ones for
        objectives that a backend does not know.
        """
        corners = np.stack([self.widest, 0 * self.space.upper, *self.uniform().values()])
        costs = self.costs(corners)
        found = []
        for axis in self.settings.axes:
            if axis.name == ERROR:
                found.append(max(1.0, error))
                continue
            values = costs[axis.name]
            if axis.direction == "max":
                found.append(float(np.nanmin(values)) / HEADROOM)
            else:
                worst = values[0] if axis.name in BUILT_IN else np.nanmax(values)
                found.append(HEADROOM * float(worst) or 1.0)
        return np.array(found)

    def check_limits(self) -> None:
        """Refuse size limits that no candidate keeps.

        The narrowest assignment proves it where no single gene can be changed to less.

        Raises:
            MohaqError: says which limit and by how much.
        """
        upper = self.space.upper
        nearby = [0 * upper]
        for gene, top in enumerate(upper):
            for index in range(1, int(top) + 1):
                nearby.append(0 * upper)
                nearby[-1][gene] = index
        sizes = self.costs(np.stack(nearby))["size"]
        least = float(np.nanmin(sizes))
        if not least >= sizes[0]:  # also where the narrowest one does not fit the target
            return
        for name, limit in self._limits.items():
            if least > limit:
                raise MohaqError(
                    f"no assignment keeps {name} {limit:,.0f} bytes",
                    why=f"the narrowest one has {least:,.0f} bytes, {least - limit:,.0f} "
                    f"({100 * (least - limit) / limit:.1f} %) too many",
                    hint="allow more bytes, choose another target or shrink the model",
                )

    def unmet(self, costs: Iterable[Mapping[str, float]]) -> list[str]:
        """For each limit that no evaluated candidate kept: which, and by how much."""
        held = [c for c in costs if "size" in c]  # the others do not fit the target
        found = []
        for name, limit in self._limits.items():
            least = min((c["size"] for c in held), default=limit)
            if least > limit:
                found.append(
                    f"{name} {limit:,.0f} bytes: the smallest candidate has {least:,.0f}, "
                    f"{least - limit:,.0f} too many"
                )
        for name, limit in self._more.items():
            least = min((c[name] for c in held), default=limit)
            if least > limit:
                found.append(
                    f"{name} {limit:g}: the least is {least:g}, {least - limit:g} too much"
                )
        limit_error = self.settings.constraints.max_error
        errors = [c[ERROR] for c in held if ERROR in c]
        if limit_error is not None and errors and min(errors) > limit_error:
            least = min(errors)
            found.append(
                f"max_error {limit_error:g}: the best of {len(errors)} candidates has {least:g}, "
                f"{least - limit_error:g} too much"
            )
        return found


def _widest(
    model: CostModel, space: GeneSpace, workload: Workload, settings: SearchSettings
) -> tuple[IntArray, dict[str, float]]:
    """The widest genome that fits the target, all genes narrowed alike, and its costs.

    Raises:
        NoRoom: not even the narrowest fits: the model is too large for the target.
    """
    genome = space.upper.copy()
    while True:
        try:
            costs = model.cost(genome[None, :], workload, settings.options)
        except NoRoom:
            if not genome.any():
                raise
            genome = np.maximum(genome - 1, 0)
        else:
            return genome, {name: float(values[0]) for name, values in costs.items()}


def _index(choices: tuple[tuple[int, ...], ...], bits: int) -> int | None:
    for number, choice in enumerate(choices):
        if set(choice) == {bits}:
            return number
    return None


def _nearest(choices: tuple[tuple[int, ...], ...], bits: int) -> int:
    """The choice with the most slots at `bits`."""
    return max(range(len(choices)), key=lambda i: choices[i].count(bits))
