"""Logs of simulators are in one order, however far their numbers lie apart."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mohaq.backends.silago.expected import values_by_cell
from mohaq.backends.silago.simulator.state import Run, sorted_rows

NEAR = st.integers(-3, 3)
FAR = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.tuples(*[st.one_of(NEAR, FAR)] * 3), max_size=12))
def test_rows_are_sorted_like_tuples(rows: list[tuple[int, ...]]) -> None:
    assert [tuple(r) for r in sorted_rows(rows, 3).tolist()] == sorted(rows)


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 5), max_size=30))
def test_every_write_is_its_cells(rows: list[tuple[int, ...]]) -> None:
    made = Run(sorted_rows(rows, 5), np.zeros((0, 4), dtype=np.int64), 0, 0, {})
    expected: dict[tuple[int, int], list[list[int]]] = {}
    for edge, row, col, address, value in sorted(rows):
        expected.setdefault((row, col), []).append([edge, address, value])
    assert {cell: found.tolist() for cell, found in values_by_cell(made).items()} == expected
