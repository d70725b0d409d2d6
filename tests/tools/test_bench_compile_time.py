"""The bench of compile times puts every step into a column and asks the cache a second time."""

from __future__ import annotations

from pathlib import Path

import pytest
from restarts import small

from mohaq.tools.bench.compile_time import STAGES, measure


@pytest.mark.slow
def test_all_steps_have_a_column(tmp_path: Path) -> None:
    small().save(tmp_path / "net")
    line = measure(tmp_path / "net", "reference", 8, 1)
    assert tuple(line.stages) == STAGES
    assert all(seconds >= 0 for seconds in line.stages.values())
    assert 0 < sum(line.stages.values()) <= line.all
    assert line.again > 0
    assert len(line.row()) == 2 + len(STAGES) + 3
