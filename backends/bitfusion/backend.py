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
KINDS = ("linear", "sru", "qrnn", "rnn", "lstm", "gru", "ligru")
MULTIPLIER_BITS = 15


class BitfusionBackend(Backend):
    """Bit Fusion with our post-processing unit (docs/targets/bitfusion.md)."""

    name: ClassVar[str] = "bitfusion"
    description: ClassVar[str] = "Bit Fusion: 2-bit bricks fused to 2, 4 and 8 bits, 16 in passes"

    def targets(self) -> tuple[str, ...]:
        """Names of the shipped target files."""
        from mohaq.backends.bitfusion.machine import shipped

        return shipped()

    def load_target(self, name_or_path: str) -> Target:
        """A shipped target or a user's file."""
        from mohaq.backends.bitfusion.machine import load_target

        return load_target(name_or_path)

    def legality(self, layer: Layer, target: Target) -> Legality:  # noqa: ARG002
        """Every operand of a product independently at 2, 4, 8 or 16 bits."""
        if layer.kind not in KINDS:
            raise MohaqError(
                f"Bit Fusion cannot run layers of kind '{layer.kind}' yet",
                where=f"layer '{layer.name}'",
                hint="it runs " + ", ".join(KINDS),
            )
        if layer.recurrent_inputs > layer.hidden:
            raise MohaqError(
                "Bit Fusion cannot run an LSTM that is projected to more channels than units",
                where=f"layer '{layer.name}'",
                why="the values of a time step have one element a unit",
            )
        groups = tuple(
            SlotGroup(f"{layer.name}.{s}", (Slot(layer.name, s),), tuple((w,) for w in WIDTHS))
            for s in layer.slots
        )
        return Legality(groups, "dyadic", MULTIPLIER_BITS, "per-tensor")

    def cost_model(self, table: LayerTable, space: GeneSpace, target: Target) -> CostModel:
        """Table lookups by layer and widths."""
        from mohaq.backends.bitfusion.cost_model import BitfusionCosts
        from mohaq.backends.bitfusion.machine import machine_of

        return BitfusionCosts(table, space, machine_of(target))

    def legalize(self, program: Program, target: Target) -> Program:  # noqa: ARG002
        """Split 16-bit operands, prove accumulators, narrow multipliers."""
        from mohaq.backends.bitfusion.legalize import legalize

        return legalize(program)

    def lower(self, program: Program, target: Target, options: Options) -> Program:
        """Blocks of instructions for up to 4096 rows."""
        from mohaq.backends.bitfusion.passes import lower

        return lower(program, target, options)

    def emit(self, program: Program, folder: Path, target: Target) -> None:
        """Write words, listing, memory image and manifest."""
        from mohaq.backends.bitfusion.emit import emit
        from mohaq.backends.bitfusion.machine import machine_of

        emit(program, folder, machine_of(target))

    def estimate(
        self, program: Program, target: Target, workload: Workload, options: Options
    ) -> Estimate:
        """Costs from the lowered blocks."""
        from mohaq.backends.bitfusion.estimate import estimate
        from mohaq.backends.bitfusion.machine import machine_of
        from mohaq.backends.bitfusion.options import check_options

        check_options(options)
        return estimate(program, machine_of(target), workload)

    def simulate(
        self, folder: Path, inputs: Sequence[npt.NDArray[Any]], options: Options
    ) -> Simulation:
        """Execute an emitted folder."""
        from mohaq.backends.bitfusion.options import check_options
        from mohaq.backends.bitfusion.simulator.run import run_folder

        check_options(options)
        return run_folder(Path(folder), inputs, bricks=options.numerics == "bricks")

    def dialects(self) -> tuple[Dialect, ...]:
        """The dialect `bitfusion`."""
        from mohaq.backends.bitfusion.dialect import Bitfusion

        return (Bitfusion,)

    def passes(self) -> Mapping[str, type[ModulePass]]:
        """Legalization and lowering."""
        from mohaq.backends.bitfusion.passes import LegalizeForBitfusionPass, LowerToBitfusionPass

        return {p.name: p for p in (LegalizeForBitfusionPass, LowerToBitfusionPass)}
