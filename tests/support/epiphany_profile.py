"""Cycles of a compiled project by function: core 0 of the chip in Python through the scoreboard.

    python epiphany_profile.py (the words of epiphany_chip.py)

writes {function: cycles of its own instructions} beside the mailboxes. Waiting for others is
counted as it happens to run here, so only functions without polls mean anything.
"""

from __future__ import annotations

import bisect
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import epiphany_chip
import numpy.typing as npt
from epiphany_toolchain import DeviceProgram

from mohaq.backends.epiphany.analyzer.executor import Step
from mohaq.backends.epiphany.analyzer.instructions import Instruction
from mohaq.backends.epiphany.analyzer.scoreboard import Scoreboard

RESULT = "profile.json"


class Profile:
    """Cycles by function."""

    def __init__(self, elf: Path) -> None:
        functions = DeviceProgram(elf).functions()
        rows = sorted((a, n) for n, a in DeviceProgram(elf).symbols().items() if n in functions)
        self.starts, self.names = [a for a, _ in rows], [n.removeprefix("_") for _, n in rows]
        self.board, self.cycles = Scoreboard(), Counter[str]()

    def add(self, step: Step) -> None:
        """One executed instruction."""
        before = self.board.totals.cycles
        self.board.issue(step.instruction, taken=step.taken, loop_end=step.loop_end)
        name = self.names[bisect.bisect(self.starts, step.address) - 1]
        self.cycles[name] += self.board.totals.cycles - before


def cycles_by_function(
    folder: Path, scratch: Path, inputs: Sequence[npt.NDArray[Any]]
) -> dict[str, int]:
    """Run an emitted project on the chip; cycles of core 0 by function."""
    epiphany_chip.run_on_chip(folder, scratch, inputs, device=__file__)
    found: dict[str, int] = json.loads((scratch / RESULT).read_text())
    return found


def main(words: list[str]) -> None:
    """See the module's text."""
    profile = Profile(Path(words[0]))

    class ProfiledCore(epiphany_chip.Core):
        def _step(self, i: Instruction) -> Step:
            step = super()._step(i)
            if self.index == 0:
                profile.add(step)
            return step

    epiphany_chip.Core = ProfiledCore  # type: ignore[misc]
    epiphany_chip.main(words)
    Path(words[-1]).with_name(RESULT).write_text(json.dumps(profile.cycles))


if __name__ == "__main__":
    main(sys.argv[1:])
