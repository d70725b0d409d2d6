"""The conformance kit finds what is wrong with a backend: one broken thing at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

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
from mohaq.backends.reference import ReferenceBackend
from mohaq.backends.testing import Conformance
from mohaq.compiler.analysis.layers import Layer, LayerTable
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.program import Program

NUMBERS = count()


class CheapCosts(ReferenceBackend):
    def cost_model(self, table: LayerTable, space: GeneSpace, target: Target) -> CostModel:
        constants = {**target.constants, "clock": replace(target.constants["clock"], value=1e9)}
        return super().cost_model(table, space, replace(target, constants=constants))


class Unsorted(ReferenceBackend):
    def legality(self, layer: Layer, target: Target) -> Legality:
        legal = super().legality(layer, target)
        (group,) = legal.groups
        return replace(legal, groups=(SlotGroup(group.name, group.slots, group.choices[::-1]),))


class Nameless(ReferenceBackend):
    def legality(self, layer: Layer, target: Target) -> Legality:
        del layer, target
        raise MohaqError("no")


class Numbered(ReferenceBackend):
    def emit(self, program: Program, folder: Path, target: Target) -> None:
        super().emit(program, folder, target)
        (folder / "number.txt").write_text(str(next(NUMBERS)))


class Located(ReferenceBackend):
    def emit(self, program: Program, folder: Path, target: Target) -> None:
        super().emit(program, folder, target)
        (folder / "place.txt").write_text("written by mohaq\n" + str(folder))


class Interpreting(ReferenceBackend):
    last: ClassVar[list[Program]] = []

    def lower(self, program: Program, target: Target, options: Options) -> Program:
        self.last.append(program)
        return super().lower(program, target, options)

    def simulate(self, folder: Path, inputs: Sequence[Any], options: Options) -> Simulation:
        found = super().simulate(folder, inputs, options)
        return replace(found, outputs=run_integer(self.last[0], list(inputs)))


class Careless(ReferenceBackend):
    def simulate(self, folder: Path, inputs: Sequence[Any], options: Options) -> Simulation:
        return super().simulate(folder, inputs, replace(options, prefer="latency"))


class Forgetful(ReferenceBackend):
    """Answers every folder of a program with its first run."""

    held: ClassVar[dict[bytes, Simulation]] = {}

    def simulate(self, folder: Path, inputs: Sequence[Any], options: Options) -> Simulation:
        key = b"".join(np.ascontiguousarray(x).tobytes() for x in inputs)
        if key not in self.held:
            self.held[key] = super().simulate(folder, inputs, options)
        return self.held[key]


class OffByOne(ReferenceBackend):
    def simulate(self, folder: Path, inputs: Sequence[Any], options: Options) -> Simulation:
        found = super().simulate(folder, inputs, options)
        return replace(found, outputs=tuple(x + 1 for x in found.outputs))


class Miscounting(ReferenceBackend):
    def estimate(
        self, program: Program, target: Target, workload: Workload, options: Options
    ) -> Estimate:
        found = super().estimate(program, target, workload, options)
        counters = {**found.total.counters, "extra": 1}
        return replace(found, total=replace(found.total, counters=counters))


Test = Callable[[Conformance], None]
FOUND: Mapping[type[Backend], tuple[Test, str]] = {
    CheapCosts: (
        lambda kit: kit.test_generated_layers_cost_what_is_estimated("linear"), "latency: cost",
    ),
    Unsorted: (lambda kit: kit.test_legality_is_total("linear"), "not sorted from narrow to wide"),
    Nameless: (lambda kit: kit.test_legality_is_total("linear"), "names no layer"),
    Numbered: (lambda kit: kit.test_emission_is_deterministic(), "'number.txt' differs"),
    Located: (lambda kit: kit.test_emission_is_deterministic(), "'place.txt'"),
    Interpreting: (
        lambda kit: kit.test_the_simulator_stands_alone(), "mohaq.compiler.interpreters",
    ),
    Careless: (lambda kit: kit.test_unknown_options_are_refused(), "simulate takes prefer"),
    Forgetful: (lambda kit: kit.test_changed_words_are_noticed(), "nothing reads"),
    OffByOne: (lambda kit: kit.test_generated_layers_run_exactly("linear"), "integers differ"),
    Miscounting: (
        lambda kit: kit.test_generated_layers_run_exactly("linear"), "counters of the run differ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOUND, ids=lambda kind: kind.__name__)
def test_what_is_wrong_is_found(kind: type[Backend]) -> None:
    test, message = FOUND[kind]
    made = type(f"Kit{kind.__name__}", (Conformance,), {"backend": kind(), "examples": 2})
    with pytest.raises((AssertionError, pytest.fail.Exception), match=message):
        test(made())


def test_the_kit_says_when_a_kind_does_not_run() -> None:
    class Kit(Conformance):
        backend = Nameless()
        kinds = ("linear",)

        def excluded(self, drawn: Any) -> bool:
            del drawn
            return True

    with pytest.raises(AssertionError, match="no generated layer of kind 'linear' ran"):
        Kit().test_generated_layers_run_exactly("linear")
