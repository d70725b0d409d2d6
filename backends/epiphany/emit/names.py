"""Names and places that the generated files share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mohaq.backends.epiphany.emit.blob import Blob
from mohaq.backends.epiphany.lowering.nodes import Node, Stage
from mohaq.backends.epiphany.lowering.staged import Staged
from mohaq.backends.epiphany.machine import Machine
from mohaq.backends.epiphany.plan.memory import Field
from mohaq.backends.epiphany.plan.program import ProgramPlan
from mohaq.compiler.dialects.qnn.table import reading
from mohaq.compiler.files import safe_name


@dataclass(frozen=True)
class Unit:
    """Everything that the files of a project are written from."""

    staged: Staged
    plan: ProgramPlan
    blob: Blob
    machine: Machine
    bits: Callable[[Node], int]

    def stage_name(self, number: int) -> str:
        """Name of a stage's file and function."""
        return f"layer_{number:02}_{safe_name(self.staged.stages[number].name)}"

    def layers(self) -> list[str]:
        """Names of layers in order; phase 1 + n counts layer n."""
        return list(dict.fromkeys(s.layer for s in self.staged.stages))

    def phase(self, number: int) -> int:
        """Phase of a stage's counters: 0 where it only carries a state to its end."""
        stage = self.staged.stages[number]
        return 1 + self.layers().index(stage.layer) if stage.outputs else 0

    def tables(self) -> dict[str, tuple[str, int, bool]]:
        """{symbol: (C name, bits within a segment, whether to interpolate)}."""
        return {
            name: (f"mohaq_table_{safe_name(name)}", *reading(len(points)))
            for name, points in self.staged.tables.items()
        }

    def resident_name(self, stage: int, product: int) -> str:
        """Field of weights that stay."""
        weights = safe_name(self.staged.stages[stage].products[product].weights)
        return f"stage{stage:02}_{product}_{weights}"

    def bank_of(self, stage: int, field: str) -> int:
        """Bank of a stage's field."""
        for bank, fields in self.plan.places[stage].banks.items():
            if any(f.name == field for f in fields):
                return bank
        raise KeyError(field)

    def field(self, stage: int, name: str) -> str:
        """C expression of a stage's field."""
        return f"MOHAQ_LOCAL({self.bank_of(stage, name)})->at.{self.stage_name(stage)}.{name}"

    def fields(self, stage: int) -> list[tuple[int, Field]]:
        """(bank, field) of a stage."""
        return [(b, f) for b, fs in self.plan.places[stage].banks.items() for f in fs]


def vector_name(stage: Stage, name: str, group: int) -> str:
    """Field of a vector of a stage: numbered, so that names of a model never collide."""
    number = list(stage.params).index((name, group))
    return f"v{number}_{safe_name(name, limit=40)}_{group}"
