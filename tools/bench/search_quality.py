"""How much of the true front searches find: one whole space, evaluated once, then looked up.

    python -m mohaq.tools.bench.search --quality RUN [--seeds 10] [--csv FILE]

RUN is the folder of a finished `mohaq search --exhaustive`. Each search asks for assignments and is told
the recorded values. The figure is the hypervolume of what it has seen over that of the whole space, at shares
of the space; `random` draws assignments without repeating one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from mohaq.backends.base import GeneSpace, IntArray, SlotGroup
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import read_json
from mohaq.compiler.search.front import FRONT_FILE, hypervolume_of
from mohaq.compiler.search.nsga2 import Nsga2
from mohaq.compiler.search.seeding import OTHERS, POINTS, derived, probes
from mohaq.compiler.search.settings import SearchSettings

SHARES = (0.01, 0.02, 0.05, 0.1)
"""Of the space, where the figure is read."""

GIVE_UP = 200
"""Generations without a new assignment."""

Genome = tuple[int, ...]


@dataclass(frozen=True)
class QualityLine:
    """Mean over seeds of the share of the true hypervolume at a share of the space."""

    search: str
    space_share: float
    evaluations: int
    mean: float
    worst: float


class Known:
    """A whole space with its values.

    Args:
        run: folder of a finished exhaustive search.

    Raises:
        MohaqError: the run is not one over a whole space.
    """

    def __init__(self, run: Path) -> None:
        front: Any = read_json(run / FRONT_FILE, "front")
        if front["settings"]["algorithm"] != "exhaustive":
            raise MohaqError("the run is not exhaustive", where=str(run))
        self.axes = [(o["name"], o["direction"]) for o in front["objectives"]]
        self.space = GeneSpace(
            tuple(
                SlotGroup(
                    g["name"],
                    tuple(Slot(*s.rsplit(".", 1)) for s in g["slots"]),
                    tuple(map(tuple, g["choices"])),
                )
                for g in front["genes"]
            )
        )
        held = {tuple(p["genome"]): p for p in front["evaluated"]}
        if len(held) != self.space.size:
            raise MohaqError(f"{len(held)} of {self.space.size} assignments known", where=str(run))
        limits = np.array([front["hypervolume_reference"][name] for name, _ in self.axes])
        self.values: Mapping[Genome, np.ndarray] = {
            genome: self._scaled(p["objectives"], limits) for genome, p in held.items()
        }
        self.broken = {g: float(p["violation"]) for g, p in held.items()}
        self.errors = {g: float(p["objectives"].get("error", np.inf)) for g, p in held.items()}
        self.whole = self.share_of(self.values)

    def _scaled(self, objectives: Mapping[str, float], limits: np.ndarray) -> np.ndarray:
        found = []
        for (name, direction), limit in zip(self.axes, limits, strict=True):
            value = objectives.get(name, np.nan)
            found.append(value / limit if direction == "min" else limit / value)
        return np.array(found)

    def share_of(self, genomes: Any) -> float:
        """Hypervolume of the feasible ones among genomes."""
        kept = [self.values[g] for g in genomes if self.broken[g] <= 0]
        return hypervolume_of(np.array(kept)) if kept else 0.0


def uniform(space: GeneSpace) -> list[IntArray]:
    """Genomes with one width in every slot."""
    widths = sorted({w for g in space.groups for c in g.choices for w in c}, reverse=True)
    found = []
    for bits in widths:
        rows = [[set(c) == {bits} for c in g.choices] for g in space.groups]
        if all(map(any, rows)):
            found.append(np.array([row.index(True) for row in rows]))
    return found


def asked(known: Known, kind: str, seed: int, limit: int) -> list[Genome]:
    """The first `limit` different assignments that a search evaluates, in order."""
    seen: dict[Genome, None] = {}
    if kind == "random":
        everything = list(known.values)
        order = np.random.default_rng(seed).permutation(len(everything))[:limit]
        return [everything[i] for i in order]
    for genomes in _generations(known, kind, seed, seen):
        before = len(seen)
        seen.update(dict.fromkeys(genomes))
        if len(seen) >= limit or (before == len(seen) == len(known.values)):
            break
    return list(seen)[:limit]


def _generations(
    known: Known, kind: str, seed: int, seen: Mapping[Genome, None]
) -> Iterator[list[Genome]]:
    settings = SearchSettings.of(kind, objectives=tuple(n for n, _ in known.axes), seed=seed)
    settings = settings.for_space(known.space.size)
    seeds = uniform(known.space)
    yield [_key(g) for g in seeds]  # reference rows of every search
    given = list(seeds) if settings.seed_uniform else []
    if settings.seed_sensitivity:
        alone = probes(known.space)
        yield [_key(g) for g in alone]
        errors = np.array([known.errors[_key(g)] for g in alone])
        most = min(POINTS, settings.population - OTHERS)
        given.extend(derived(known.space, errors, most))
    search = Nsga2(
        known.space.upper,
        len(known.axes),
        population=settings.population,
        offspring=settings.offspring,
        seed=seed,
        seeds=np.array(given) if given else None,
    )
    idle = 0
    while idle < GIVE_UP:
        genomes = search.ask()
        if genomes is None:
            return
        keys = [_key(g) for g in genomes]
        count = len(seen)
        yield keys
        idle = 0 if len(seen) > count else idle + 1
        search.tell([known.values[g] for g in keys], [known.broken[g] for g in keys])


def _key(genome: IntArray) -> Genome:
    return tuple(int(v) for v in genome)


def measure_quality(run: Path, seeds: int) -> list[QualityLine]:
    """Lines of the paper's preset, the default and random draws.

    Raises:
        MohaqError: the run is not one over a whole space.
    """
    known = Known(run)
    size = len(known.values)
    lines = []
    for kind in ("mohaq", "default", "random"):
        paths = [asked(known, kind, seed, round(SHARES[-1] * size)) for seed in range(1, seeds + 1)]
        for share in SHARES:
            count = round(share * size)
            found = [known.share_of(path[:count]) / known.whole for path in paths]
            lines.append(
                QualityLine(kind, share, count, float(np.mean(found)), float(np.min(found)))
            )
    return lines


def show_quality(lines: Sequence[QualityLine], seeds: int) -> Table:
    """One row a search: mean (worst) over seeds."""
    table = Table(title=f"% of the true hypervolume, mean (worst) of {seeds}", box=box.SIMPLE_HEAD)
    table.add_column("")
    for line in lines[: len(SHARES)]:
        table.add_column(f"{line.space_share:.0%}: {line.evaluations}", justify="right")
    for kind in dict.fromkeys(line.search for line in lines):
        cells = [f"{100 * x.mean:.2f} ({100 * x.worst:.2f})" for x in lines if x.search == kind]
        table.add_row(kind, *cells)
    return table
