"""How the channels of a value lie on the cores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
STEPS = 4
"""Time steps that lie side by side in memory and that a kernel takes at once."""

STEP_BYTES = 2 * STEPS
"""Bytes of one channel of four steps in 16 bits."""


@dataclass(frozen=True)
class Split:
    """`groups` runs of `units` channels; core p holds units p*per_core .. of every run.

    All gates of a unit so lie on one core. `per_core` is the same on all cores: the last one
    that holds units may hold fewer real ones, the cores after it hold none.
    """

    units: int
    groups: int
    per_core: int

    @staticmethod
    def over(cores: int, units: int, groups: int) -> Split:
        """An even split."""
        return Split(units, groups, -(-units // cores))

    @property
    def active(self) -> int:
        """Cores that hold units."""
        return -(-self.units // self.per_core)

    @property
    def segment(self) -> int:
        """Channels of one core, idle ones included."""
        return self.groups * self.per_core

    @property
    def columns(self) -> int:
        """Channels of all cores, idle ones included."""
        return self.active * self.segment

    def channels(self) -> Ints:
        """[columns]: the channel in each column, -1 for idle ones; order: core, group, unit."""
        core, group, unit = np.meshgrid(
            np.arange(self.active), np.arange(self.groups), np.arange(self.per_core), indexing="ij"
        )
        at = core * self.per_core + unit
        return np.where(at < self.units, group * self.units + at, -1).reshape(-1)

    def rows(self, core: int, groups: tuple[int, ...]) -> Ints:
        """[len(groups) * per_core]: the channels of a core in some groups, -1 for idle ones."""
        at = core * self.per_core + np.arange(self.per_core)
        each = [np.where(at < self.units, g * self.units + at, -1) for g in groups]
        return np.concatenate(each)
