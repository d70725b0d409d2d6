"""Every rule that a program must keep so that the fabric does what the simulators say.

`check` looks at the words of one segment: first each instruction alone (static.py), then what
the cells do edge by edge (timing.py). Rules are named; docs/isa/silago.md lists them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.verify.carried import Carried
from mohaq.backends.silago.verify.columns import choose
from mohaq.backends.silago.verify.finding import Finding
from mohaq.backends.silago.verify.static import check_static
from mohaq.backends.silago.verify.timing import check_timing
from mohaq.backends.silago.verify.trace import Trace, traces
from mohaq.compiler.diagnostics import MohaqError

MOST_PATHS = 64
"""Ways through data-dependent branches that are looked at, all cells together."""


def check(
    fabric: Fabric,
    programs: Mapping[tuple[int, int], Sequence[int]],
    before: Carried | None = None,
) -> tuple[tuple[Finding, ...], Carried]:
    """Findings of a segment, and what it leaves for the next one.

    Args:
        fabric: the machine.
        programs: words by cell (row, col).
        before: what earlier segments left (`Carried()` after power-up).

    Rules of timing are only looked at once every instruction is right on its own. Of columns that
    do the same one is looked at; when it breaks a rule, all are.
    """
    carried = before or Carried()
    chosen = choose(fabric, programs, carried)
    if chosen is not None and len(chosen.programs) < len(programs):
        found, after = check_all(fabric, chosen.programs, carried)
        if not found:
            return (), chosen.spread(after, programs)
    return check_all(fabric, programs, carried)


def check_all(
    fabric: Fabric,
    programs: Mapping[tuple[int, int], Sequence[int]],
    before: Carried | None = None,
) -> tuple[tuple[Finding, ...], Carried]:
    """As `check`, cell by cell."""
    carried = before or Carried()
    found: list[Finding] = []
    for cell, words in programs.items():
        found += check_static(fabric, cell, words)
    if found:
        return tuple(found), carried
    ways: list[tuple[Trace, ...]] = []
    for cell, words in programs.items():
        made = traces(fabric, cell, words, carried.regs_of(cell), MOST_PATHS)
        if made is None:
            text = "the program never ends, or has too many ways through its branches"
            found.append(Finding("branches", cell, None, None, text))
        else:
            ways.append(made)
    total = 1
    for made in ways:
        total *= len(made)
    if not found and total > MOST_PATHS:
        found.append(
            Finding("branches", None, None, None, f"the cells have {total} ways through together")
        )
    if found:
        return tuple(found), carried
    after = carried
    for way in itertools.product(*ways):
        more, after = check_timing(fabric, way, carried)
        found += [f for f in more if f not in found]
    return tuple(found), after


def require(
    fabric: Fabric,
    programs: Mapping[tuple[int, int], Sequence[int]],
    before: Carried | None = None,
    where: str | None = None,
) -> Carried:
    """As `check`, but the first finding is an error.

    Raises:
        MohaqError: a rule does not hold.
    """
    found, after = check(fabric, programs, before)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise MohaqError(f"{found[0]}{more}", where=where)
    return after


__all__ = ["Carried", "Finding", "check", "check_all", "require"]
