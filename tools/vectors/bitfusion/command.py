"""`python -m mohaq.tools.vectors bitfusion FILE.csv`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mohaq.tools.boundary import CheckFailed
from mohaq.tools.vectors.bitfusion.check import differences
from mohaq.tools.vectors.bitfusion.file import load_rows


def bitfusion(
    file: Annotated[Path, typer.Argument(help="Measured layers (CSV).", metavar="FILE")],
) -> None:
    """Recompute every row of FILE with the published simulator's model and compare all figures.

    With the row's tiles and loop order all counters and energies must agree, with a search of our
    own the cycles. Exit code 1 if anything differs, 2 for a bad file.
    """
    rows = load_rows(file)
    bad = 0
    for row in rows:
        lines = differences(row)
        bad += bool(lines)
        typer.echo(f"{'DIFF' if lines else 'ok  '} {row.name}")
        for line in lines:
            typer.echo(f"     {line}")
    typer.echo(f"{len(rows) - bad} of {len(rows)} rows agree")
    if bad:
        raise CheckFailed(f"{bad} of {len(rows)} rows differ")
