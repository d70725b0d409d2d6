"""The fast evaluator has the reference's bits for every recurrent layer."""

from __future__ import annotations

import numpy as np
import pytest
from family import Drawn, granularity, layers, moved_zero
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from programs import tensor
from searches import WIDTHS, FreeBackend, labelled

from mohaq.backends.base import Backend, IllegalAssignment, Target
from mohaq.backends.reference import BACKEND
from mohaq.backends.registry import find_target
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.program import argument_grids
from mohaq.compiler.quantizer import quantize
from mohaq.compiler.search.evaluator import Evaluator
from mohaq.passes.apply_assignment import annotate
from mohaq.passes.calibrate import calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn

FREE = FreeBackend(), BACKEND.load_target("reference")
SPLITS = find_target("bitfusion-e")
"""Operands of 16 bits are two bytes there, inside recurrences as well."""


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        *((kind, FREE) for kind in ("rnn", "lstm", "gru", "ligru", "sru", "qrnn")),
        *((kind, SPLITS) for kind in ("rnn", "lstm", "gru", "ligru")),
    ],
)
def test_random_layers_and_widths(kind: str, where: tuple[Backend, Target]) -> None:
    backend, target = where

    @settings(
        max_examples=10 if where is FREE else 5,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn=layers((kind,), device=True, stateless=True), seed=st.integers(0, 1000))
    def check(drawn: Drawn, seed: int) -> None:
        program = drawn.program
        rng = np.random.default_rng(seed)
        features = drawn.inputs[0].shape[2]
        calibrate(program, [tensor(rng, 6, features, gain=2.0)], granularity(seed))
        moved_zero(program, seed)
        data = labelled(program, seed, lengths=(3, 1, 5), features=features)
        layers_of = calibrated_table(program)
        assume(
            all(layer.recurrent_inputs <= layer.hidden for layer in layers_of.table)
        )  # Bit Fusion
        calibrated = backend.obeyed(layers_of, target)
        widths = {s: int(rng.choice(WIDTHS)) for s in calibrated.searched()}
        annotated = program.clone()
        annotate(annotated, calibrated, calibrated.layer_grids(widths))
        try:
            legal = backend.legalize(lower_to_qnn(annotated), target)
        except IllegalAssignment:
            assume(False)
        fast = Evaluator(program, backend, target, data, get_metric("fer")).outputs(widths)
        (grid,) = argument_grids(legal.entry)
        assert grid is not None
        for ours, x in zip(fast, data.inputs, strict=True):
            wanted = run_integer(legal, [quantize(x, grid)[:, None]])[0][:, 0]
            np.testing.assert_array_equal(ours, wanted, err_msg=str(drawn.facts))

    check()
