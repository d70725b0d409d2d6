"""Engines: where candidates are evaluated. Any engine gives the same outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from mohaq.compiler.assignment import Slot

FailureKind = Literal["illegal", "raised", "not-finite", "lost"]


Part = Literal["all", "first", "rest"]
"""Sequences of the data: all, those that every candidate runs first, the others (`early_stop`)."""


@dataclass(frozen=True)
class Job:
    """One candidate: the key of its record and its widths, sorted by slot.

    `beacon` is the hash of the retrained program that is meant; empty: the searched program. `part`
    says which sequences are run.
    """

    key: str
    widths: tuple[tuple[Slot, int], ...]
    beacon: str = ""
    part: Part = "all"

    @staticmethod
    def of(key: str, widths: Mapping[Slot, int], beacon: str = "") -> Job:
        """A job from a mapping."""
        return Job(key, tuple(sorted((slot, int(bits)) for slot, bits in widths.items())), beacon)


@dataclass(frozen=True)
class Evaluation:
    """Error of a candidate: what the metric counted for each utterance, and the total."""

    errors: tuple[float, ...]
    totals: tuple[float, ...]
    value: float


@dataclass(frozen=True)
class Bound:
    """A candidate that was abandoned: its error is at least `value` (`early_stop`)."""

    value: float


@dataclass(frozen=True)
class Failure:
    """Why a candidate has no error.

    `illegal`: the target cannot run it (known before inference); `raised`: the evaluation
    raised; `not-finite`: the metric gave NaN or infinity; `lost`: the worker died each time.
    """

    kind: FailureKind
    message: str


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        key: the job's key.
        result: the error, or why there is none.
        tries: how often it was started.
        seconds: time of the evaluation itself.
        hits: layer values taken from memory.
        misses: layer values computed.
    """

    key: str
    result: Evaluation | Failure | Bound
    tries: int = 1
    seconds: float = 0.0
    hits: int = 0
    misses: int = 0


class Candidates(Protocol):
    """What evaluates one candidate inside an engine."""

    def evaluate(self, widths: Mapping[Slot, int]) -> Evaluation:
        """Error of a candidate.

        Raises:
            IllegalAssignment: the target cannot run it.
        """
        ...

    def counters(self) -> tuple[int, int]:
        """(hits, misses) of the value memory so far."""
        ...


class Recipe(Protocol):
    """How a worker builds its evaluator: small, and made of text and numbers."""

    def build(self) -> Candidates:
        """Load everything and build the evaluator."""
        ...


class PortableRecipe(Recipe, Protocol):
    """A recipe that can be sent to another machine."""

    def pack(self) -> bytes:
        """All files that it names, as the bytes of a safetensors file."""
        ...

    @staticmethod
    def unpack(data: bytes, folder: Path) -> Recipe:
        """The recipe of `pack`; its files are written into an empty folder."""
        ...


class Engine(Protocol):
    """Evaluates batches of candidates."""

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Outcomes in any order, one for each job; a failing candidate never raises."""
        ...

    def close(self) -> None:
        """Stop the workers."""
        ...
