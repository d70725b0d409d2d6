"""Layers of the family on SiLago: accepted or refused by name; bits, estimate and cost agree."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from family import Drawn, layers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mohaq.backends.base import IllegalAssignment, Options, Workload
from mohaq.backends.silago import BACKEND
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.program import argument_grids
from mohaq.compiler.quantizer import quantize
from mohaq.passes.apply_assignment import annotate
from mohaq.passes.calibrate import calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn


@pytest.mark.parametrize("kind", ["sru", "lstm", "gru", "rnn", "ligru", "qrnn"])
@pytest.mark.parametrize("name", ["silago-mohaq", "silago1-nn", "silago1-rtl"])
def test_the_invariant_over_the_family(
    kind: str, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    target = BACKEND.load_target(name)
    told: Counter[str] = Counter()

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn=layers((kind,), device=True), choice=st.integers(0, 2))
    def check(drawn: Drawn, choice: int) -> None:
        program, x = drawn.program, drawn.inputs[0]
        calibrate(program, [x[:, 0], x[:, -1]])
        calibrated = calibrated_table(program)
        table = calibrated.table
        try:
            space = BACKEND.space(table, target)
        except MohaqError as error:
            told["refused" if "layer '" in str(error) else "no name"] += 1
            return
        calibrated = BACKEND.obeyed(calibrated, target)
        genome = np.minimum(choice, space.upper)
        widths = {s: int(v[0]) for s, v in space.widths(genome).items()}
        annotate(program, calibrated, calibrated.layer_grids(widths))
        try:
            legal = BACKEND.legalize(lower_to_qnn(program), target)
        except IllegalAssignment:
            told["scales"] += 1
            return
        legal.verify()
        lowered = BACKEND.lower(legal, target, Options())
        lowered.verify()
        steps, batch = x.shape[:2]
        workload = Workload(steps, batch, carried_state=len(drawn.inputs) > 1)
        estimate = BACKEND.estimate(lowered, target, workload, Options())
        costs = BACKEND.cost_model(table, space, target).cost(genome, workload, Options())
        folder: Path = tmp_path_factory.mktemp("emitted")
        BACKEND.emit(lowered, folder, target)
        inputs = []
        for value, grid in zip(drawn.inputs, argument_grids(legal.entry), strict=True):
            assert grid is not None
            inputs.append(quantize(value, grid))
        found = BACKEND.simulate(folder, inputs, Options())
        for ours, theirs in zip(found.outputs, run_integer(legal, inputs), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert found.measured == estimate, drawn.facts
        assert estimate.total.latency == costs["latency"][0], drawn.facts
        assert estimate.total.joules == costs["energy"][0], drawn.facts
        assert estimate.size_bytes == costs["size"][0], drawn.facts
        told["ran"] += 1

    check()
    assert not told["no name"]
    assert told["ran"] >= 1 if kind in RUNS else not told["ran"]


RUNS = ("sru", "lstm", "gru", "rnn", "ligru", "qrnn")
