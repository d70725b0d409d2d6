"""Reads a run folder's `front.json` into a `Report`; whatever is malformed has a clear message."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.files import read_json
from mohaq.compiler.search.front import FRONT_FILE, SCHEMA
from mohaq.tools.report.model import Objective, Point, Report

T = TypeVar("T")

_KINDS = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}


class _Node:
    """A JSON value and where it stands, so that every message can say so."""

    def __init__(self, file: Path, path: str, value: Any) -> None:
        self.file, self.path, self.value = file, path, value

    def error(self, what: str) -> MohaqError:
        return MohaqError(f"{self.path or 'the file'} {what}", where=str(self.file))

    def a(self, kind: type[T]) -> T:
        """The value, if it is of that kind."""
        if not isinstance(self.value, kind) or isinstance(self.value, bool):
            raise self.error(f"must be {_KINDS[kind]}")
        return self.value

    def number(self) -> float:
        """A finite number."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error("must be a number")
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        if not math.isfinite(found):
            raise self.error("must be finite")
        return found

    def __getitem__(self, key: str) -> _Node:
        held: dict[str, Any] = self.a(dict)
        if key not in held:
            raise self.error(f"has no '{key}'")
        return self._child(key, held[key])

    def has(self, key: str) -> bool:
        """Whether there is such a key with a value."""
        held: dict[str, Any] = self.a(dict)
        return held.get(key) is not None

    def items(self) -> list[tuple[str, _Node]]:
        """Of an object."""
        held: dict[str, Any] = self.a(dict)
        return [(key, self._child(key, value)) for key, value in held.items()]

    def list(self) -> list[_Node]:
        """Items of a list."""
        held: list[Any] = self.a(list)
        return [_Node(self.file, f"{self.path}[{i}]", v) for i, v in enumerate(held)]

    def _child(self, key: str, value: Any) -> _Node:
        return _Node(self.file, f"{self.path}.{key}" if self.path else key, value)


def load_report(
    run: Path,
    *,
    chosen: str | None = None,
    extra: Mapping[str, Mapping[str, float]] | None = None,
    estimates: Mapping[str, Mapping[str, Any]] | None = None,
) -> Report:
    """The report of a search.

    Args:
        run: the search's folder. Commands on the page name its files by this path.
        chosen: id of the point to show first and mark.
        extra: more errors, as shares: {point: {title: share}}. A point that is neither on the
            front nor a reference gets a reference row of its own.
        estimates: of points of the front (`estimates.front_estimates`).

    Raises:
        MohaqError: there is no `front.json`, it is malformed, or has no such point.
    """
    file = Path(run) / FRONT_FILE
    top = _Node(file, "", read_json(file, "search result"))
    if not top.has("schema") or top["schema"].value != SCHEMA:
        raise MohaqError(f'this is no search result: its schema is not "{SCHEMA}"', where=str(file))
    metric = top["metric"]["name"].a(str)
    units = {row["name"].a(str): row["unit"].a(str) for row in top["objectives"].list()}
    raised = {
        row["name"].a(str)
        for row in top["objectives"].list()
        if row.has("direction") and row["direction"].a(str) == "max"
    }
    if not units:
        raise top["objectives"].error("is empty")
    layers = _layers(top["genes"])
    found_in = _generations(top["evaluated"], layers)
    programs = _programs(top, Path(run))
    front = tuple(
        _front_point(row, units, layers, Path(run), found_in, programs)
        for row in top["front"].list()
    )
    if not front:
        raise MohaqError(
            "the search found no feasible point, there is nothing to show",
            where=str(file),
            hint="loosen the constraints or search longer",
        )
    references = tuple(_reference(row, units, layers) for row in top["reference"].list())
    _unique(file, [p.name for p in (*front, *references)])
    if chosen is not None and chosen not in {p.name for p in front}:
        hint = did_you_mean(chosen, [p.name for p in front])
        raise MohaqError(f"no point '{chosen}' on the front", where=str(file), hint=hint)
    more = {
        name: {f"{title} [%]": 100.0 * value for title, value in row.items()}
        for name, row in (extra or {}).items()
    }
    held = {p.name for p in (*front, *references)}
    added = tuple(Point(name, {}, {}) for name in more if name not in held)
    return Report(
        title=f"{top['model']['name'].a(str)} on {top['target']['name'].a(str)}: precision search",
        facts=_facts(top, metric, len(front)),
        objectives=_objectives(units, raised, metric, front),
        front=tuple(replace(_with(p, more), estimate=(estimates or {}).get(p.name)) for p in front),
        evaluated=_evaluated(top["evaluated"], units, layers, front),
        references=tuple(_with(p, more) for p in (*references, *added)),
        hypervolume=tuple(
            (g["generation"].a(int), g["hypervolume"].number()) for g in top["generations"].list()
        ),
        chosen=chosen,
        model=top["model"]["name"].a(str),
        target=top["target"]["name"].a(str),
        notes=_notes(top, front, references),
    )


def load_front_slots(front: Mapping[str, Any]) -> list[dict[Slot, int]]:
    """Widths of the points of a `front.json`."""
    return [
        {Slot(*key.rsplit(".", 1)): int(bits) for key, bits in row["widths"].items()}
        for row in front["front"]
    ]


def _objectives(
    units: Mapping[str, str], raised: set[str], metric: str, front: tuple[Point, ...]
) -> tuple[Objective, ...]:
    made = [
        Objective.of(name, unit, max(p.values[name] for p in front), metric)
        for name, unit in units.items()
    ]
    return tuple(
        replace(one, label=f"{one.label} (higher is better)", direction="max")
        if one.name in raised
        else one
        for one in made
    )


def _front_point(
    row: _Node,
    units: Mapping[str, str],
    layers: Sequence[str],
    run: Path,
    found_in: Mapping[str, int],
    programs: Mapping[str, str],
) -> Point:
    held = row["objectives"]
    bits = _bits(row["widths"], layers)
    program = None
    if row.has("beacon"):
        program = programs.get(row["beacon"].a(str))
        if program is None:
            raise row["beacon"].error("is none of the beacons")
    return Point(
        row["id"].a(str),
        {name: held[name].number() for name in units},
        bits,
        assignment=(run / row["assignment"].a(str)).as_posix(),
        interval=_interval(row),
        generation=found_in.get(str(bits), 0),
        program=program,
    )


def _generations(rows: _Node, layers: Sequence[str]) -> dict[str, int]:
    """{bits as text: generation in which a candidate was found}."""
    return {str(_bits(r["widths"], layers)): r["generation"].a(int) for r in rows.list()}


def _programs(top: _Node, run: Path) -> dict[str, str]:
    """{hash: folder} of the retrained programs of a beacon search."""
    rows = top["beacons"].list() if top.has("beacons") else []
    return {r["hash"].a(str): (run / r["program"].a(str)).as_posix() for r in rows}


def _reference(row: _Node, units: Mapping[str, str], layers: Sequence[str]) -> Point:
    held = row["objectives"]
    values = {name: held[name].number() for name in units if held.has(name)}
    bits = _bits(row["widths"], layers) if row.has("widths") else {}
    return Point(row["name"].a(str), values, bits, interval=_interval(row))


def _evaluated(
    rows: _Node, units: Mapping[str, str], layers: Sequence[str], front: tuple[Point, ...]
) -> tuple[Point, ...]:
    """Feasible candidates behind the front."""
    known = [p.bits for p in front]
    found = []
    for number, row in enumerate(rows.list()):
        held = row["objectives"]
        if row["feasible"].value is not True or not all(held.has(name) for name in units):
            continue
        values = {name: held[name].number() for name in units}
        bits = _bits(row["widths"], layers)
        if bits not in known:
            at = row["generation"].a(int)
            found.append(Point(f"candidate {number}", values, bits, generation=at))
    return tuple(found)


def _bits(row: _Node, layers: Sequence[str]) -> dict[str, dict[str, int]]:
    """{"l0.weight": 4} as {"l0": {"weight": 4}}; names of layers may hold dots."""
    found: dict[str, dict[str, int]] = {}
    for key, node in row.items():
        layer, dot, slot = key.rpartition(".")
        if not (layer and dot and slot):
            raise node.error('must be named "layer.slot"')
        width = node.a(int)
        if width < 1:
            raise node.error("must be at least 1 bit")
        found.setdefault(layer, {})[slot] = width
    rank = {layer: number for number, layer in enumerate(layers)}
    order = sorted(found, key=lambda layer: rank.get(layer, len(rank)))
    return {layer: _slots_first(found[layer]) for layer in order}


def _slots_first(row: dict[str, int]) -> dict[str, int]:
    """Weight and input before other slots."""
    first = [slot for slot in ("weight", "input") if slot in row]
    return {slot: row[slot] for slot in (*first, *(s for s in row if s not in first))}


def _layers(genes: _Node) -> list[str]:
    """Layers in the program's order, which that of the genes is."""
    slots = (slot.a(str) for gene in genes.list() for slot in gene["slots"].list())
    return list(dict.fromkeys(slot.rpartition(".")[0] for slot in slots))


def _interval(row: _Node) -> tuple[float, float] | None:
    if not row.has("error_interval"):
        return None
    ends = [node.number() for node in row["error_interval"].list()]
    if len(ends) != 2:
        raise row["error_interval"].error("must have two ends")
    return ends[0], ends[1]


def _unique(file: Path, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise MohaqError(f"two points are called '{twice[0]}'", where=str(file))


def _with(point: Point, extra: Mapping[str, Mapping[str, float]]) -> Point:
    return replace(point, extra=extra[point.name]) if point.name in extra else point


def _facts(top: _Node, metric: str, front: int) -> tuple[tuple[str, str], ...]:
    data, settings, work = top["dataset"], top["settings"], top["workload"]
    done = top["generations"].list()
    count = done[-1]["evaluations"].a(int) if done else len(top["evaluated"].list())
    return (
        ("model", f"{top['model']['name'].a(str)} ({top['model']['hash'].a(str)[:12]})"),
        ("target", f"{top['target']['name'].a(str)} ({top['target']['backend'].a(str)})"),
        ("metric", metric),
        (
            "data",
            (
                f"{data['utterances'].a(int):,} sequences, {data['frames'].a(int):,} frames "
                f"({data['hash'].a(str)[:12]})"
            ),
        ),
        ("cost of", f"{work['frames'].a(int):,} frames" if work.has("frames") else "–"),
        ("population", f"{settings['population'].a(int)} + {settings['offspring'].a(int)}"),
        ("generations", f"{len(done)}"),
        ("evaluations", f"{count:,}"),
        *((("beacons", str(len(top["beacons"].list()))),) if top.has("beacons") else ()),
        ("on the front", f"{front}"),
        ("seed", f"{top['seed'].a(int)}"),
    )


def _notes(top: _Node, front: tuple[Point, ...], references: tuple[Point, ...]) -> tuple[str, ...]:
    infeasible = sum(row["feasible"].value is not True for row in top["evaluated"].list())
    notes = [
        (
            "Objectives are minimised unless they say otherwise. The front holds the feasible points that no other beats in "
            "every objective."
        ),
        (
            "Errors are of the integer program on the search's validation data, latency, energy and "
            "size are the target's cost model."
        ),
    ]
    if any(p.interval for p in (*front, *references)):
        notes.append("Intervals of the error are 95 % bootstrap intervals over sequences.")
    if top.has("beacons"):
        notes.append(
            "A point with a beacon has the error of that retrained program with the point's bits; "
            "its command compiles it."
        )
    if infeasible:
        notes.append(f"{infeasible} evaluated candidates broke a constraint; they are not shown.")
    notes.append("Hypervolume: the share of the box up to the reference point that is dominated.")
    return tuple(notes)
