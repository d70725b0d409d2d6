"""Blocks that fill a bank to the last byte still compile: the plan counts all that lies there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from epiphany_emitted import emit_cell

from mohaq.backends.base import Options
from mohaq.backends.epiphany import BACKEND


@pytest.mark.parametrize("hidden", [80, 128])
def test_a_full_bank_holds_the_job_as_well(tmp_path: Path, hidden: int) -> None:
    made = emit_cell(tmp_path, "epiphany-e16", "sru", 8, frames=8, batch=1, hidden=hidden)
    found = BACKEND.simulate(tmp_path, made.inputs, Options())
    for y, expected in zip(found.outputs, made.expected, strict=True):
        np.testing.assert_array_equal(y, expected)
