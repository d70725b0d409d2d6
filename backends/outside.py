"""Backends of other packages: what they raise or give back wrongly carries their name.

Errors of the contract (`MohaqError`) pass as they are; any other exception becomes one, with
package and version, so that a broken plug-in is a message and no bug of mohaq.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
from xdsl.ir import Dialect
from xdsl.passes import ModulePass

from mohaq.backends.base import (
    Backend,
    CostModel,
    Estimate,
    Expected,
    FloatArray,
    GeneSpace,
    Legality,
    Options,
    Simulation,
    Target,
    Workload,
)
from mohaq.compiler.analysis.layers import Layer, LayerTable
from mohaq.compiler.analysis.storage import CalibratedTable
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.plugins import Plugin
from mohaq.compiler.program import Program

COSTS = ("latency", "energy", "size")
"""What every cost model gives."""


def outside(inner: Backend, plugin: Plugin) -> Backend:
    """The backend behind a door that names it."""
    facts = {
        "name": inner.name,
        "description": str(getattr(inner, "description", "")),
        "api_version": inner.api_version,
    }
    kind = type(type(inner).__name__, (_Outside,), facts)
    return cast("Backend", kind(inner, plugin))


def _asked(plugin: Plugin, inner: object, method: str, kind: type, *given: Any) -> Any:
    """Call a method and check the kind of its result.

    Raises:
        MohaqError: its own, or one that names the plug-in.
    """
    try:
        found = getattr(inner, method)(*given)
    except MohaqError:
        raise
    except Exception as error:
        raise plugin.failed(f"'{method}'", error) from error
    if not isinstance(found, kind):
        raise MohaqError(
            f"'{method}' gives a {type(found).__name__}, not a {kind.__name__}", where=plugin.where
        )
    return found


def checked_costs(
    found: Mapping[str, Any], count: int, where: str, needed: Sequence[str] = COSTS
) -> dict[str, FloatArray]:
    """Costs of `count` genomes as the contract wants them.

    Raises:
        MohaqError: one is missing, or is not one finite number a genome, none negative.
    """
    if lost := [name for name in needed if name not in found]:
        raise MohaqError(f"'cost' gives no '{lost[0]}'", where=where)
    made = {}
    for name, values in found.items():
        try:
            array = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise MohaqError(f"cost '{name}' is no array of numbers", where=where) from None
        if array.shape != (count,):
            raise MohaqError(
                f"cost '{name}' is not one number a genome",
                where=where,
                why=f"shape {array.shape} for {count} genomes",
            )
        if bad := [v for v in array if not np.isfinite(v) or v < 0]:
            raise MohaqError(f"cost '{name}' of a genome is {bad[0]}", where=where)
        made[name] = array
    return made


class _OutsideCosts(CostModel):
    def __init__(self, inner: CostModel, plugin: Plugin) -> None:
        self._inner, self._plugin = inner, plugin

    def cost(
        self, genomes: npt.ArrayLike, workload: Workload, options: Options
    ) -> dict[str, FloatArray]:
        """See `CostModel.cost`; checked."""
        count = len(np.atleast_2d(np.asarray(genomes)))
        found = _asked(self._plugin, self._inner, "cost", Mapping, genomes, workload, options)
        return checked_costs(found, count, self._plugin.where)


class _Outside(Backend):
    """Every method asks the backend; see `Backend`."""

    def __init__(self, inner: Backend, plugin: Plugin) -> None:
        self._inner, self._plugin = inner, plugin

    def _ask(self, method: str, kind: type, *given: Any) -> Any:
        return _asked(self._plugin, self._inner, method, kind, *given)

    def targets(self) -> tuple[str, ...]:
        """Names; texts."""
        found = self._ask("targets", Sequence)
        if isinstance(found, str) or not all(isinstance(name, str) for name in found):
            raise MohaqError("'targets' gives no tuple of names", where=self._plugin.where)
        return tuple(found)

    def load_target(self, name_or_path: str) -> Target:
        """See `Backend`."""
        return cast("Target", self._ask("load_target", Target, name_or_path))

    def legality(self, layer: Layer, target: Target) -> Legality:
        """See `Backend`."""
        return cast("Legality", self._ask("legality", Legality, layer, target))

    def latency_unit(self, target: Target) -> Literal["s", "cycles"]:
        """See `Backend`."""
        return cast("Literal['s', 'cycles']", self._ask("latency_unit", str, target))

    def space(self, table: LayerTable, target: Target) -> GeneSpace:
        """See `Backend`."""
        return cast("GeneSpace", self._ask("space", GeneSpace, table, target))

    def require_legal(self, table: LayerTable, target: Target, widths: Mapping[Slot, int]) -> None:
        """See `Backend`."""
        self._ask("require_legal", object, table, target, widths)

    def obeyed(self, calibrated: CalibratedTable, target: Target) -> CalibratedTable:
        """See `Backend`."""
        return cast("CalibratedTable", self._ask("obeyed", CalibratedTable, calibrated, target))

    def cost_model(self, table: LayerTable, space: GeneSpace, target: Target) -> CostModel:
        """See `Backend`; its costs are checked."""
        return _OutsideCosts(self._ask("cost_model", CostModel, table, space, target), self._plugin)

    def legalize(self, program: Program, target: Target) -> Program:
        """See `Backend`."""
        return cast("Program", self._ask("legalize", Program, program, target))

    def lower(self, program: Program, target: Target, options: Options) -> Program:
        """See `Backend`."""
        return cast("Program", self._ask("lower", Program, program, target, options))

    def emit(self, program: Program, folder: Path, target: Target) -> None:
        """See `Backend`."""
        self._ask("emit", object, program, folder, target)

    def estimate(
        self, program: Program, target: Target, workload: Workload, options: Options
    ) -> Estimate:
        """See `Backend`."""
        return cast("Estimate", self._ask("estimate", Estimate, program, target, workload, options))

    def simulate(
        self, folder: Path, inputs: Sequence[npt.NDArray[Any]], options: Options
    ) -> Simulation:
        """See `Backend`."""
        return cast("Simulation", self._ask("simulate", Simulation, folder, inputs, options))

    def check_expected(self, folder: Path) -> Expected:
        """See `Backend`."""
        return cast("Expected", self._ask("check_expected", Expected, folder))

    def dialects(self) -> tuple[Dialect, ...]:
        """See `Backend`."""
        return tuple(self._ask("dialects", Sequence))

    def passes(self) -> Mapping[str, type[ModulePass]]:
        """See `Backend`."""
        return cast("Mapping[str, type[ModulePass]]", self._ask("passes", Mapping))
