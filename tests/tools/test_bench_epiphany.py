"""The bench of Epiphany on the paper-size network."""

from __future__ import annotations

import pytest

from mohaq.backends.epiphany import BACKEND
from mohaq.tools.bench.epiphany import CASES, PARTS, Model, breakdown, crossover, main, published


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {name: Model.of(name) for name in BACKEND.targets()}


def test_fewer_bits_buy_memory_time_and_no_multiply_time(models: dict[str, Model]) -> None:
    model = models["epiphany-e16"]
    found = {bits: model.counters((bits, 8), 4) for bits in (8, 4, 2)}
    for bits in (4, 2):
        weights = found[8]["weight_cycles"] / found[bits]["weight_cycles"]
        assert weights == pytest.approx(8 / bits, rel=0.05)
        compute = found[8]["compute_cycles"] / found[bits]["compute_cycles"]
        assert compute == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(("target", "bits"), [("epiphany-e16", 2), ("epiphany-v1024", 8)])
def test_crossover_is_the_first_length_that_computes_longer(
    models: dict[str, Model], target: str, bits: int
) -> None:
    model, longest = models[target], 24
    at = crossover(model, (bits, bits), longest)
    for frames in range(1, (at or longest) + 1):
        found = model.counters((bits, bits), frames)
        assert (found["compute_cycles"] >= found["weight_cycles"]) == (frames == at)


def test_tables_have_a_line_for_each_case(models: dict[str, Model]) -> None:
    lines: list[str] = []
    breakdown(models["epiphany-e16"], (1, 4), lines.append)
    rows = [line.split("|") for line in lines if line.startswith("| ") and " x " in line]
    rows = [row for row in rows if row[2].strip().isdigit()]
    assert len(rows) == 2 * len(CASES)
    fitting = [row for row in rows if "does not fit" not in row[3]]
    assert len(fitting) >= 8
    for row in fitting:
        parts = [float(cell) for cell in row[3 : 3 + len(PARTS)]]
        expected = max(parts[:2]) + sum(parts[2:])
        assert float(row[-3]) == pytest.approx(expected, rel=0.05)


def test_published_figures_carry_their_marks(models: dict[str, Model]) -> None:
    lines = list(published(models))
    assert len(lines) >= 10
    assert sum("[R]" in line for line in lines) >= 7


def test_lengths_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--frames", "4,none"])
    assert stop.value.code == 2
    assert "positive whole numbers" in capsys.readouterr().err
