"""How much faster the SiLago verifier is when one column of each kind stands for the others.

    python -m mohaq.tools.bench.silago_verify [--target silago-mohaq]

Programs of products of the paper's network, on all cells; the ratio compares `check` with
`check_all` (every cell on its own) on the same machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

from mohaq.backends.silago.machine import Fabric, fabric_of, load_target
from mohaq.backends.silago.schedule.line import words_of
from mohaq.backends.silago.schedule.tasks import Band, MatrixTask
from mohaq.backends.silago.verify import Carried, Finding, check, check_all

SHAPES = ((3300, 23), (3300, 256), (256, 1100), (1904, 1100))
Programs = dict[tuple[int, int], tuple[int, ...]]
Check = Callable[[Fabric, Programs, Carried | None], tuple[tuple[Finding, ...], Carried]]


def programs(fabric: Fabric) -> list[list[Programs]]:
    """The programs of every product, for one vector and for two, words by cell."""
    made = []
    for rows, features in SHAPES:
        task = MatrixTask(fabric, rows, features, 16, (Band(0, ((0, rows),)),))
        codes = [task.code(0, part, n) for n in (1, 2) for part in range(task.parts)]
        made.append([{(r, c): words_of(code.rows[r]) for r, c in code.places} for code in codes])
    return made


def timed(how: Check, fabric: Fabric, given: Sequence[Sequence[Programs]]) -> tuple[float, int]:
    """(seconds, findings) of a way to check programs."""
    begin, count = time.perf_counter(), 0
    for product in given:
        left: Carried | None = None
        for one in product:
            found, left = how(fabric, one, left)
            count += len(found)
    return time.perf_counter() - begin, count


def report(target: str) -> str:
    """Both times, their ratio, and what they found."""
    fabric = fabric_of(load_target(target))
    given = programs(fabric)
    timed(check, fabric, given)  # caches of decoded words are warm for both
    one, found = timed(check, fabric, given)
    every, wanted = timed(check_all, fabric, given)
    return (
        f"{sum(map(len, given))} programs on {fabric.cells} cells: {1e3 * every:.0f} ms cell by cell, "
        f"{1e3 * one:.0f} ms by columns, {every / one:.1f} times faster; findings {wanted} and {found}"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--target", default="silago-mohaq")
    print(report(parser.parse_args(argv).target))


if __name__ == "__main__":
    main()
