"""`aciq`: the clip with the least expected error under a fitted distribution."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

Prior = Literal["laplace", "gauss"]


def aciq_shares(values: npt.NDArray[np.float64], widths: Sequence[int]) -> dict[int, float]:
    """Analytical clipping (Banner, Nahshan, Soudry, NeurIPS 2019, arXiv 1810.05723, section 3).

    Clips are symmetric here, so both priors have mean zero: Laplace with b = mean|x|, Gauss with
    sigma = sqrt(mean x^2). The one under which the values are likelier is taken (log likelihoods
    a value at these estimates: -log 2b - 1 and -log(2 pi sigma^2)/2 - 1/2). A clip beyond the
    largest magnitude is brought back to it.

    Args:
        values: [N] in [-1, 1], not all zero.
        widths: in bits. A grid of w bits has 2^w - 2 steps from -clip to clip.
    """
    prior, size = fit(values)
    return {w: min(1.0, size * relative_clip(prior, (1 << w) - 2)) for w in widths}


def fit(values: npt.NDArray[np.float64]) -> tuple[Prior, float]:
    """The likelier distribution, and its b or sigma.

    Args:
        values: [N], not all zero.
    """
    b, sigma = float(np.abs(values).mean()), math.sqrt(float((values**2).mean()))
    laplace = -math.log(2 * b) - 1
    gauss = -math.log(2 * math.pi * sigma**2) / 2 - 0.5
    return ("laplace", b) if laplace >= gauss else ("gauss", sigma)


@cache
def relative_clip(prior: Prior, steps: int) -> float:
    """The clip a, in units of b or sigma, at which the expected squared error is least.

    The error of a uniform grid with n steps over [-a, a] is E[(|x| - a)^2; |x| > a] + (2a/n)^2/12:
    clipping and rounding. Its derivative is zero where
    Laplace (b = 1):     2a/(3 n^2) = 2 exp(-a)
    Gauss (sigma = 1):   2a/(3 n^2) = 4 (phi(a) - a Q(a)), Q(a) the upper tail of the normal law.
    With n = 2^M this gives the constants that the paper prints (2.83, 3.89, 5.03 and 1.71, 2.15,
    2.55 for 2, 3, 4 bits).
    """

    def laplace(a: float) -> float:
        return 2 * a / (3 * steps**2) - 2 * math.exp(-a)

    def gauss(a: float) -> float:
        density = math.exp(-a * a / 2) / math.sqrt(2 * math.pi)
        tail = math.erfc(a / math.sqrt(2)) / 2
        return 2 * a / (3 * steps**2) - 4 * (density - a * tail)

    return _root(laplace if prior == "laplace" else gauss)


def _root(rising: Callable[[float], float]) -> float:
    """Where a rising function crosses zero between 0 and 64, to the last bits."""
    low, high = 0.0, 64.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return high
