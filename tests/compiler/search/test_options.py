"""What a user can ask of a search: objectives, ties, frozen slots, presets, whole spaces."""

from __future__ import annotations

import itertools
import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import calibrated
from searches import labelled

from mohaq.backends.base import GeneSpace, SlotGroup
from mohaq.compiler import plugins
from mohaq.compiler.assignment import Slot
from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.program import Program
from mohaq.compiler.search.enumeration import Enumeration
from mohaq.compiler.search.front import Point, hypervolume, pareto
from mohaq.compiler.search.genes import check_choices, shaped
from mohaq.compiler.search.objectives import Objective, Priced, find_objective
from mohaq.compiler.search.progress import Progress
from mohaq.compiler.search.record import RECORD_FILE, read_evaluations
from mohaq.compiler.search.search import search
from mohaq.compiler.search.seeding import derived, probes
from mohaq.compiler.search.settings import PRESETS, Constraints, SearchSettings

SMALL: dict[str, Any] = {"generations": 3, "population": 8, "offspring": 4}
W, A = Slot("l0", "weight"), Slot("fc", "weight")


@pytest.fixture(scope="module")
def program() -> Program:
    return calibrated(7)


@pytest.fixture(scope="module")
def data(program: Program) -> Dataset:
    return labelled(program, lengths=(9, 1, 14))


def narrow_slots(priced: Priced) -> Any:
    return sum((bits == 2).astype(float) for bits in priced.widths.values())


NARROW = Objective("narrow", "slots", narrow_slots, "max")
BROKEN = Objective("broken", "", lambda priced: -priced.costs["size"])


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objectives of another package."""

    def entries(group: str) -> list[EntryPoint]:
        here = f"{__name__}"
        names = {
            "narrow": "NARROW",
            "broken": "BROKEN",
            "gone": "NOT_THERE",
            "wrong": "narrow_slots",
        }
        return [EntryPoint(name, f"{here}:{value}", group) for name, value in names.items()]

    monkeypatch.setattr(plugins, "entry_points", entries)
    monkeypatch.setattr(EntryPoint, "load", lambda entry: globals()[entry.value.partition(":")[2]])


def test_objectives_in_any_order(program: Program, data: Dataset, tmp_path: Path) -> None:
    names = ("speedup", "error", "sram")
    result = search(program, target="reference", data=data, out=tmp_path, objectives=names, **SMALL)
    held = json.loads((tmp_path / "front.json").read_text())
    assert [(o["name"], o["direction"]) for o in held["objectives"]] == [
        ("speedup", "max"), ("error", "min"), ("sram", "min"),
    ]  # fmt: skip
    speedups = [p.objectives["speedup"] for p in result.front]
    assert speedups == sorted(speedups, reverse=True)
    widest = next(r for r in held["reference"] if r["name"] == "uniform 16")["objectives"]
    assert widest["speedup"] == 1.0
    for point in result.evaluated:
        costs = point.objectives
        assert costs["speedup"] == widest["latency"] / costs["latency"]
        assert costs["sram"] > costs["size"]
        mine = (-costs["speedup"], costs["error"], costs["sram"])
        others = [
            (-q.objectives["speedup"], q.objectives["error"], q.objectives["sram"])
            for q in result.evaluated
        ]
        beaten = any(
            o != mine and all(x <= y for x, y in zip(o, mine, strict=True)) for o in others
        )
        assert beaten != any(q.objectives == costs for q in result.front)


def test_speedup_and_latency_see_the_same_hypervolume() -> None:
    latency, speedup = find_objective("latency"), find_objective("speedup")
    points = [
        Point((i,), {}, {"latency": t, "speedup": 8.0 / t, "error": e}, 0.0, 1)
        for i, (t, e) in enumerate([(8.0, 0.1), (2.0, 0.3), (1.0, 0.9)])
    ]
    error = find_objective("error")
    slow = hypervolume(points, (error, latency), np.array([1.0, 8.8]))
    fast = hypervolume(points, (error, speedup), np.array([1.0, 1 / 1.1]))
    assert slow == pytest.approx(fast, rel=1e-12)
    assert pareto(points, (error, latency)) == pareto(points, (error, speedup))


@pytest.mark.usefixtures("installed")
def test_an_objective_of_another_package(program: Program, data: Dataset, tmp_path: Path) -> None:
    result = search(
        program, target="reference", data=data, out=tmp_path, objectives=("narrow", "size"), **SMALL
    )
    assert read_evaluations(tmp_path / RECORD_FILE) == []
    (best,) = result.front
    assert set(best.widths.values()) == {2}
    assert best.objectives["narrow"] == len(best.widths)


@pytest.mark.usefixtures("installed")
def test_objectives_that_cannot_be_used(program: Program, data: Dataset, tmp_path: Path) -> None:
    for name, message in (
        ("broken", "none negative"),
        ("gone", "cannot be imported"),
        ("wrong", "making it failed"),
        ("narow", "'narrow'"),
    ):
        with pytest.raises(MohaqError, match=message):
            search(program, target="reference", data=data, out=tmp_path, objectives=(name,))
    with pytest.raises(MohaqError, match="each once"):
        search(program, target="reference", data=data, out=tmp_path, objectives=("size", "size"))
    assert not (tmp_path / RECORD_FILE).exists()


def space(**choices: tuple[tuple[int, ...], ...]) -> GeneSpace:
    """Single slots `name.weight`, or pairs of weight and input."""
    groups = []
    for name, given in choices.items():
        slots = (Slot(name, "weight"), Slot(name, "input"))[: len(given[0]) if given else 1]
        groups.append(SlotGroup(name, slots, given))
    return GeneSpace(tuple(groups))


def test_ties_keep_common_widths_only() -> None:
    made, _ = shaped(
        space(a=((2,), (4,), (8,)), b=((4,), (8,), (16,)), c=((2,),)), (), [["a.*", "b.weight"]]
    )
    assert [g.slots for g in made.groups] == [
        (Slot("a", "weight"), Slot("b", "weight")), (Slot("c", "weight"),),
    ]  # fmt: skip
    assert made.groups[0].choices == ((4, 4), (8, 8))
    pairs = tuple(itertools.product((2, 4), (8, 16)))
    made, _ = shaped(space(a=pairs, b=((2,), (4,))), (), [["a.weight", "b.weight"]])
    assert made.groups[0].choices == ((2, 8, 2), (2, 16, 2), (4, 8, 4), (4, 16, 4))


def test_ties_and_frozen_slots_that_cannot_be() -> None:
    free = space(a=((2,), (4,)), b=((8,), (16,)))
    with pytest.raises(
        MohaqError, match=r"no legal width in common.*a.weight: 2, 4; b.weight: 8, 16"
    ):
        shaped(free, (), [["a.weight", "b.weight"]])
    with pytest.raises(MohaqError, match="at least two slots"):
        shaped(free, (), [["a.weight"]])
    with pytest.raises(MohaqError, match=r"no slot 'x\.weight'"):
        shaped(free, (), [["a.weight", "x.weight"]])
    with pytest.raises(MohaqError, match=r"'a.weight' cannot be frozen at 8 bits.*2, 4"):
        shaped(free, [("*.weight", 8)], ())
    with pytest.raises(MohaqError, match=r"b.weight: backend 'mine' has no legal width"):
        check_choices(space(a=((2,),), b=()), "mine")


def test_frozen_and_tied_slots_stay_so(program: Program, data: Dataset, tmp_path: Path) -> None:
    result = search(
        program, target="bitfusion-e", data=data, out=tmp_path, freeze={"*.input": 8},
        ties=[["*.weight"]], **SMALL,
    )  # fmt: skip
    for point in result.evaluated:
        by_slot = {"weight": set(), "input": set()}  # type: ignore[var-annotated]
        for slot, bits in point.widths.items():
            by_slot[slot.slot].add(bits)
        assert by_slot["input"] == {8}
        assert len(by_slot["weight"]) == 1
    assert len(result.evaluated) == 4
    with pytest.raises(MohaqError, match="freeze was"):
        search(program, target="bitfusion-e", data=data, out=tmp_path, **SMALL)


def test_the_whole_space(program: Program, data: Dataset, tmp_path: Path) -> None:
    """The same front as a search that met every candidate, resumed without evaluations."""
    whole: dict[str, Any] = {"algorithm": "exhaustive", "objectives": ("error", "size")}
    seen: list[Progress] = []
    result = search(program, target="reference", data=data, out=tmp_path / "all", **whole)
    choices = [range(len(g["choices"])) for g in result.header["genes"]]
    assert {p.genome for p in result.evaluated} == set(itertools.product(*choices))
    before = (tmp_path / "all" / "front.json").read_bytes()
    search(
        program, target="reference", data=data, out=tmp_path / "all", observer=seen.append, **whole
    )
    assert seen[-1].evaluated == 0
    assert (tmp_path / "all" / "front.json").read_bytes() == before
    some = search(
        program, target="reference", data=data, out=tmp_path / "some", objectives=("error", "size"),
        **SMALL,
    )  # fmt: skip
    assert some.generations[-1].hypervolume <= result.generations[-1].hypervolume + 1e-12
    exact = {p.genome: p.objectives for p in result.evaluated}
    ran = [p for p in some.evaluated if p.bound is None]
    assert all(exact[p.genome] == p.objectives for p in ran)


def test_a_space_beyond_the_limit(program: Program, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(
        MohaqError, match=r"the space has [\d,]+ assignments, more than the limit of 10"
    ):
        search(
            program, target="reference", data=data, out=tmp_path, algorithm="exhaustive",
            space_limit=10,
        )  # fmt: skip
    assert not (tmp_path / RECORD_FILE).exists()
    tiny = Enumeration(space(a=((2,), (4,)), b=((8,), (16,))), 4)
    first = tiny.ask()
    assert first is not None
    assert first.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert tiny.ask() is None


def test_the_population_suits_the_space() -> None:
    """Only where nobody chose it, and where NSGA-II searches."""
    two = ("error", "size")
    small = SearchSettings.of(objectives=two).for_space(2187)
    assert (small.population, small.offspring) == (16, 10)
    assert SearchSettings.of(objectives=two).for_space(4**16).population == 40
    assert SearchSettings.of(objectives=two, population=24).for_space(2187).population == 24
    assert SearchSettings.of().for_space(2187).population == 40  # NSGA-III
    assert SearchSettings.of("mohaq", objectives=two).for_space(2187).population == 40
    assert SearchSettings(objectives=two).for_space(2187).population == 40


def test_presets() -> None:
    paper = SearchSettings.of("mohaq", generations=None)
    assert paper.population + (paper.generations - 1) * paper.offspring == 630
    assert (paper.resolved, paper.seed_uniform) == ("nsga2", False)
    assert SearchSettings.of("mohaq", generations=7).generations == 7
    assert SearchSettings.of().resolved == "nsga3"
    assert SearchSettings.of(objectives=("error", "size")).resolved == "nsga2"
    assert set(PRESETS) == {"default", "mohaq"}
    with pytest.raises(MohaqError, match="'mohaq'"):
        SearchSettings.of("mohac")
    with pytest.raises(MohaqError, match="population of 4"):
        SearchSettings(algorithm="nsga3", population=2)


def test_cheap_genes_are_narrowed_first() -> None:
    genes = space(a=((2,), (4,), (8,)), b=((2,), (4,), (8,)), c=((4,),))
    assert probes(genes).tolist() == [[2, 2, 0], [0, 2, 0], [2, 0, 0]]
    path = derived(genes, np.array([0.1, 0.5, 0.1001]))
    assert path.tolist() == [[2, 1, 0], [2, 0, 0], [1, 0, 0]]
    path = derived(genes, np.array([0.1, np.inf, 0.3]))  # a probe that could not run is dear
    assert path[1].tolist() == [2, 0, 0]
    assert derived(space(c=((4,),)), np.array([0.1])).shape == (0, 1)


def test_a_search_starts_from_what_genes_cost(
    program: Program, data: Dataset, tmp_path: Path
) -> None:
    result = search(program, target="bitfusion-e", data=data, out=tmp_path, **SMALL)
    genomes = {p.genome: p for p in result.evaluated}
    genes = GeneSpace(
        tuple(
            SlotGroup(g["name"], (), tuple(map(tuple, g["choices"])))
            for g in result.header["genes"]
        )
    )
    asked = [genomes[tuple(int(v) for v in row)] for row in probes(genes)]
    errors = np.array([p.objectives["error"] for p in asked])
    assert all(p.generation == 0 for p in asked)
    first = [p.genome for p in result.evaluated if p.generation == 1]
    expected = [tuple(int(v) for v in row) for row in derived(genes, errors, 2)]
    assert len(expected) == 2
    assert all(genome in first or genomes[genome].generation == 0 for genome in expected)
    assert len(first) > 2  # some are random


def test_limits_that_nothing_keeps(program: Program, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match=r"no assignment keeps max_size 10 bytes.*too many"):
        search(
            program, target="reference", data=data, out=tmp_path / "a", **SMALL,
            constraints=Constraints(max_size=10),
        )  # fmt: skip
    assert not (tmp_path / "a").exists()
    result = search(
        program, target="reference", data=data, out=tmp_path / "b", **SMALL,
        constraints=Constraints(max_error=1e-6),
    )  # fmt: skip
    assert result.front == ()
    best = min(p.objectives["error"] for p in result.evaluated)
    (complaint,) = result.unmet
    assert complaint.startswith("max_error 1e-06: the best of")
    assert f"{best:g}" in complaint
    assert json.loads((tmp_path / "b" / "front.json").read_text())["unmet"] == [complaint]
