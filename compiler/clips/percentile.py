"""`percentile`: the clip that a share of the values stays within."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def percentile_shares(
    values: npt.NDArray[np.float64], widths: Sequence[int], *, percentile: float
) -> dict[int, float]:
    """The percentile of |x| (linear between neighbours), the same for every width.

    Where it is zero, because most values are, that of the others takes its place.

    Args:
        values: [N] in [-1, 1], not all zero.
        widths: in bits.
        percentile: in (0, 100].
    """
    sizes = np.abs(values)
    share = float(np.percentile(sizes, percentile))
    if share == 0.0:
        share = float(np.percentile(sizes[sizes > 0], percentile))
    return dict.fromkeys(widths, share)
