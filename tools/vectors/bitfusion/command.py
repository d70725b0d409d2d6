"""`python -m mohaq.tools.vectors bitfusion FILE.csv`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mohaq.tools.boundary import CheckFailed
from mohaq.tools.vectors.bitfusion.check import differences
from mohaq.tools.vectors.bitfusion.file import load_rows
from mohaq.tools.vectors.bitfusion.schedules import Compared, compare, line_of, summary


def bitfusion(
    file: Annotated[Path, typer.Argument(help="Measured layers (CSV).", metavar="FILE")],
    schedule: Annotated[
        bool, typer.Option("--schedule", help="Run our own scheduler on the layers as well.")
    ] = False,
) -> None:
    """Recompute every row of FILE with the published simulator's model and compare all figures.

    With the row's tiles and loop order all counters and energies must agree, with a search of our
    own the cycles. --schedule adds our own schedules: `refconv` (outputs read and written at 32
    bits, no array fill) and `physical`, beside their rooflines; `refconv` must never
    be slower than the row. Exit code 1 if anything differs, 2 for a bad file.
    """
    rows = load_rows(file)
    bad = 0
    compared: list[Compared] = []
    failed: list[str] = []
    for row in rows:
        lines = differences(row)
        bad += bool(lines)
        typer.echo(f"{'DIFF' if lines else 'ok  '} {row.name}")
        for line in lines:
            typer.echo(f"     {line}")
        if schedule:
            for one in compare(row):
                compared.append(one)
                typer.echo(line_of(one))
                failed += [f"{row.name}, {one.convention}: {p}" for p in one.problems]
    typer.echo(f"{len(rows) - bad} of {len(rows)} rows agree")
    for text in (*summary(compared), *failed):
        typer.echo(text)
    if bad:
        raise CheckFailed(f"{bad} of {len(rows)} rows differ")
    if failed:
        raise CheckFailed(f"{len(failed)} schedules are not what they should be")
