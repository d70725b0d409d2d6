"""Where values live in DRAM: regions, and views of them (slices, halves, joined channels)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mohaq.backends.bitfusion.isa.instructions import Extent
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import safe_name

ALIGN_BITS = 512
"""Regions start at multiples of 64 bytes."""


def storage_bits(width: int) -> int:
    """Bits of a stored element: the next power of two, at least 2."""
    size = 2
    while size < width:
        size *= 2
    return size


@dataclass(frozen=True)
class Region:
    """A piece of DRAM. `source` names the parameter or table that fills a constant one.

    `pitch`: bits of a row where there is one for every step and sequence, else 0.
    """

    name: str
    address: int
    bits: int
    source: str | None = None
    width: int = 0
    table: bool = False
    pitch: int = 0

    @property
    def constant(self) -> bool:
        """Whether the emitted image holds its content."""
        return self.source is not None


@dataclass(frozen=True)
class View:
    """Elements [rows, channels] in DRAM: addresses and pitches in bits.

    `bits` is the width of the integer type, `width` that of a stored element.
    """

    extent: Extent
    channels: int
    address: int
    row_pitch: int
    pitch: int
    width: int
    bits: int
    signed: bool

    def channel(self, offset: int, size: int) -> View:
        """Channels [offset, offset + size)."""
        return replace(self, address=self.address + offset * self.pitch, channels=size)

    def byte(self, number: int, *, signed: bool) -> View:
        """Byte `number` of every 16-bit element (little endian)."""
        return replace(self, address=self.address + 8 * number, width=8, bits=8, signed=signed)


class Memory:
    """Allocates regions one after the other, constants first."""

    def __init__(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self.regions: list[Region] = []
        self._end = 0
        self._names: set[str] = set()

    def copy(self) -> Memory:
        """The same regions, to go on from."""
        made = Memory(self.max_rows)
        made.regions, made._end, made._names = list(self.regions), self._end, set(self._names)
        return made

    def constant(self, source: str, elements: int, width: int, *, table: bool = False) -> Region:
        """A region filled by a parameter or table."""
        if any(not r.constant for r in self.regions):
            raise MohaqError("constants must be placed before data")
        return self._add(source, elements * width, source, width, table=table)

    def data(self, hint: str, extent: Extent, channels: int, bits: int, *, signed: bool) -> View:
        """A fresh region for up to `max_rows` rows."""
        width = storage_bits(bits)
        pitch = channels * width
        rows = pitch if extent == Extent.ROWS else 0
        region = self._add(hint, self.max_rows * pitch, None, 0, pitch=rows)
        return View(extent, channels, region.address, pitch, width, width, bits, signed)

    def _add(
        self,
        hint: str,
        bits: int,
        source: str | None,
        width: int,
        *,
        table: bool = False,
        pitch: int = 0,
    ) -> Region:
        base = safe_name(hint)
        name, number = base, 1
        while name in self._names:
            number += 1
            name = f"{base}_{number}"
        self._names.add(name)
        region = Region(name, self._end, bits, source, width, table, pitch)
        self._end = -(-(self._end + bits) // ALIGN_BITS) * ALIGN_BITS
        self.regions.append(region)
        return region
