"""The ask/tell loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mohaq.backends.base import IntArray
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.nsga2 import Nsga2


def path(seed: int, upper: list[int], generations: int = 6) -> list[IntArray]:
    """Genomes asked for on a toy problem with a constraint."""
    search = Nsga2(np.array(upper), 2, seed=seed, population=12, offspring=5)
    asked = []
    for _ in range(generations):
        genomes = search.ask()
        if genomes is None:
            break
        asked.append(genomes)
        total = genomes.sum(axis=1)
        values = np.stack([total, -total + genomes[:, 0] ** 2], axis=1).astype(float)
        violation = np.where(genomes[:, -1] == 0, 0.5, 0.0)
        values[violation > 0, 0] = np.nan
        search.tell(values, violation)
    return asked


def test_the_same_seed_gives_the_same_path() -> None:
    a, b = path(3, [3] * 6), path(3, [3] * 6)
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_another_seed_gives_another_path() -> None:
    a, b = path(3, [3] * 6), path(4, [3] * 6)
    assert any(x.shape != y.shape or (x != y).any() for x, y in zip(a, b, strict=True))


@given(
    upper=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
)
@settings(max_examples=25, deadline=None)
def test_genomes_stay_in_range_and_differ_within_a_generation(upper: list[int], seed: int) -> None:
    for genomes in path(seed, upper, generations=4):
        assert (genomes >= 0).all()
        assert (genomes <= np.array(upper)).all()
        assert len(np.unique(genomes, axis=0)) == len(genomes)


def test_seeded_genomes_come_first() -> None:
    seeds = np.array([[0, 0, 0], [3, 3, 3], [0, 0, 0]])
    search = Nsga2(np.array([3, 3, 3]), 1, population=8, offspring=4, seed=1, seeds=seeds)
    genomes = search.ask()
    assert genomes is not None
    assert genomes[:2].tolist() == [[0, 0, 0], [3, 3, 3]]
    assert len(genomes) <= 8


def test_a_seed_outside_the_space_is_refused() -> None:
    with pytest.raises(MohaqError, match="outside the gene space"):
        Nsga2(np.array([1]), 1, population=2, offspring=1, seed=1, seeds=np.array([[2]]))


def test_a_space_without_choice_is_asked_once() -> None:
    asked = path(1, [0, 0])
    assert [g.tolist() for g in asked] == [[[0, 0]]]


def test_a_small_space_ends_early() -> None:
    asked = path(1, [1], generations=10)
    assert len(asked) < 10


def test_protocol_errors() -> None:
    search = Nsga2(np.array([3, 3]), 1, population=4, offspring=2, seed=1)
    with pytest.raises(MohaqError, match="no generation"):
        search.tell([[1.0]], [0.0])
    genomes = search.ask()
    assert genomes is not None
    with pytest.raises(MohaqError, match="not told"):
        search.ask()
    with pytest.raises(MohaqError, match="no finite objectives"):
        search.tell([[np.nan]] * len(genomes), [0.0] * len(genomes))


@pytest.mark.parametrize("algorithm", ["nsga2", "nsga3"])
def test_ties_of_infeasible_members_are_drawn_by_the_seed(algorithm: Any) -> None:
    """All break the constraint by as much, so that every tournament is a tie."""

    def walked() -> list[list[int]]:
        search = Nsga2(
            np.array([3] * 5), 4, seed=2, population=12, offspring=6, algorithm=algorithm
        )
        asked = []
        for _ in range(5):
            genomes = search.ask()
            assert genomes is not None
            asked += genomes.tolist()
            search.tell(np.full((len(genomes), 4), np.nan), np.full(len(genomes), 100.0))
        return asked

    assert walked() == walked()
