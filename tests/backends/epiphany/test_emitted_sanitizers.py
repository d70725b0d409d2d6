"""Emitted projects are clean under the sanitizers, however late pushed data arrive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from epiphany_emitted import emit_cell

from mohaq.backends.epiphany.simulator import BuildOptions, RunOptions, missing_tools, run_project
from mohaq.backends.epiphany.simulator.build import Sanitizer

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason="needs a C compiler and make")


@pytest.mark.parametrize(
    ("kind", "width"),
    [
        ("lstm", 8),
        pytest.param("sru", 4, marks=pytest.mark.slow),
        pytest.param("gru", 2, marks=pytest.mark.slow),
        pytest.param("rnn", 16, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("sanitize", ["address,undefined", "thread"])
def test_emitted_programs_are_clean(
    tmp_path: Path, sanitize: Sanitizer, kind: str, width: int
) -> None:
    made = emit_cell(tmp_path, "epiphany-e16", kind, width, frames=6, batch=2)
    options = RunOptions(BuildOptions(sanitize=sanitize), pushes="late")
    outputs, _ = run_project(tmp_path, made.inputs, options)
    for got, want in zip(outputs, made.expected, strict=True):
        np.testing.assert_array_equal(got, want)
