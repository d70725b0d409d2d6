"""The backend object; its parts are imported when they are used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy.typing as npt
from xdsl.ir import Dialect
from xdsl.passes import ModulePass

from mohaq.backends.base import (
    Backend,
    CostModel,
    Estimate,
    Expected,
    GeneSpace,
    Legality,
    Options,
    Simulation,
    Target,
    Workload,
)
from mohaq.compiler.analysis.layers import Layer, LayerTable
from mohaq.compiler.program import Program


class SilagoBackend(Backend):
    """SiLago-1 "NN": a 2 x 8 fabric with packed datapaths (docs/targets/silago.md)."""

    name: ClassVar[str] = "silago"
    description: ClassVar[str] = "SiLago-1: a coarse-grained fabric, 16/8/4-bit packed lanes"

    def targets(self) -> tuple[str, ...]:
        """Names of the shipped target files."""
        from mohaq.backends.silago.machine import shipped

        return shipped()

    def load_target(self, name_or_path: str) -> Target:
        """A shipped target or a user's file."""
        from mohaq.backends.silago.machine import load_target

        return load_target(name_or_path)

    def legality(self, layer: Layer, target: Target) -> Legality:
        """One width for all products of a layer; shifts only."""
        from mohaq.backends.silago.legality import legality
        from mohaq.backends.silago.machine import fabric_of

        return legality(layer, fabric_of(target))

    def latency_unit(self, target: Target) -> Literal["s", "cycles"]:
        """Cycles, unless the target's file gives a clock: no public figure exists."""
        return "s" if target["clock"] else "cycles"

    def cost_model(self, table: LayerTable, space: GeneSpace, target: Target) -> CostModel:
        """Table lookups by layer and widths."""
        from mohaq.backends.silago.cost_model import SilagoCosts
        from mohaq.backends.silago.machine import fabric_of

        return SilagoCosts(table, space, fabric_of(target))

    def legalize(self, program: Program, target: Target) -> Program:
        """The fabric's own arithmetic, for the numerics of the target."""
        from mohaq.backends.silago.legalize import legalize_for

        return legalize_for(program, target)

    def lower(self, program: Program, target: Target, options: Options) -> Program:  # noqa: ARG002
        """Phases: products and runs of elementwise passes."""
        from mohaq.backends.silago.lowering import lower_to_phases
        from mohaq.backends.silago.options import check_options

        check_options(options)
        return lower_to_phases(program)

    def emit(self, program: Program, folder: Path, target: Target) -> None:
        """Write words, tile rows, listing and manifest."""
        from mohaq.backends.silago.emit import emit
        from mohaq.backends.silago.machine import fabric_of

        emit(program, folder, fabric_of(target))

    def estimate(
        self, program: Program, target: Target, workload: Workload, options: Options
    ) -> Estimate:
        """Costs from the phases."""
        from mohaq.backends.silago.estimate import estimate
        from mohaq.backends.silago.machine import fabric_of
        from mohaq.backends.silago.options import check_options

        check_options(options)
        return estimate(program, fabric_of(target), workload)

    def simulate(
        self, folder: Path, inputs: Sequence[npt.NDArray[Any]], options: Options
    ) -> Simulation:
        """Execute an emitted folder."""
        from mohaq.backends.silago.options import check_options
        from mohaq.backends.silago.simulator.folder import run_folder

        check_options(options)
        return run_folder(folder, inputs)

    def check_expected(self, folder: Path) -> Expected:
        """Run programs and phases on their check inputs."""
        from mohaq.backends.silago.simulator.expected import check_expected

        return check_expected(folder)

    def dialects(self) -> tuple[Dialect, ...]:
        """Phases, and the instructions of the cells."""
        from mohaq.backends.silago.dialect import Silago
        from mohaq.backends.silago.dialect_phases import Phase

        return (Phase, Silago)

    def passes(self) -> Mapping[str, type[ModulePass]]:
        """`legalize-for-silago` and `lower-to-silago`."""
        from mohaq.backends.silago.passes import LegalizeForSilagoPass, LowerToSilagoPass

        return {p.name: p for p in (LegalizeForSilagoPass, LowerToSilagoPass)}
