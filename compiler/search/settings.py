"""What a search is asked to do, apart from the model, the target and the data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from mohaq.backends.base import Options, Workload
from mohaq.compiler.diagnostics import MohaqError, did_you_mean

OBJECTIVES: dict[str, str] = {
    "error": "share",
    "latency": "s",
    "energy": "J",
    "size": "bytes",
}
"""Objective -> unit; all are minimised. The unit of `error` is that of the metric."""


@dataclass(frozen=True)
class Constraints:
    """Limits that a feasible candidate keeps.

    max_error: largest error, in the metric's unit.
    max_size: largest model in bytes; a target with a `model_bytes` constant adds its own.
    """

    max_error: float | None = None
    max_size: float | None = None

    def __post_init__(self) -> None:
        for name, limit in asdict(self).items():
            if limit is not None and not limit > 0:
                raise MohaqError(f"'{name}' must be positive, got {limit}")


@dataclass(frozen=True)
class SearchSettings:
    """Everything that decides the result of a search.

    population, offspring: MOHAQ's code starts from 40 and adds 10 a generation.
    generations: the first one is the initial population.
    seed_uniform: start from the uniform assignments that are legal, filled up at random.
    failure_share: the search stops when more than this share of the evaluations failed.
    """

    objectives: tuple[str, ...] = ("error", "latency", "energy", "size")
    metric: str = "fer"
    generations: int = 20
    population: int = 40
    offspring: int = 10
    seed: int = 1
    seed_uniform: bool = True
    constraints: Constraints = field(default_factory=Constraints)
    options: Options = field(default_factory=Options)
    workload: Workload | None = None
    failure_share: float = 0.5

    def __post_init__(self) -> None:
        for name in self.objectives:
            if name not in OBJECTIVES:
                raise MohaqError(f"no objective '{name}'", hint=did_you_mean(name, OBJECTIVES))
        if not self.objectives or len(set(self.objectives)) != len(self.objectives):
            raise MohaqError("name at least one objective, each once")
        for name in ("generations", "population", "offspring"):
            if getattr(self, name) < 1:
                raise MohaqError(f"'{name}' must be at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise MohaqError(f"a seed is not negative, got {self.seed}")
        if not 0 < self.failure_share <= 1:
            raise MohaqError(f"'failure_share' lies in (0, 1], got {self.failure_share}")

    def identity(self) -> dict[str, Any]:
        """The settings that a resumed run must share.

        `generations` is not among them: a longer search replays a shorter one and goes on.
        """
        held = asdict(self)
        del held["generations"], held["failure_share"]
        return held
