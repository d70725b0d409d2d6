"""The DRAM: bytes that hold bit-packed elements, with regions that every access keeps to."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mohaq.backends.bitfusion.simulator.manifest import Region
from mohaq.compiler.diagnostics import MohaqError

Array = npt.NDArray[np.int64]


class Dram:
    """Elements of 2..64 bits (powers of two) at bit addresses, little endian."""

    def __init__(self, regions: Sequence[Region], image: npt.NDArray[np.uint8]) -> None:
        self._regions = tuple(regions)
        self._starts = [r.address for r in regions]
        end = max((r.address + r.bits for r in regions), default=0)
        self._bytes = np.zeros(-(-end // 8) + 8, dtype=np.uint8)
        self._bytes[: len(image)] = image

    def read(
        self, base: int, axes: Sequence[tuple[int, int]], width: int, *, signed: bool
    ) -> Array:
        """Elements at base + sum index * stride, for axes (count, stride): an array [counts].

        Raises:
            MohaqError: an address outside one region, or not a multiple of the width.
        """
        self._check(base, axes, width, write=False)
        at = addresses(base, axes)
        first = at >> 3
        held = self._bytes
        if width <= 8:
            value: Array = held[first].astype(np.int64)
            if width < 8:
                value = value >> (at & 7) & ((1 << width) - 1)
        else:
            value = np.zeros(at.shape, dtype=np.int64)
            for number in range(width // 8):
                value |= held[first + number].astype(np.int64) << (8 * number)
        if not signed or width == 64:
            return value
        half = np.int64(1 << (width - 1))
        extended: Array = (value ^ half) - half
        return extended

    def write(self, base: int, axes: Sequence[tuple[int, int]], width: int, values: Array) -> None:
        """Store elements, the inverse of `read`; values must fit the width.

        Raises:
            MohaqError: as `read`, or a constant region is hit.
        """
        self._check(base, axes, width, write=True)
        at = addresses(base, axes)
        first = at >> 3
        held = self._bytes
        if width >= 8:
            for number in range(width // 8):
                held[first + number] = (values >> (8 * number) & 255).astype(np.uint8)
            return
        mask = (1 << width) - 1
        field = (values & mask).astype(np.uint8)
        place = at & 7
        # Elements that share a byte are written one after the other.
        for shift in range(0, 8, width):
            chosen = place == shift
            where = first[chosen]
            kept = held[where] & np.uint8(255 ^ (mask << shift))
            held[where] = kept | (field[chosen] << np.uint8(shift))

    def _check(
        self, base: int, axes: Sequence[tuple[int, int]], width: int, *, write: bool
    ) -> None:
        if base % width or any(stride % width for count, stride in axes if count > 1):
            raise MohaqError(f"address {base} or its strides are no multiples of {width} bits")
        last = base + sum((count - 1) * stride for count, stride in axes) + width
        position = bisect_right(self._starts, base) - 1
        if position < 0:
            raise MohaqError(f"DRAM bit {base} is in no region")
        region = self._regions[position]
        if last > region.address + region.bits:
            raise MohaqError(
                f"DRAM bits {base}..{last} leave region '{region.name}'",
                why=f"it ends at {region.address + region.bits}",
            )
        if write and region.constant:
            raise MohaqError(f"the program writes to constants of region '{region.name}'")


def addresses(base: int, axes: Sequence[tuple[int, int]]) -> Array:
    """Bit addresses base + sum index * stride, for axes (count, stride): an array [counts]."""
    total = np.full((1,) * len(axes), base, dtype=np.int64)
    for position, (count, stride) in enumerate(axes):
        shape = [1] * len(axes)
        shape[position] = count
        total = total + (np.arange(count, dtype=np.int64) * stride).reshape(shape)
    return total
