"""Rows that move while runs go on, and what is waited for."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from silago_programs import fabric

from mohaq.backends.silago.port import Port
from mohaq.backends.silago.schedule.tasks import Step, waited

rows = st.integers(0, 60)
steps = st.lists(st.builds(Step, rows, rows, rows, st.integers(1, 99)), min_size=1, max_size=4)
widths = st.sampled_from((64, 256, 300))


@given(steps, steps, st.integers(1, 9), st.integers(0, 4), widths)
def test_many_rounds_are_counted_at_once(
    first: list[Step], then: list[Step], times: int, more: int, width: int
) -> None:
    """The short way over repeated runs gives what run after run gives."""
    made_for = replace(fabric("silago-mohaq"), refill_bits_per_cycle=width)
    short, long = Port(made_for), Port(made_for)
    total = waited(short, first, times) + waited(short, then, more)
    wanted = 0
    for one in first * times + then * more:
        wanted += long.before(one.rows)
        long.ran(one.cycles, one.results, one.inside)
    assert total == wanted
    assert short.after() == long.after()


def test_what_a_run_hides() -> None:
    """Nothing before the first run and after the last; in between only what takes longer."""
    port = Port(fabric("silago-mohaq"))
    assert port.before(10) == 10
    port.ran(100, results=7)
    assert port.before(99) == 0
    assert port.before(130) == 30
    port.ran(100, results=7, inside=20)
    assert port.before(90) == 17
    assert port.after() == 7
