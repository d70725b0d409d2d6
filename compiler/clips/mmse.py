"""`mmse`: the clip with the least mean squared error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

BINS = 2047
"""Signed bins over [-max, max]: finer than an 8-bit grid. MOHAQ's code has 201."""

CANDIDATES = np.arange(1, 101, dtype=np.float64) / 100.0
"""Clips as shares of max|x|: steps of 0.01 as in MOHAQ's code, up to 1."""


def mmse_shares(values: npt.NDArray[np.float64], widths: Sequence[int]) -> dict[int, float]:
    """Clip with the least mean squared error for each width.

    The error (rounding and clipping together) is measured on the bin centres of a histogram, as
    in MOHAQ's code (arXiv 2108.01192), over clips 0.01, 0.02, ... 1 of max|x|.

    Args:
        values: [N] in [-1, 1], the largest magnitude being 1.
        widths: in bits.
    """
    counts, edges = np.histogram(values, bins=BINS, range=(-1.0, 1.0))
    centres = (edges[:-1] + edges[1:]) / 2
    used = counts > 0
    weight, centre = counts[used].astype(np.float64), centres[used]
    found: dict[int, float] = {}
    for width in widths:
        high = (1 << (width - 1)) - 1
        scales = (CANDIDATES / high)[:, None]
        rounded = np.clip(np.floor(centre / scales + 0.5), -high - 1, high) * scales
        errors = ((rounded - centre) ** 2 * weight).sum(axis=1)
        found[width] = float(CANDIDATES[int(np.argmin(errors))])
    return found
