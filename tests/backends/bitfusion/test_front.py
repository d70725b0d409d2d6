"""Choices of the scheduler: the Pareto set, and what a preference takes from it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mohaq.backends.bitfusion.machine import load_target, machine_of
from mohaq.backends.bitfusion.schedule.front import Choice, pareto, pick
from mohaq.backends.bitfusion.schedule.tiling import GemmShape, Phase, TileTask, gemm_front

FIGURES = st.tuples(*[st.integers(1, 6)] * 3)


@settings(max_examples=200, deadline=None)
@given(st.lists(FIGURES, min_size=1, max_size=20))
def test_the_set_is_what_nothing_dominates(figures: list[tuple[int, int, int]]) -> None:
    choices = [Choice(float(c), float(e), float(d), n) for n, (c, e, d) in enumerate(figures)]
    front = pareto(choices)

    def dominates(a: Choice[int], b: Choice[int]) -> bool:
        return a.figures != b.figures and all(
            x <= y for x, y in zip(a.figures, b.figures, strict=True)
        )

    wanted = {c.figures for c in choices if not any(dominates(o, c) for o in choices)}
    assert {c.figures for c in front} == wanted
    assert len(front) == len(wanted)
    assert pick(front, "latency").cycles <= 1.01 * min(c.cycles for c in choices)
    assert pick(front, "energy").energy <= 1.01 * min(c.energy for c in choices)
    best = pick(front, "balanced")
    assert best.cycles * best.energy == min(c.cycles * c.energy for c in choices)


def test_a_product_has_choices() -> None:
    machine = machine_of(load_target("bitfusion-e"))
    task = TileTask.of(machine, 8, 8, "latency")
    front = gemm_front(GemmShape(1904, 8, 8, (Phase(1100, 8, 8, 1),), 16, 16, 0, 2), task)
    assert len(front) > 1
    cycles = [c.cycles for c in front]
    assert cycles == sorted(cycles)
