"""The vector file: JSON with a header and one entry a program.

An entry has `id`, `covers`, `profile` (a shipped target), `edges` (edges 0 .. edges-1 were
observed), `sram` ([tile_row, tile_col, row, hex256], all other rows 0), `cells` ({cell: [row,
col], words: [[immediate, hex], ...]}), `rf_writes` ([edge, row, col, address, value]),
`sram_writes` ([edge, tile_row, tile_col, row]) and `sram_changed` (rows whose final content
differs from `sram`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mohaq.backends.silago.isa.fields import WORD_MASK
from mohaq.backends.silago.isa.text import Cell, row_words
from mohaq.backends.silago.machine import shipped
from mohaq.compiler.diagnostics import MohaqError, did_you_mean

HEX = frozenset("0123456789abcdefABCDEF")

Row = tuple[int, int, int]
"""Tile row (1 = next to the fabric), tile column, row."""


@dataclass(frozen=True)
class Vector:
    """One program and everything it does."""

    id: str
    covers: str
    profile: str
    edges: int
    sram: Mapping[Row, tuple[int, ...]]
    programs: Mapping[Cell, tuple[int, ...]]
    rf_writes: tuple[tuple[int, ...], ...]
    sram_writes: tuple[tuple[int, ...], ...]
    sram_changed: Mapping[Row, tuple[int, ...]]


def load_vectors(path: Path) -> tuple[Vector, ...]:
    """All vectors of a file.

    Raises:
        MohaqError: no such file, no JSON, or an entry of another shape (named).
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise MohaqError("cannot read this vector file", where=str(path), why=str(error)) from None
    entries = data.get("vectors") if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise MohaqError("not a vector file: it has no list 'vectors'", where=str(path))
    found = tuple(_vector(entry, f"{path}, vector {n}") for n, entry in enumerate(entries))
    if not found:
        raise MohaqError("the file has no vectors", where=str(path))
    return found


def _vector(entry: Any, where: str) -> Vector:
    if not isinstance(entry, dict):
        raise MohaqError("a vector must be an object", where=where)
    name = _text(entry, "id", where)
    where = f"{where} ('{name}')"
    profile = _text(entry, "profile", where)
    if profile not in shipped():
        raise MohaqError(
            f"unknown profile '{profile}'", where=where, hint=did_you_mean(profile, shipped())
        )
    edges = entry.get("edges")
    if isinstance(edges, bool) or not isinstance(edges, int) or not 1 <= edges <= 1 << 24:
        raise MohaqError("'edges' must be a whole number from 1", where=where)
    return Vector(
        name,
        entry["covers"] if isinstance(entry.get("covers"), str) else "",
        profile,
        edges,
        _rows(entry, "sram", where),
        _programs(entry, where),
        _numbers(entry, "rf_writes", 5, where),
        _numbers(entry, "sram_writes", 4, where),
        _rows(entry, "sram_changed", where),
    )


def _text(entry: Mapping[str, Any], key: str, where: str) -> str:
    if not isinstance(entry.get(key), str):
        raise MohaqError(f"'{key}' must be a text", where=where)
    return str(entry[key])


def _list(entry: Mapping[str, Any], key: str, where: str) -> list[Any]:
    if not isinstance(entry.get(key), list):
        raise MohaqError(f"'{key}' must be a list", where=where)
    return list(entry[key])


def _numbers(
    entry: Mapping[str, Any], key: str, width: int, where: str
) -> tuple[tuple[int, ...], ...]:
    found = []
    for line in _list(entry, key, where):
        if not isinstance(line, list) or len(line) != width or not all(map(_whole, line)):
            raise MohaqError(f"'{key}' needs lines of {width} whole numbers", where=where)
        found.append(tuple(line))
    return tuple(found)


def _rows(entry: Mapping[str, Any], key: str, where: str) -> dict[Row, tuple[int, ...]]:
    found: dict[Row, tuple[int, ...]] = {}
    for line in _list(entry, key, where):
        if (
            not isinstance(line, list)
            or len(line) != 4
            or not all(map(_whole, line[:3]))
            or not isinstance(line[3], str)
        ):
            raise MohaqError(f"'{key}' needs [tile_row, tile_col, row, hex256]", where=where)
        try:
            found[line[0], line[1], line[2]] = row_words(line[3])
        except MohaqError as error:
            raise MohaqError(error.what, where=f"{where}, '{key}'") from None
    return found


def _programs(entry: Mapping[str, Any], where: str) -> dict[Cell, tuple[int, ...]]:
    found: dict[Cell, tuple[int, ...]] = {}
    for item in _list(entry, "cells", where):
        cell = item.get("cell") if isinstance(item, dict) else None
        if not isinstance(cell, list) or len(cell) != 2 or not all(map(_whole, cell)):
            raise MohaqError("a cell needs 'cell': [row, col]", where=where)
        place = f"{where}, cell {cell}"
        if (cell[0], cell[1]) in found:
            raise MohaqError("the cell has two programs", where=place)
        found[cell[0], cell[1]] = tuple(_word(w, place) for w in _list(item, "words", place))
    return found


def _word(item: Any, where: str) -> int:
    if not isinstance(item, list) or len(item) != 2 or item[0] not in {0, 1}:
        raise MohaqError("a word is [immediate bit, hexadecimal text]", where=where)
    if item[0] != 1:
        raise MohaqError("words with immediate bit 0 are not modelled", where=where)
    word = -1
    if isinstance(item[1], str) and item[1] and set(item[1]) <= HEX:
        word = int(item[1], 16)
    if not 0 <= word <= WORD_MASK:
        raise MohaqError(f"'{item[1]}' is no word of 27 bits", where=where)
    return word


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
