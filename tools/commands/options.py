"""Options that several commands have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Bits = Annotated[
    int | None, typer.Option("--bits", "-b", help="The same width for every searched slot.")
]
AssignmentFile = Annotated[
    Path | None, typer.Option("--assignment", "-a", help="An assignment.json.")
]
CalibrationData = Annotated[
    str | None,
    typer.Option("--data", "-d", help="Calibration data, for a program without calibration."),
]
Clip = Annotated[
    str | None,
    typer.Option(
        "--clip",
        metavar="METHOD",
        help="Calibrate (anew) with mmse, minmax, percentile=99.99, aciq or entropy.",
    ),
]
