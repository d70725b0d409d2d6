"""The backend object; its parts are imported when they are used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy.typing as npt
from xdsl.ir import Dialect
from xdsl.passes import ModulePass

from mohaq.backends.base import (
    Backend,
    CostModel,
    Estimate,
    GeneSpace,
    Legality,
    Options,
    Simulation,
    SlotGroup,
    Target,
    Workload,
)
from mohaq.compiler.analysis.layers import Layer, LayerTable
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.program import Program

WIDTHS = (2, 4, 8, 16)
KINDS = ("linear", "sru", "lstm", "gru", "rnn", "ligru", "qrnn")
MULTIPLIER_BITS = 15


class EpiphanyBackend(Backend):
    """Meshes of 16 to 1,024 small cores, programmed in C (docs/targets/epiphany.md)."""

    name: ClassVar[str] = "epiphany"
    description: ClassVar[str] = "Epiphany: C for a mesh of cores with 32 KB each"

    def targets(self) -> tuple[str, ...]:
        """Names of the shipped target files."""
        from mohaq.backends.epiphany.machine import shipped

        return shipped()

    def load_target(self, name_or_path: str) -> Target:
        """A shipped target or a user's file."""
        from mohaq.backends.epiphany.machine import load_target

        return load_target(name_or_path)

    def legality(self, layer: Layer, target: Target) -> Legality:  # noqa: ARG002
        """Every searched slot on its own at 2, 4, 8 or 16 bits.

        A QRNN with a window of two reads the program's argument beside a computed value, which
        only its rounding to 8 bits or less brings together.
        """
        if layer.kind not in KINDS:
            raise MohaqError(
                f"Epiphany cannot run layers of kind '{layer.kind}'",
                where=f"layer '{layer.name}'",
                hint="it runs " + ", ".join(KINDS),
            )
        argument = layer.window > 1 and layer.source is None
        groups = tuple(
            SlotGroup(
                f"{layer.name}.{s}",
                (Slot(layer.name, s),),
                tuple((w,) for w in (WIDTHS[:-1] if argument and s == "input" else WIDTHS)),
            )
            for s in layer.slots
        )
        return Legality(groups, "dyadic", MULTIPLIER_BITS, "per-tensor")

    def cost_model(self, table: LayerTable, space: GeneSpace, target: Target) -> CostModel:
        """Plans from shapes and widths."""
        from mohaq.backends.epiphany.cost_model import EpiphanyCosts
        from mohaq.backends.epiphany.machine import machine_of

        return EpiphanyCosts(table, space, machine_of(target))

    def legalize(self, program: Program, target: Target) -> Program:  # noqa: ARG002
        """Prove accumulators, split wide operands, narrow multipliers."""
        from mohaq.backends.epiphany.legalize import legalize

        return legalize(program)

    def lower(self, program: Program, target: Target, options: Options) -> Program:
        """The program with its schedule."""
        from mohaq.backends.epiphany.passes import lower

        return lower(program, target, options)

    def emit(self, program: Program, folder: Path, target: Target) -> None:
        """Write the C project."""
        from mohaq.backends.epiphany.emit.emit import emit

        emit(program, folder, target)

    def estimate(
        self, program: Program, target: Target, workload: Workload, options: Options
    ) -> Estimate:
        """Costs from the schedule."""
        from mohaq.backends.epiphany.estimate import estimate
        from mohaq.backends.epiphany.machine import machine_of
        from mohaq.backends.epiphany.options import check_options
        from mohaq.backends.epiphany.passes import cycles_of

        check_options(options)
        return estimate(program, machine_of(target), workload, cycles_of)

    def simulate(
        self, folder: Path, inputs: Sequence[npt.NDArray[Any]], options: Options
    ) -> Simulation:
        """Compile the project for this computer and run it."""
        from mohaq.backends.epiphany.options import check_options
        from mohaq.backends.epiphany.simulate import simulate_folder

        check_options(options)
        return simulate_folder(Path(folder), inputs)

    def dialects(self) -> tuple[Dialect, ...]:
        """The dialect `epiphany`."""
        from mohaq.backends.epiphany.dialect import Epiphany

        return (Epiphany,)

    def passes(self) -> Mapping[str, type[ModulePass]]:
        """Legalization and lowering."""
        from mohaq.backends.epiphany.passes import LegalizeForEpiphanyPass, LowerToEpiphanyPass

        return {p.name: p for p in (LegalizeForEpiphanyPass, LowerToEpiphanyPass)}
