"""What one program segment leaves for the next, as far as the rules need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Cell = tuple[int, int]


@dataclass(frozen=True)
class Carried:
    """Facts by cell (row, col).

    written: mask of register-file words that hold a value; sources: code of the source
    (simulator/state.py) by switchbox destination; routes: (tile code, hops) by direction 0 read,
    1 write; mode, bw: live settings; regs: RACCU registers.
    """

    written: Mapping[Cell, int] = field(default_factory=dict)
    sources: Mapping[Cell, Mapping[int, int]] = field(default_factory=dict)
    routes: Mapping[Cell, Mapping[int, tuple[int, int]]] = field(default_factory=dict)
    mode: Mapping[Cell, int] = field(default_factory=dict)
    bw: Mapping[Cell, int] = field(default_factory=dict)
    regs: Mapping[Cell, tuple[int, ...]] = field(default_factory=dict)

    def regs_of(self, cell: Cell) -> tuple[int, ...]:
        """The 16 registers of a cell."""
        return self.regs.get(cell, (0,) * 16)

    def key(self) -> tuple[object, ...]:
        """A hashable form; equal for equal facts."""
        return (
            tuple(sorted(self.written.items())),
            tuple((c, tuple(sorted(m.items()))) for c, m in sorted(self.sources.items())),
            tuple((c, tuple(sorted(m.items()))) for c, m in sorted(self.routes.items())),
            tuple(sorted(self.mode.items())),
            tuple(sorted(self.bw.items())),
            tuple(sorted(self.regs.items())),
        )
