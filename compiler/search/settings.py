"""What a search is asked to do, apart from the model, the target and the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from mohaq.backends.base import Options, Workload
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.search.objectives import ERROR, Objective, find_objectives

Algorithm = Literal["auto", "nsga2", "nsga3", "exhaustive"]

PRESETS: dict[str, Mapping[str, Any]] = {
    "default": {},
    # As MOHAQ's code: 40 random candidates, then 59 times 10 new ones, 630 in all.
    "mohaq": {
        "generations": 60,
        "population": 40,
        "offspring": 10,
        "seed_uniform": False,
        "seed_sensitivity": False,
        "algorithm": "nsga2",
    },
}
"""Name -> settings that stand unless others are given."""


@dataclass(frozen=True)
class Constraints:
    """Limits that a feasible candidate keeps.

    max_error: largest error, in the metric's unit.
    max_size: largest model in bytes; a target with a `model_bytes` constant adds its own.
    more: (objective, largest value) of other objectives that are priced before inference, searched
        or not.
    """

    max_error: float | None = None
    max_size: float | None = None
    more: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        given = (("max_error", self.max_error), ("max_size", self.max_size), *self.more)
        for name, limit in given:
            if limit is not None and not limit > 0:
                raise MohaqError(f"'{name}' must be positive, got {limit}")
        for axis in find_objectives([name for name, _ in self.more]) if self.more else ():
            if axis.values is None or axis.direction != "min":
                raise MohaqError(f"there is no largest '{axis.name}' to keep before inference")


SMALL_SPACE, SMALL_POPULATION = 100_000, 16
"""Of a search that leaves the size of its population open: measured on such spaces (docs/search.md)."""


@dataclass(frozen=True)
class SearchSettings:
    """Everything that decides the result of a search.

    objectives: names (compiler/search/objectives.py), each once.
    population, offspring: MOHAQ's code starts from 40 and adds 10 a generation.
    by_space: let NSGA-II keep fewer in a small space (`for_space`).
    generations: the first one is the initial population.
    algorithm: `auto` is NSGA-II up to three objectives and NSGA-III beyond; `exhaustive` evaluates
        every candidate of the space.
    space_limit: largest space that is enumerated.
    freeze: (slot or pattern, bits).
    ties: groups of slots or patterns that share one gene.
    seed_uniform: start from the uniform assignments that are legal.
    seed_sensitivity: measure what each gene costs alone, and start from assignments that narrow
        the cheap ones first (compiler/search/seeding.py).
    failure_share: the search stops when more than this share of the evaluations failed.
    early_stop: abandon candidates that cannot enter the next population before all sequences are
        run; populations and fronts are the same without (compiler/search/early_stop.py).
    """

    objectives: tuple[str, ...] = ("error", "latency", "energy", "size")
    metric: str = "fer"
    generations: int = 20
    population: int = 40
    offspring: int = 10
    seed: int = 1
    algorithm: Algorithm = "auto"
    space_limit: int = 100_000
    freeze: tuple[tuple[str, int], ...] = ()
    ties: tuple[tuple[str, ...], ...] = ()
    seed_uniform: bool = True
    seed_sensitivity: bool = True
    constraints: Constraints = field(default_factory=Constraints)
    options: Options = field(default_factory=Options)
    workload: Workload | None = None
    failure_share: float = 0.5
    early_stop: bool = True
    by_space: bool = False

    def __post_init__(self) -> None:
        find_objectives(self.objectives)
        if self.algorithm not in get_args(Algorithm):
            raise MohaqError(
                f"no algorithm '{self.algorithm}'",
                hint=did_you_mean(self.algorithm, get_args(Algorithm)),
            )
        for name in ("generations", "population", "offspring", "space_limit"):
            if getattr(self, name) < 1:
                raise MohaqError(f"'{name}' must be at least 1, got {getattr(self, name)}")
        if self.algorithm == "nsga3" and self.population < len(self.objectives):
            raise MohaqError(
                f"NSGA-III needs a population of {len(self.objectives)} for as many objectives",
                why=f"got {self.population}",
            )
        if self.seed < 0:
            raise MohaqError(f"a seed is not negative, got {self.seed}")
        if not 0 < self.failure_share <= 1:
            raise MohaqError(f"'failure_share' lies in (0, 1], got {self.failure_share}")

    @staticmethod
    def of(preset: str = "default", **given: Any) -> SearchSettings:
        """Settings of a preset, with those that are given (None: not given) instead.

        Raises:
            MohaqError: no such preset, or a value out of range.
        """
        if preset not in PRESETS:
            raise MohaqError(f"no preset '{preset}'", hint=did_you_mean(preset, PRESETS))
        chosen = {name: value for name, value in given.items() if value is not None}
        chosen.setdefault("by_space", preset == "default" and "population" not in chosen)
        return SearchSettings(**{**PRESETS[preset], **chosen})

    @property
    def axes(self) -> tuple[Objective, ...]:
        """The objectives themselves, in order."""
        return find_objectives(self.objectives)

    @property
    def resolved(self) -> Literal["nsga2", "nsga3", "exhaustive"]:
        """The algorithm that `auto` stands for."""
        if self.algorithm != "auto":
            return self.algorithm
        many = 3 < len(self.objectives) <= self.population
        return "nsga3" if many else "nsga2"

    def for_space(self, size: int) -> SearchSettings:
        """The settings for a space of so many assignments: nothing is left open."""
        small = self.by_space and self.resolved == "nsga2" and size <= SMALL_SPACE
        population = SMALL_POPULATION if small else self.population
        return replace(self, population=population, by_space=False)

    @property
    def stops_early(self) -> bool:
        """Whether there are candidates that can be abandoned (compiler/search/early_stop.py)."""
        limited = self.constraints.max_error is not None
        dominated = self.resolved == "nsga2" and ERROR in self.objectives
        return self.early_stop and self.resolved != "exhaustive" and (limited or dominated)

    def identity(self) -> dict[str, Any]:
        """The settings that a resumed run must share.

        `generations` is not among them: a longer search replays a shorter one and goes on.
        """
        held = asdict(self)
        for name in ("generations", "failure_share", "space_limit", "early_stop", "by_space"):
            del held[name]
        if not self.constraints.more:
            del held["constraints"]["more"]
        held["algorithm"] = self.resolved
        held["objectives"] = [(o.name, o.unit, o.direction) for o in self.axes]
        if self.resolved == "exhaustive":  # they decide nothing there
            for name in ("population", "offspring", "seed_uniform", "seed_sensitivity"):
                del held[name]
        return held
