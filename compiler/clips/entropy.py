"""`entropy`: the clip that keeps the most information about the values' distribution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

BINS = 2048
"""Bins of |x|, as in TensorRT."""

CANDIDATES = 128
"""Clips tried: 8, 9, ... of as many parts of max|x| (TensorRT, too, tries from 1/16 on)."""

Histogram = npt.NDArray[np.float64]


def entropy_shares(values: npt.NDArray[np.float64], widths: Sequence[int]) -> dict[int, float]:
    """Clip with the least Kullback-Leibler divergence between the values and the grid's levels.

    The method of S. Migacz, "8-bit Inference with TensorRT" (GTC 2017): for each clip, P is the
    histogram of |x| up to it, with all that lies beyond added to its last bin; Q has the bins
    below the clip merged into the grid's 2^(w-1) magnitudes, each spread evenly over the bins
    that P uses. The largest clip wins a draw. A grid with a level for every bin keeps all.
    Zeros, which every grid has, are not counted: after a relu they would be most of P.

    Args:
        values: [N] in [-1, 1], the largest magnitude being 1.
        widths: in bits.
    """
    sizes = np.abs(values[values != 0])
    counts = np.histogram(sizes, bins=BINS, range=(0.0, 1.0))[0].astype(np.float64)
    size = BINS // CANDIDATES
    found: dict[int, float] = {}
    for width in widths:
        levels = 1 << (width - 1)
        tried = range(max(CANDIDATES // 16, -(-levels // size)), CANDIDATES + 1)
        found[width] = 1.0
        if levels < BINS:
            least = min((divergence(counts, part * size, levels), -part) for part in tried)
            found[width] = -least[1] / CANDIDATES
    return found


def divergence(counts: Histogram, kept: int, levels: int) -> float:
    """KL(P || Q) in nats when the first `kept` of all bins lie below the clip; inf if Q misses P.

    Args:
        counts: values in each bin of |x|.
        kept: bins below the clip, at least `levels`.
        levels: magnitudes of the grid.
    """
    below = counts[:kept]
    clipped = below.copy()
    clipped[-1] += counts[kept:].sum()
    used = clipped > 0
    starts = np.arange(levels) * kept // levels
    merged = np.add.reduceat(below, starts)
    shares = np.add.reduceat(used.astype(np.float64), starts)
    spread = np.repeat(
        np.divide(merged, shares, out=np.zeros_like(merged), where=shares > 0),
        np.diff(np.append(starts, kept)),
    )[used]
    if not spread.all():
        return float("inf")
    p, q = clipped[used] / clipped.sum(), spread / spread.sum()
    return float((p * np.log(p / q)).sum())
