"""Values that stay on chip from one block to the next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mohaq.backends.bitfusion.isa.blocks import Block
from mohaq.backends.bitfusion.isa.instructions import BLOCK_START, Hold, Pad
from mohaq.backends.bitfusion.machine import BANKS, Machine
from mohaq.backends.bitfusion.simulator.manifest import Region
from mohaq.backends.bitfusion.simulator.memory import Dram, addresses
from mohaq.compiler.diagnostics import MohaqError

Array = npt.NDArray[np.int64]

CELL = 2
"""Bits of the narrowest element."""


class Window:
    """The rows of one held value: read and written at its addresses, as in DRAM."""

    def __init__(self, hold: Hold, rows: int) -> None:
        self.hold = hold
        self.bits = rows * hold.pitch
        region = Region("held", 0, self.bits, constant=False)
        self._memory = Dram([region], np.zeros(0, dtype=np.uint8))
        self._written = np.zeros(self.bits // CELL, dtype=bool)

    @property
    def pad(self) -> Pad:
        """The scratchpad that holds it."""
        return Pad(self.hold.pad)

    def read(
        self, base: int, axes: Sequence[tuple[int, int]], width: int, *, signed: bool
    ) -> Array:
        """As `Dram.read`.

        Raises:
            MohaqError: an access outside the value, or to what nothing has written.
        """
        base -= self.hold.address
        found = self._memory.read(base, axes, width, signed=signed)
        if not self._written[self._cells(base, axes, width)].all():
            raise MohaqError("a held value is read before it is written")
        return found

    def write(self, base: int, axes: Sequence[tuple[int, int]], width: int, values: Array) -> None:
        """As `Dram.write`.

        Raises:
            MohaqError: an access outside the value.
        """
        base -= self.hold.address
        self._memory.write(base, axes, width, values)
        self._written[self._cells(base, axes, width)] = True

    @staticmethod
    def _cells(base: int, axes: Sequence[tuple[int, int]], width: int) -> Array:
        parts = np.arange(max(1, width // CELL), dtype=np.int64)
        return addresses(base, axes)[..., None] // CELL + parts


class Held:
    """All that stays on chip while a block runs."""

    def __init__(self, windows: Sequence[Window] = ()) -> None:
        self._windows = tuple(windows)

    def next(self, block: Block, rows: int) -> Held:
        """What a block finds: values that it declares go on, others are gone.

        Values of more rows than they may have are in DRAM, so they are not held at all.
        """
        known = {w.hold: w for w in self._windows}
        return Held([known.get(h) or Window(h, rows) for h in block.holds if rows <= h.rows])

    def window(self, address: int) -> Window | None:
        """The held value that a stream with this address moves, if any."""
        for window in self._windows:
            if window.hold.address <= address < window.hold.address + window.hold.pitch:
                return window
        return None

    def bits(self, pad: Pad) -> int:
        """Bits of a scratchpad that held values take."""
        return sum(w.bits for w in self._windows if w.pad == pad)

    def check_room(self, block: Block, machine: Machine) -> None:
        """All tiles of a scratchpad fit one bank together, held values beside all banks.

        Tiles that are loaded once for the block lie in one bank alone.

        Raises:
            MohaqError: they do not.
        """
        once = {move.stream for move in block.loads if move.loop == BLOCK_START}
        for pad in Pad:
            tiles = everywhere = 0
            for stream in block.streams:
                if stream.pad == pad:
                    size = stream.width
                    for axis in stream.axes:
                        size *= block.loops[axis.loop].step
                    tiles += size
                    everywhere += size if stream.id in once else size * BANKS[pad]
            if tiles > machine.capacity(pad):
                raise MohaqError(
                    f"the tiles of a block overflow a bank of {pad.name}",
                    why=f"{tiles} bits of {machine.capacity(pad)}",
                )
            kept, whole = self.bits(pad), machine.capacity(pad) * BANKS[pad]
            if everywhere + kept > whole:
                raise MohaqError(
                    f"held values overflow {pad.name}",
                    why=f"{kept} bits beside tiles of {everywhere} in {whole}",
                )
