"""Columns of cells that do the same, a skew apart: one of them is looked at for all.

A column whose programs connect, route and store inside it alone shares no wire, tile or bus with
others. Columns with equal programs and equal facts from before differ in their first edge only, and
no rule looks at absolute edges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache

from mohaq.backends.silago.isa.instructions import Branch, Route, Swb
from mohaq.backends.silago.isa.words import decode_all
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.verify.carried import Carried
from mohaq.compiler.diagnostics import MohaqError

Cell = tuple[int, int]
Programs = Mapping[Cell, Sequence[int]]


@dataclass(frozen=True)
class Chosen:
    """Programs of one column of each kind, and the column that stands for every other one."""

    programs: Programs
    stands_for: Mapping[int, int]

    def spread(self, after: Carried, programs: Programs) -> Carried:
        """What all columns leave, from what the chosen ones leave."""
        held = {f.name: dict(getattr(after, f.name)) for f in fields(Carried)}
        for row, col in programs:
            first = self.stands_for[col]
            if first == col:
                continue
            by = col - first
            for name, facts in held.items():
                if (row, first) not in facts:
                    continue
                one = facts[row, first]
                if name == "sources":
                    one = {sink: code + 4 * by for sink, code in one.items()}
                elif name == "routes":
                    one = {way: (tile + by, hops) for way, (tile, hops) in one.items()}
                facts[row, col] = one
        return replace(after, **held)


def choose(fabric: Fabric, programs: Programs, before: Carried) -> Chosen | None:
    """One column of each kind, or None where columns reach into each other."""
    kinds: dict[tuple[object, ...], int] = {}
    stands_for: dict[int, int] = {}
    for col in sorted({col for _, col in programs}):
        kind: list[object] = []
        for row in range(fabric.rows):
            cell = (row, col)
            words = tuple(programs[cell]) if cell in programs else None
            facts = _relative(fabric, cell, before)
            if facts is None or not (words is None or (fabric.has(*cell) and _stays(words))):
                return None
            kind += [words, facts]
        stands_for[col] = kinds.setdefault(tuple(kind), col)
    if any(not 0 <= row < fabric.rows for row, _ in programs):
        return None
    chosen = set(kinds.values())
    return Chosen({c: w for c, w in programs.items() if c[1] in chosen}, stands_for)


def _relative(fabric: Fabric, cell: Cell, before: Carried) -> object:
    """What a cell has from before, counted from its column; None if it reaches out of it."""
    col = cell[1]
    sources, routes = before.sources.get(cell, {}), before.routes.get(cell, {})
    if any(code // 4 % fabric.cols != col for code in sources.values()):
        return None
    if any(tile % fabric.cols != col for tile, _ in routes.values()):
        return None
    return (
        before.written.get(cell),
        tuple(sorted((sink, code - 4 * col) for sink, code in sources.items())),
        tuple(sorted((way, tile - col, hops) for way, (tile, hops) in routes.items())),
        before.mode.get(cell),
        before.bw.get(cell),
        before.regs.get(cell),
    )


@lru_cache(maxsize=1024)
def _stays(words: tuple[int, ...]) -> bool:
    """Whether a program uses its own column alone, and has one way through."""
    try:
        items = decode_all(words)
    except MohaqError:
        return False
    for _, i in items:
        if isinstance(i, Swb) and i.hb_index != OWN_COLUMN:
            return False
        if isinstance(i, Route) and i.horizontal_hops:
            return False
        if isinstance(i, Branch) and i.mode:
            return False
    return True


OWN_COLUMN = 2
"""hb_index of a source in the own column."""
