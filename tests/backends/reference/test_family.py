"""The recurrent family on the reference backend: cost = estimate = counters, bits = reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from family import Drawn, granularity, layers, moved_zero
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mohaq.backends.base import Options, Workload
from mohaq.backends.reference import BACKEND
from mohaq.compiler.analysis.layers import layer_table
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.program import argument_grids
from mohaq.compiler.quantizer import quantize
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.calibrate import calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn

TARGET = BACKEND.load_target("reference")


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "ligru", "sru", "qrnn"])
def test_the_invariant_over_the_family(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    ran = 0

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn=layers((kind,), device=True), choice=st.integers(0, 3))
    def check(drawn: Drawn, choice: int) -> None:
        nonlocal ran
        program = drawn.program
        x = drawn.inputs[0]
        calibrate(program, [x[:, 0], x[:, -1]], granularity(x.size))
        moved_zero(program, x.size)
        table = layer_table(program)
        if table.layers[0].projected:
            with pytest.raises(MohaqError, match="one width"):
                BACKEND.space(table, TARGET)
            return
        space = BACKEND.space(table, TARGET)
        genome = np.full(len(space.groups), choice)
        widths = {s: int(v[0]) for s, v in space.widths(genome).items()}
        apply_assignment(program, widths)
        neutral = lower_to_qnn(program)
        legal = BACKEND.legalize(neutral, TARGET)
        lowered = BACKEND.lower(legal, TARGET, Options())
        steps, batch = x.shape[:2]
        workload = Workload(steps, batch, carried_state=len(drawn.inputs) > 1)
        estimate = BACKEND.estimate(lowered, TARGET, workload, Options())
        costs = BACKEND.cost_model(table, space, TARGET).cost(genome, workload, Options())
        folder: Path = tmp_path_factory.mktemp("emitted")
        BACKEND.emit(lowered, folder, TARGET)
        given_grids = argument_grids(program.entry)
        inputs = []
        for value, grid in zip(drawn.inputs, given_grids, strict=True):
            assert grid is not None
            inputs.append(quantize(value, grid))
        found = BACKEND.simulate(folder, inputs, Options())
        for ours, theirs in zip(found.outputs, run_integer(legal, inputs), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert found.measured == estimate, drawn.facts
        assert estimate.total.seconds == costs["latency"][0], drawn.facts
        assert estimate.total.joules == costs["energy"][0], drawn.facts
        assert estimate.size_bytes == costs["size"][0], drawn.facts
        ran += 1

    check()
    assert ran >= 3
