"""Integers that an emitted program is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.compiler.diagnostics import MohaqError


def checked_input(
    number: int, row: Mapping[str, Any], given: npt.NDArray[Any]
) -> npt.NDArray[np.int64]:
    """An input as the manifest describes it, in 64 bits.

    Args:
        number: its position, for messages.
        row: `shape` (None: any extent) and `bits` of the manifest's entry.
        given: integers.

    Raises:
        MohaqError: no integers, another shape, empty, or values beyond the bits.
    """
    where = f"input {number}"
    if given.dtype.kind not in "iu":
        raise MohaqError(f"integers are needed, got {given.dtype}", where=where)
    shape = row["shape"]
    if given.ndim != len(shape) or any(
        want not in (None, got) for want, got in zip(shape, given.shape, strict=True)
    ):
        raise MohaqError(f"shape {given.shape} does not fit {shape}", where=where)
    if not given.size:
        raise MohaqError("the input is empty", where=where)
    limit = 1 << (row["bits"] - 1)
    if int(given.min()) < -limit or int(given.max()) >= limit:
        raise MohaqError(f"values leave {row['bits']} bits", where=where)
    return given.astype(np.int64)
