"""A clip method by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from mohaq.compiler.clips.aciq import aciq_shares
from mohaq.compiler.clips.entropy import entropy_shares
from mohaq.compiler.clips.mmse import mmse_shares
from mohaq.compiler.clips.percentile import percentile_shares
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.quantizer import SMALLEST_CLIP, largest_magnitude

METHODS = ("mmse", "minmax", "percentile", "aciq", "entropy")

WHOLE_WIDTH = 16
"""From this width on every method keeps the whole range: the rounding step is far below the
noise, and clipping only loses."""

Shares = Callable[[npt.NDArray[np.float64], Sequence[int]], Mapping[int, float]]
"""Values in [-1, 1] and widths -> {width: clip in (0, 1]}."""


@dataclass(frozen=True)
class ClipRule:
    """A method and its parameter.

    method: `mmse` (least mean squared error), `minmax` (largest magnitude), `percentile` (share
    of the values that stays within the clip), `aciq` (least error of a fitted Laplace or Gauss
    distribution), `entropy` (least Kullback-Leibler divergence between histograms).
    percentile: in percent, for that method alone.

    Raises:
        MohaqError: unknown method, percentile outside (0, 100].
    """

    method: str = "mmse"
    percentile: float = 99.99

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise MohaqError(
                f"unknown clip method '{self.method}'", hint=did_you_mean(self.method, METHODS)
            )
        if not 0 < self.percentile <= 100:
            raise MohaqError(f"a percentile lies in (0, 100], got {self.percentile:g}")

    def clips(self, values: npt.ArrayLike, widths: Sequence[int]) -> dict[int, float]:
        """Clip of a tensor for each width: positive, at most max|x|; 1 where all is zero.

        Args:
            values: any shape.
            widths: in bits, 2..16; from 16 bits on the clip is max|x|.

        Raises:
            MohaqError: NaN or infinity, or nothing at all.
        """
        real = np.asarray(values, dtype=np.float64)
        top = largest_magnitude(real)
        if top <= SMALLEST_CLIP:
            return dict.fromkeys(widths, top)
        found = dict.fromkeys(widths, top)
        narrow = [w for w in widths if w < WHOLE_WIDTH]
        if narrow and real.any():
            shares = self._shares()(real.ravel() / top, narrow)
            found |= {
                w: max(min(1.0, float(share)) * top, SMALLEST_CLIP) for w, share in shares.items()
            }
        return found

    def _shares(self) -> Shares:
        known: Mapping[str, Shares] = {
            "mmse": mmse_shares,
            "minmax": lambda _values, widths: dict.fromkeys(widths, 1.0),
            "percentile": partial(percentile_shares, percentile=self.percentile),
            "aciq": aciq_shares,
            "entropy": entropy_shares,
        }
        return known[self.method]

    @staticmethod
    def parse(text: str) -> ClipRule:
        """A rule as written on the command line: `mmse`, or `percentile=99.9`.

        Raises:
            MohaqError: unknown method, not a number, a number for a method that takes none.
        """
        method, equals, number = text.partition("=")
        if not equals:
            return ClipRule(method)
        if method != "percentile":
            raise MohaqError(f"clip method '{method}' takes no number", where=text)
        try:
            value = float(number)
        except ValueError:
            raise MohaqError("a percentile is a number", where=text) from None
        return ClipRule(method, value)
