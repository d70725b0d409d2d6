"""Running a compiled folder on sequences, and saying whether it did what it should."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.backends.base import Estimate, Workload
from mohaq.compiler.driver import CompiledFolder, Ran
from mohaq.tools.boundary import CheckFailed
from mohaq.tools.console import latency, say, si, table

Sequences = Sequence[npt.NDArray[Any]]


@dataclass(frozen=True)
class Run:
    """One sequence and what was expected of it; `expected` is the estimate for its length."""

    frames: int
    ran: Ran
    expected: Estimate | None

    @property
    def counters_equal(self) -> bool | None:
        """Whether the run cost exactly what was estimated; None when not compared."""
        return None if self.expected is None else self.ran.simulation.measured == self.expected


@dataclass(frozen=True)
class Runs:
    """All sequences of a run."""

    target: str
    runs: tuple[Run, ...]

    @property
    def outputs(self) -> list[npt.NDArray[np.float64]]:
        """Real outputs [T, C] of each sequence."""
        return [run.ran.outputs for run in self.runs]

    def require_equal(self) -> None:
        """Raise unless every result and every counter is as it should be.

        Raises:
            CheckFailed: naming the first sequence that differs.
        """
        for number, run in enumerate(self.runs):
            if run.ran.equal is False:
                raise CheckFailed(f"sequence {number}: the results differ from the reference")
            if run.counters_equal is False:
                raise CheckFailed(f"sequence {number}: the counters differ from the estimate")


def simulate(
    opened: CompiledFolder,
    sequences: Sequences,
    *,
    check: bool,
    progress: Callable[[int, int], None] | None = None,
) -> Runs:
    """Simulate sequences [T, F]; with `check` compare results and counters."""
    estimates = _Estimates(opened) if check else None
    done: list[Run] = []
    for sequence in sequences:
        ran = opened.run(sequence, check=check)
        expected = estimates.at(ran.simulation.measured.workload) if estimates else None
        done.append(Run(len(sequence), ran, expected))
        if progress is not None:
            progress(len(done), len(sequences))
    return Runs(opened.target, tuple(done))


class _Estimates:
    """Estimates of a compiled folder for the workloads that are run."""

    def __init__(self, opened: CompiledFolder) -> None:
        self._opened = opened
        self._program = opened.stage(f"4-{opened.backend.name}")
        self._machine = opened.machine()
        self._held: dict[Workload, Estimate] = {}

    def at(self, workload: Workload) -> Estimate:
        if workload not in self._held:
            self._held[workload] = self._opened.backend.estimate(
                self._program, self._machine, workload, self._opened.options
            )
        return self._held[workload]


def require_expected(opened: CompiledFolder) -> None:
    """Compare a folder with the expected results in it, and say how many agree.

    Raises:
        CheckFailed: a program or phase differs; every difference is printed.
    """
    found = opened.check_expected()
    for line in found.differences:
        say(line)
    if found.differences:
        bad = len(found.differences)
        raise CheckFailed(f"{bad} of {found.checked} expected results differ")
    say(f"all {found.checked} expected results agree")


def print_runs(runs: Runs) -> None:
    """A line a sequence, then the verdict."""
    rows = []
    for number, run in enumerate(runs.runs):
        total = run.ran.simulation.measured.total
        rows.append(
            (
                number,
                run.frames,
                f"{total.cycles:,}",
                latency(total.seconds),
                si(total.joules, "J"),
                _verdict(run.ran.equal),
                _verdict(run.counters_equal),
            )
        )
    columns = ("sequence", "frames", "cycles", "latency", "energy", "results", "counters")
    table(f"Simulated on {runs.target}", columns, rows, text=0)
    checked = [run for run in runs.runs if run.ran.equal is not None]
    if checked:
        exact = sum(bool(run.ran.equal) for run in checked)
        counted = sum(bool(run.counters_equal) for run in checked)
        say(
            f"bit-exact on {exact} of {len(checked)} sequences; "
            f"counters equal the estimate on {counted}"
        )


def _verdict(equal: bool | None) -> str:
    return {None: "not compared", True: "equal", False: "DIFFERENT"}[equal]
