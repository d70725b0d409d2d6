"""Every genome of a small space, in an order in which neighbours share their leading layers."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import GeneSpace, IntArray
from mohaq.compiler.diagnostics import MohaqError

CHUNK = 500
"""Genomes asked for at once: a generation of the record."""


class Enumeration:
    """Asks for all genomes of a space, chunk by chunk, as `Nsga2` asks for generations.

    Args:
        space: the genes; the last one varies fastest.
        limit: largest space that is enumerated.

    Raises:
        MohaqError: the space is larger.
    """

    def __init__(self, space: GeneSpace, limit: int) -> None:
        if space.size > limit:
            raise MohaqError(
                f"the space has {space.size:,} assignments, more than the limit of {limit:,}",
                hint="freeze or tie slots, raise --space-limit, or search without --exhaustive",
            )
        self.chunks = -(-space.size // CHUNK)
        self._genomes = itertools.product(*(range(len(g.choices)) for g in space.groups))

    def ask(self) -> IntArray | None:
        """The next genomes [n, G]; None at the end."""
        found = list(itertools.islice(self._genomes, CHUNK))
        return np.array(found, dtype=np.int64) if found else None

    def parents(self) -> None:
        """There is no population."""

    def tell(self, objectives: npt.ArrayLike, violation: npt.ArrayLike) -> None:
        """Nothing depends on values."""
