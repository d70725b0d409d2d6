"""The paper's accounting, and the bench that shows it beside our cycles."""

from __future__ import annotations

import pytest

from mohaq.backends.silago.machine import fabric_of, load_target
from mohaq.backends.silago.paper import operations_of, table_figures
from mohaq.backends.silago.schedule.tasks import Band, MatrixTask
from mohaq.tools.bench import silago as bench
from mohaq.tools.bench.silago_losses import KINDS, of_task


@pytest.mark.parametrize(
    ("bits", "microjoules", "speedup"), [(16, 16.36, 0.984), (8, 6.57, 1.969), (4, 2.64, 3.938)]
)
def test_the_papers_figures(bits: int, microjoules: float, speedup: float) -> None:
    """What the published search code gives for its four-layer SRU."""
    fabric = fabric_of(load_target("silago-mohaq"))
    found = bench.paper_energy(dict.fromkeys(bench.PAPER_MACS, bits), fabric)
    assert round(found.joules * 1e6, 2) == microjoules
    assert round(found.speedup, 3) == speedup


def test_our_table_of_the_papers_network() -> None:
    """Its layers have the weights that the paper's code counts."""
    fabric = fabric_of(load_target("silago-mohaq"))
    table = bench.paper_table()
    assert {layer.name: operations_of(layer) for layer in table} == {
        **bench.PAPER_MACS,
        "l0": 2 * 3 * 550 * 23,
    }
    found = table_figures(table, dict.fromkeys(bench.PAPER_MACS, 8), fabric)
    assert found.speedup == 2
    assert found.cycles == sum(bench.PAPER_MACS.values()) / 32


def test_the_bench_runs() -> None:
    lines: list[str] = []
    bench.bench("silago1-nn", 2, lines.append)
    text = "\n".join(lines)
    assert "y = [43, -44, -13, -13]" in text
    assert "| all 16 | 0.984 | 16.36 |" in text
    assert "| all 8" not in text


@pytest.mark.parametrize(("rows", "features", "bits"), [(70, 1100, 8), (40, 20, 4), (9, 1500, 16)])
def test_every_slot_is_explained(rows: int, features: int, bits: int) -> None:
    """Kinds of cycles add up, none is negative, and an odd vector leaves the second lane idle."""
    fabric = fabric_of(load_target("silago-mohaq"))
    task = MatrixTask(fabric, rows, features, bits, (Band(0, ((0, rows),)),))
    for frames in (1, 2, 5):
        found = of_task(task, frames)
        assert set(found) <= set(KINDS)
        assert round(sum(found.values())) == task.counts(frames)["cycles"]
        assert found["products"] == rows * features * frames * bits / (2 * 16 * 16)
    assert of_task(task, 1)["second lane idle"] >= of_task(task, 1)["products"]
