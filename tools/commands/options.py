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
Prefer = Annotated[
    str,
    typer.Option(
        "--prefer", help="What the target's scheduler favours: latency, energy, balanced."
    ),
]
Engine = Annotated[
    str, typer.Option("--engine", help="local, dask or ray (extras); the result is the same.")
]
Workers = Annotated[
    int,
    typer.Option("--workers", "-j", help="Processes; 0: in this one, or the whole cluster."),
]
Address = Annotated[
    str | None,
    typer.Option("--address", help="Of a running Dask or Ray cluster; without it one is started."),
]
Timeout = Annotated[
    float | None, typer.Option("--timeout", help="Seconds for one candidate (no limit).")
]
Retries = Annotated[
    int, typer.Option("--retries", help="Repeats of a candidate whose worker died or hung.")
]
Memory = Annotated[
    str | None,
    typer.Option("--memory", metavar="SIZE", help="Cache of each worker, e.g. 2G or 256M (512M)."),
]


def memory_bytes(text: str, what: str = "--memory") -> int:
    """Bytes of a size such as 512M, 2G or 0.

    Raises:
        MohaqError: it is none.
    """
    from mohaq.compiler.diagnostics import MohaqError

    number, unit = (text[:-1], text[-1:].upper()) if text[-1:].isalpha() else (text, "")
    shift = {"K": 10, "M": 20, "G": 30}.get(unit)
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 <= value < 2**20 or (shift is None and (unit or value)):
        raise MohaqError(
            f"{what} takes a size, got '{text}'", hint="write it with a unit: 512M or 2G; or 0"
        )
    return int(value * 2 ** (shift or 0))


def target_words(incomplete: str) -> list[str]:
    """What the shell may offer for a target."""
    from mohaq.tools.completion import complete_target

    return complete_target(incomplete)


def model_words(incomplete: str) -> list[str]:
    """What the shell may offer for a model."""
    from mohaq.tools.completion import complete_model

    return complete_model(incomplete)


def program_words(incomplete: str) -> list[str]:
    """What the shell may offer for a program or a compiled folder."""
    from mohaq.tools.completion import complete_program

    return complete_program(incomplete)


def compiled_words(incomplete: str) -> list[str]:
    """What the shell may offer for a compiled folder."""
    from mohaq.tools.completion import complete_compiled

    return complete_compiled(incomplete)


def pass_words(incomplete: str) -> list[str]:
    """What the shell may offer for a pass."""
    from mohaq.tools.completion import complete_pass

    return complete_pass(incomplete)
