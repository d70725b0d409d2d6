"""The reference backend: `qnn` as it is, on one small integer core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy.typing as npt
from xdsl.passes import ModulePass

from mohaq.backends.base import (
    Backend,
    CostModel,
    Estimate,
    GeneSpace,
    IllegalAssignment,
    Legality,
    Options,
    Simulation,
    SlotGroup,
    Target,
    Workload,
)
from mohaq.backends.reference import target as targets
from mohaq.backends.reference.cost import ReferenceCostModel
from mohaq.backends.reference.emit import emit_program
from mohaq.backends.reference.estimate import estimate_program
from mohaq.backends.reference.options import check_options
from mohaq.backends.reference.schedule import schedule
from mohaq.backends.reference.simulate import simulate_folder
from mohaq.compiler.analysis.layers import Layer, LayerTable
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.qnn.matmul import needed_bits
from mohaq.compiler.dialects.quant import MAX_WIDTH, MIN_WIDTH
from mohaq.compiler.program import Program

WIDTHS = (2, 4, 8, 16)
"""What a search chooses from; a program may have any width of 2..16."""

KINDS = ("linear", "sru", "rnn", "lstm", "gru", "ligru", "qrnn")


class ReferenceBackend(Backend):
    """Runs neutral `qnn` programs; weights and inputs of a layer have one width.

    Linear layers of the same shape share one gene, as cores with one kernel for each shape do.
    """

    name: ClassVar[str] = "reference"
    description: ClassVar[str] = "the integer reference on a small core"

    def targets(self) -> tuple[str, ...]:
        """See `Backend`."""
        return targets.shipped()

    def load_target(self, name_or_path: str) -> Target:
        """See `Backend`."""
        return targets.load_target(name_or_path)

    def legality(self, layer: Layer, target: Target) -> Legality:
        """One tied group a layer: all slots 2, 4, 8 or 16 bits."""
        if layer.kind not in KINDS:
            raise MohaqError(
                f"target '{target.name}' cannot run a layer of kind '{layer.kind}'",
                where=f"layer '{layer.name}'",
            )
        if layer.projected:
            raise MohaqError(
                f"target '{target.name}' has one width for all products of a layer",
                where=f"layer '{layer.name}'",
                why="the projection of an LSTM has 16 bits",
            )
        usable = [w for w in WIDTHS if w <= target.whole("datapath_bits")]
        slots = tuple(Slot(layer.name, slot) for slot in layer.slots)
        choices = tuple((w,) * len(slots) for w in usable)
        return Legality((SlotGroup(layer.name, slots, choices),), granularity="per-channel")

    def space(self, table: LayerTable, target: Target) -> GeneSpace:
        """One gene a layer, shared by all linear layers of one shape."""
        return _tied([self.legality(layer, target).groups[0] for layer in table], table)

    def require_legal(self, table: LayerTable, target: Target, widths: Mapping[Slot, int]) -> None:
        """Any width of 2..16, tied as in the search."""
        every = range(MIN_WIDTH, min(MAX_WIDTH, target.whole("datapath_bits")) + 1)
        groups = []
        for layer in table:
            (mine,) = self.legality(layer, target).groups
            choices = tuple((w,) * len(mine.slots) for w in every)
            groups.append(replace(mine, choices=choices))
        _tied(groups, table).encode(widths)

    def cost_model(self, table: LayerTable, space: GeneSpace, target: Target) -> CostModel:
        """See `Backend`."""
        return ReferenceCostModel(table, space, target)

    def legalize(self, program: Program, target: Target) -> Program:
        """Give every product the target's accumulator."""
        made = program.clone()
        width = target.whole("accumulator_bits")
        for op in made.module.walk():
            if isinstance(op, qnn.MatmulOp):
                bound = op.acc.bound.data
                if needed_bits(bound) > width:
                    raise IllegalAssignment(
                        f"a sum needs {needed_bits(bound)} bits, the accumulator of "
                        f"'{target.name}' has {width}",
                        why=f"|sum| can reach {bound}",
                        hint="use fewer bits in this layer",
                    )
                op.attributes["acc"] = qnn.AccAttr.proved(width, bound)
        return made

    def lower(self, program: Program, target: Target, options: Options) -> Program:
        """Note layer and width on every product and recurrence."""
        check_options(options)
        return schedule(program, target)

    def emit(self, program: Program, folder: Path, target: Target) -> None:
        """Write `program.json` and `integers.safetensors`."""
        emit_program(program, folder, target)

    def estimate(
        self, program: Program, target: Target, workload: Workload, options: Options
    ) -> Estimate:
        """See `Backend`."""
        check_options(options)
        return estimate_program(program, target, workload)

    def simulate(
        self, folder: Path, inputs: Sequence[npt.NDArray[Any]], options: Options
    ) -> Simulation:
        """See `Backend`."""
        check_options(options)
        return simulate_folder(folder, inputs)

    def passes(self) -> Mapping[str, type[ModulePass]]:
        """Legalization and lowering."""
        from mohaq.backends.reference.passes import LegalizeForReferencePass, LowerToReferencePass

        return {p.name: p for p in (LegalizeForReferencePass, LowerToReferencePass)}


def _tied(each: Sequence[SlotGroup], table: LayerTable) -> GeneSpace:
    """The groups of the layers, linear layers of one shape together."""
    groups: dict[object, SlotGroup] = {}
    for layer, mine in zip(table, each, strict=True):
        key = ("linear", layer.inputs, layer.outputs) if layer.kind == "linear" else layer.name
        if key in groups:
            first = groups[key]
            slots = (*first.slots, *mine.slots)
            choices = tuple((c[0],) * len(slots) for c in mine.choices)
            groups[key] = SlotGroup(f"{first.name}+{mine.name}", slots, choices)
        else:
            groups[key] = mine
    return GeneSpace(tuple(groups.values()))
