"""Assignments to start from, derived from what each gene costs alone.

The sensitivity of a gene is the rise of the error, from the widest assignment, when this gene
alone takes its narrowest choice. Between the two the noise power of a uniform quantizer falls by
four for every bit (step^2 / 12), so a choice of mean width b is taken to cost
s * (4^-b - 4^-b_max) / (4^-b_min - 4^-b_max).
"""

from __future__ import annotations

import numpy as np

from mohaq.backends.base import FloatArray, GeneSpace, IntArray

POINTS = 10
"""Assignments between the widest and the narrowest that a search starts from, at most."""

OTHERS = 6
"""Members of a first population that are left for uniform assignments and random ones."""


def probes(space: GeneSpace) -> IntArray:
    """Genomes [n, G]: the widest, then one for each gene with a choice, at its narrowest."""
    free = np.flatnonzero(space.upper > 0)
    found = np.tile(space.upper, (len(free) + 1, 1))
    found[np.arange(1, len(free) + 1), free] = 0
    return found


def derived(space: GeneSpace, errors: FloatArray, points: int = POINTS) -> IntArray:
    """Genomes [n, G] on the way from the widest to the narrowest assignment.

    Each step narrows the gene by one choice that adds least to the sum of the expected costs;
    `points` of the steps are taken, evenly spread.

    Args:
        space: the genes.
        errors: of `probes`, [n]; infinite where one has none.
        points: assignments at most.
    """
    free = np.flatnonzero(space.upper > 0)
    rises = np.maximum(errors[1:] - errors[0], 0.0)
    rises = np.nan_to_num(rises, nan=np.inf, posinf=np.inf)
    costs = {
        int(g): _costs(space, int(g), float(rise)) for g, rise in zip(free, rises, strict=True)
    }
    genome = space.upper.copy()
    path: list[IntArray] = []
    while (genome > 0).any():
        steps = {
            g: held[genome[g] - 1] - held[genome[g]] for g, held in costs.items() if genome[g] > 0
        }
        genome[min(steps, key=lambda g: (steps[g], g))] -= 1
        path.append(genome.copy())
    if len(path) < 2 or points < 1:
        return np.zeros((0, space.upper.size), dtype=np.int64)
    chosen = np.unique(
        np.linspace(0, len(path) - 2, min(points, len(path) - 1)).round().astype(int)
    )
    return np.stack([path[i] for i in chosen])


def _costs(space: GeneSpace, gene: int, rise: float) -> FloatArray:
    """Expected cost of each choice of a gene."""
    bits = np.array([np.mean(choice) for choice in space.groups[gene].choices])
    noise = 4.0**-bits
    spread = noise[0] - noise[-1]
    share = (noise - noise[-1]) / spread if spread else np.zeros_like(noise)
    big = 1e6 if not np.isfinite(rise) else rise
    return np.asarray(big * share, dtype=np.float64)
