"""Rows through the test bench's port of the memory tiles, and the cycles that no run hides.

A run reads every row once and in order, so the port can bring the rows of the next run behind it,
and fetch the results of the one before until they are written over. Only what takes longer than
the run is waited for.
"""

from __future__ import annotations

from dataclasses import dataclass

from mohaq.backends.silago.machine import Fabric


@dataclass
class Port:
    """The port during runs of which none needs the results of another one."""

    fabric: Fabric
    _run: int = 0
    """Cycles of the last run."""
    _rows: int = 0
    """Rows that move while it goes on, those for the next run not counted."""
    _results: int = 0

    def cycles(self, rows: int) -> int:
        """Cycles to move rows."""
        return -(-rows * self.fabric.row_bits // self.fabric.refill_bits_per_cycle)

    def before(self, rows: int) -> int:
        """Cycles to wait before a run that needs rows."""
        return max(0, self.cycles(self._rows + rows) - self._run)

    def ran(self, cycles: int, results: int, inside: int = 0) -> None:
        """A run that leaves rows of results, and gets rows while it goes on."""
        self._run, self._rows, self._results = cycles, self._results + inside, results

    def after(self) -> int:
        """Cycles to wait until the results of the last run are there."""
        return self.before(0) + self.cycles(self._results)
