"""A rule that does not hold, and where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One violation: rule, cell (row, col), word address, clock edge; unknown ones are None."""

    rule: str
    cell: tuple[int, int] | None
    pc: int | None
    edge: int | None
    text: str

    def __str__(self) -> str:
        place = [f"cell {self.cell}"] if self.cell is not None else []
        place += [f"word {self.pc}"] if self.pc is not None else []
        place += [f"edge {self.edge}"] if self.edge is not None else []
        return f"{', '.join(place)}{': ' if place else ''}{self.text} [{self.rule}]"
