"""SiLago: programs of each layer, and their instructions from the words that the cells get."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mohaq.backends.silago.isa.text import instruction_text
from mohaq.backends.silago.isa.words import decode, length
from mohaq.compiler.diagnostics import MohaqError
from mohaq.tools.inspect.blocks import Block, Listing, Table
from mohaq.tools.inspect.stream import array_items, reading

MANIFEST, WHAT = "manifest.json", "SiLago manifest"


def summary(folder: Path) -> list[Block]:
    """Phases, programs and instruction words of each layer.

    Raises:
        MohaqError: a file is missing or damaged.
    """
    with reading(folder / MANIFEST, WHAT):
        return _summary(folder)


def _summary(folder: Path) -> list[Block]:
    owners: dict[int, str] = {}
    phases: dict[str, int] = {}
    for row in _rows(folder):
        name = str(row["layer"])
        phases[name] = phases.get(name, 0) + 1
        owners |= dict.fromkeys(_programs(row), name)
    programs = dict.fromkeys(phases, 0)
    words = dict.fromkeys(phases, 0)
    for number, rows in enumerate(array_items(folder / MANIFEST, "programs", WHAT)):
        if (owner := owners.get(number)) is not None:
            programs[owner] += 1
            words[owner] += sum(len(one) for one in rows.values())
    listed: list[tuple[object, ...]] = [
        (name, phases[name], f"{programs[name]:,}", f"{words[name]:,}") for name in phases
    ]
    sums = (sum(one.values()) for one in (phases, programs, words))
    listed.append(("all", *(f"{n:,}" for n in sums)))
    columns = ("layer", "phases", "programs", "words (once a row of cells)")
    return [Table("Instructions", columns, listed)]


def layer(folder: Path, number: int, name: str) -> list[Block]:  # noqa: ARG001  found by name
    """Phases of a layer with their places, and the words and instructions of its programs.

    Raises:
        MohaqError: a file is missing or damaged.
    """
    wanted: dict[int, str] = {}
    with reading(folder / MANIFEST, WHAT):
        found = [row for row in _rows(folder) if row["layer"] == name]
        for place, row in enumerate(found):
            wanted |= dict.fromkeys(_programs(row), f"phase {place}")
    ends = {
        n: one for n, one in enumerate(array_items(folder / MANIFEST, "ends", WHAT)) if n in wanted
    }
    with reading(folder / MANIFEST, WHAT):
        rows = [_phase(place, row, ends) for place, row in enumerate(found)]
    columns = ("phase", "kind", "shape", "bits", "cells", "programs", "halts at edge")
    return [
        Table("Schedule", columns, rows, text=3),
        Listing(f"Stream words of {name}", lambda: _lines(folder, wanted)),
    ]


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Rows of phases, those of loops too, in order."""

    def inside(rows: Sequence[Any]) -> Iterator[dict[str, Any]]:
        for row in rows:
            if row["op"] in {"matrix", "vector"}:
                yield row
            yield from inside(row.get("body", ()))

    for row in array_items(folder / MANIFEST, "ops", WHAT):
        yield from inside([row])


def _programs(row: Mapping[str, Any]) -> list[int]:
    """Numbers of the programs of a phase."""
    if row["op"] == "vector":
        return [int(one["program"]) for one in row["segments"]]
    return [int(n) for bands in row["programs"].values() for band in bands for n in band]


def _phase(place: int, row: Mapping[str, Any], ends: Mapping[int, Any]) -> tuple[object, ...]:
    numbers = _programs(row)
    if row["op"] == "matrix":
        facts = (f"product of {row['rows']} rows", row["bits"], row["cells"])
    else:
        widths = dict.fromkeys(one["width"] for one in row["segments"])
        cells = dict.fromkeys(one["cells"] for one in row["segments"])
        facts = (f"passes over {row['extent']}", _joined(widths), _joined(cells))
    halts = [max(ends[n].values()) for n in numbers if n in ends]
    return (place, row["op"], *facts, _joined(numbers), _joined(dict.fromkeys(halts)))


def _joined(values: Any) -> str:
    return " ".join(str(v) for v in values)


def _lines(folder: Path, wanted: Mapping[int, str]) -> Iterator[str]:
    path = folder / MANIFEST
    with reading(path, WHAT):
        for number, rows in enumerate(array_items(path, "programs", WHAT)):
            if number not in wanted:
                continue
            yield f"program {number} ({wanted[number]})"
            for row, words in rows.items():
                yield f"  cells of row {row}"
                try:
                    yield from _decoded([int(word, 16) for word in words])
                except MohaqError as error:
                    why = f"program {number}: {error.what}"
                    raise MohaqError(f"this {WHAT} is damaged", where=str(path), why=why) from None


def _decoded(words: Sequence[int]) -> Iterator[str]:
    at = 0
    while at < len(words):
        part = words[at : at + length(words[at])]
        text = " ".join(f"{w:07X}" for w in part)
        yield f"    {at:3d}  {text:<24} {instruction_text(decode(part))}"
        at += len(part)
