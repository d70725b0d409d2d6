"""Assignments: how many bits each searched slot gets, as a file that people edit.

    {"schema": "mohaq.assignment/1",
     "slots": {"l0": {"weight": 4, "input": 8}, "pr1": {"weight": 2, "input": 8}}}

An optional "default" gives the width of every slot that is not named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.dialects.quant import MAX_WIDTH, MIN_WIDTH
from mohaq.compiler.files import dump_json, read_json, write_text

SCHEMA = "mohaq.assignment/1"


@dataclass(frozen=True, order=True)
class Slot:
    """One precision slot of one layer."""

    layer: str
    slot: str

    def __str__(self) -> str:
        return f"{self.layer}.{self.slot}"


@dataclass(frozen=True)
class Assignment:
    """Widths in bits by slot; `default` covers slots that are not named."""

    widths: Mapping[Slot, int]
    default: int | None = None

    @staticmethod
    def uniform(bits: int) -> Assignment:
        """The same width everywhere."""
        return Assignment({}, _width(bits, "default"))

    def used(self) -> tuple[int, ...]:
        """All widths that occur, ascending."""
        named = set(self.widths.values())
        return tuple(sorted(named if self.default is None else named | {self.default}))

    def width(self, slot: Slot) -> int:
        """Width of a slot.

        Raises:
            MohaqError: neither the slot nor a default is given.
        """
        found = self.widths.get(slot, self.default)
        if found is None:
            raise MohaqError(
                f"the assignment gives no width for '{slot}'",
                hint='name it, or give a "default" width',
            )
        return found

    def complete(self, slots: list[Slot]) -> dict[Slot, int]:
        """Widths of exactly these slots.

        Raises:
            MohaqError: a slot has no width, or the assignment names a slot that is not there.
        """
        known = set(slots)
        for slot in self.widths:
            if slot not in known:
                raise MohaqError(
                    f"the program has no slot '{slot}'",
                    hint=did_you_mean(str(slot), map(str, known)),
                )
        return {slot: self.width(slot) for slot in slots}

    def to_json(self) -> dict[str, Any]:
        """The file's content."""
        slots: dict[str, dict[str, int]] = {}
        for slot, bits in self.widths.items():
            slots.setdefault(slot.layer, {})[slot.slot] = bits
        found: dict[str, Any] = {"schema": SCHEMA}
        if self.default is not None:
            found["default"] = self.default
        return {**found, "slots": slots}

    def save(self, path: str | Path) -> None:
        """Write the file."""
        write_text(Path(path), dump_json(self.to_json()))

    @staticmethod
    def from_json(data: Any, where: str) -> Assignment:
        """Check and convert a file's content.

        Raises:
            MohaqError: wrong schema or shape, widths that are not whole numbers of 2..16.
        """
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise MohaqError(
                "not an assignment file", where=where, hint=f'it must say "schema": "{SCHEMA}"'
            )
        slots = data.get("slots", {})
        if not isinstance(slots, dict) or not all(isinstance(v, dict) for v in slots.values()):
            raise MohaqError('"slots" must map layers to {slot: bits}', where=where)
        if unknown := sorted(set(data) - {"schema", "slots", "default"}):
            raise MohaqError(f"unknown key '{unknown[0]}'", where=where)
        default = data.get("default")
        return Assignment(
            {
                Slot(layer, slot): _width(bits, f"{where}: {layer}.{slot}")
                for layer, row in slots.items()
                for slot, bits in row.items()
            },
            None if default is None else _width(default, f"{where}: default"),
        )

    @staticmethod
    def load(path: str | Path) -> Assignment:
        """Read an assignment file.

        Raises:
            MohaqError: missing or malformed.
        """
        return Assignment.from_json(read_json(Path(path), "assignment file"), str(path))


def _width(bits: Any, where: str) -> int:
    if isinstance(bits, bool) or not isinstance(bits, int) or not MIN_WIDTH <= bits <= MAX_WIDTH:
        raise MohaqError(
            f"a width is a whole number of {MIN_WIDTH}..{MAX_WIDTH} bits, got {bits!r}",
            where=where,
        )
    return bits


def bits_text(widths: Mapping[Slot, int]) -> str:
    """Weight x input bits of each layer: '4x8 2x8 ...'; '4x8/2x16' adds recurrent x hidden."""
    layers: dict[str, dict[str, int]] = {}
    for slot, bits in widths.items():
        layers.setdefault(slot.layer, {})[slot.slot] = bits
    return " ".join(
        "/".join(
            f"{row.get(matrix, '-')}x{row.get(values, '-')}"
            for matrix, values in (("weight", "input"), ("recurrent", "hidden"))
            if matrix == "weight" or matrix in row
        )
        for row in layers.values()
    )
