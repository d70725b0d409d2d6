"""Layers of the family on Epiphany: bits = reference, cost in search = estimate = counters."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from family import Drawn, layers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mohaq.backends.base import Options, Workload
from mohaq.backends.epiphany import BACKEND
from mohaq.backends.epiphany.simulator import missing_tools
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.driver.build import lower_for_target
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.program import argument_grids
from mohaq.compiler.quantizer import quantize
from mohaq.passes.calibrate import calibrate

TARGET = BACKEND.load_target("epiphany-e16")
needs_compiler = pytest.mark.skipif(bool(missing_tools()), reason="needs a C compiler and make")


def check(drawn: Drawn, choices: list[int], folder: Path | None) -> bool:
    """The invariant for one program; without a folder, of search and estimate alone."""
    program, x = drawn.program, drawn.inputs[0]
    calibrate(program, [x[:, 0], x[:, -1]])
    table = calibrated_table(program)
    try:
        space = BACKEND.space(table.table, TARGET)
    except MohaqError:
        return False
    genome = np.array([choices[n % len(choices)] for n in range(len(space.groups))])
    genome = np.minimum(genome, space.upper)
    widths = {s: int(v[0]) for s, v in space.widths(genome).items()}
    legal = lower_for_target(program, BACKEND, TARGET, widths).legalized
    legal.verify()
    lowered = BACKEND.lower(legal, TARGET, Options())
    lowered.verify()
    steps, batch = x.shape[:2]
    workload = Workload(steps, batch, carried_state=len(drawn.inputs) > 1)
    estimate = BACKEND.estimate(lowered, TARGET, workload, Options())
    costs = BACKEND.cost_model(table.table, space, TARGET).cost(genome, workload, Options())
    assert estimate.total.seconds == costs["latency"][0], drawn.facts
    assert estimate.total.joules == costs["energy"][0], drawn.facts
    assert estimate.size_bytes == costs["size"][0], drawn.facts
    if folder is None:
        return True
    BACKEND.emit(lowered, folder, TARGET)
    inputs = []
    for value, grid in zip(drawn.inputs, argument_grids(legal.entry), strict=True):
        assert grid is not None
        inputs.append(quantize(value, grid))
    found = BACKEND.simulate(folder, inputs, Options())
    for ours, theirs in zip(found.outputs, run_integer(legal, inputs), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found.measured == estimate, drawn.facts
    return True


WIDTHS = st.lists(st.integers(0, 3), min_size=4, max_size=4)


@pytest.mark.parametrize("kind", ["sru", "lstm", "gru", "rnn", "ligru", "qrnn"])
def test_search_and_estimate_agree(kind: str) -> None:
    told: Counter[bool] = Counter()

    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn=layers((kind,), device=True), choices=WIDTHS)
    def run(drawn: Drawn, choices: list[int]) -> None:
        told[check(drawn, choices, None)] += 1

    run()
    assert told[True]


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sru", "lstm", "gru", "rnn", "ligru", "qrnn"])
def test_the_invariant_over_the_family(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    told: Counter[bool] = Counter()

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn=layers((kind,), device=True), choices=WIDTHS)
    def run(drawn: Drawn, choices: list[int]) -> None:
        told[check(drawn, choices, tmp_path_factory.mktemp("emitted"))] += 1

    run()
    assert told[True]
