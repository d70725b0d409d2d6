"""Small searches for tests: data, a target without ties, and workers that misbehave."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from programs import sequences

from mohaq.backends.base import GeneSpace, IllegalAssignment, Legality, SlotGroup, Target
from mohaq.backends.reference import ReferenceBackend
from mohaq.compiler.analysis.layers import Layer, LayerTable
from mohaq.compiler.assignment import Slot
from mohaq.compiler.data import Dataset
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.program import Program
from mohaq.compiler.search.engine import Evaluation

WIDTHS = (2, 4, 8, 16)


def labelled(
    program: Program, seed: int = 5, *, lengths: tuple[int, ...] = (9, 1, 14, 6), features: int = 5
) -> Dataset:
    """Random sequences labelled by the float program, a fifth of the frames at random."""
    rng = np.random.default_rng(seed)
    inputs = sequences(seed, features=features, lengths=lengths)
    labels = []
    for x in inputs:
        output = run_float(program, [x[:, None]])[0][:, 0]
        truth = output.argmax(axis=1)
        noise = rng.random(len(x)) < 0.2
        labels.append(np.where(noise, rng.integers(output.shape[1], size=len(x)), truth))
    return Dataset(tuple(inputs), tuple(y.astype(np.int64) for y in labels), label_kind="frame")


class FreeBackend(ReferenceBackend):
    """The reference backend with every slot on its own."""

    def legality(self, layer: Layer, target: Target) -> Legality:  # noqa: ARG002
        """One group a slot."""
        return Legality(
            tuple(
                SlotGroup(
                    f"{layer.name}.{slot}", (Slot(layer.name, slot),), tuple((w,) for w in WIDTHS)
                )
                for slot in layer.slots
            ),
            granularity="per-channel",
        )

    def space(self, table: LayerTable, target: Target) -> GeneSpace:
        """No ties."""
        return GeneSpace(tuple(g for x in table for g in self.legality(x, target).groups))


@dataclass(frozen=True)
class FakeRecipe:
    """Workers whose behaviour is chosen by the width of slot `l.kind`.

    2: fine; 3: raises; 4: not a number; 5: illegal; 6: dies the first time; 7: dies always;
    8: hangs the first time; 9: hangs always.
    """

    folder: str

    def pack(self) -> bytes:
        """The folder; workers of a cluster on this machine can use the same."""
        return self.folder.encode()

    @staticmethod
    def unpack(data: bytes, folder: Path) -> FakeRecipe:
        """See `pack`."""
        assert folder.is_dir()
        return FakeRecipe(data.decode())

    def build(self) -> FakeCandidates:
        """The evaluator."""
        return FakeCandidates(Path(self.folder))


class BuggyRecipe(FakeRecipe):
    """Cannot be built, for a reason that nobody expects."""

    @staticmethod
    def unpack(data: bytes, folder: Path) -> FakeRecipe:  # noqa: ARG004
        """See `pack`."""
        return BuggyRecipe(data.decode())

    def build(self) -> FakeCandidates:
        """Raises."""
        raise KeyError("our mistake")


KIND, NUMBER = Slot("l", "kind"), Slot("l", "number")


class FakeCandidates:
    """See `FakeRecipe`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def counters(self) -> tuple[int, int]:
        """None."""
        return 0, 0

    def evaluate(self, widths: Mapping[Slot, int]) -> Evaluation:
        """Behave."""
        kind, number = widths[KIND], widths[NUMBER]
        (self._folder / f"{number}.{os.getpid()}.{os.urandom(4).hex()}").touch()
        if kind == 3:
            raise ZeroDivisionError("a model error")
        if kind == 4:
            return Evaluation((float("nan"),), (1.0,), float("nan"))
        if kind == 5:
            raise IllegalAssignment("does not fit")
        first = self.starts(number) == 1
        if kind == 7 or (kind == 6 and first):
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == 9 or (kind == 8 and first):
            time.sleep(600)
        return Evaluation((float(number),), (100.0,), number / 100.0)

    def starts(self, number: int) -> int:
        """How often a job was started."""
        return len(list(self._folder.glob(f"{number}.*")))
