"""`mohaq run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mohaq.tools.commands.options import compiled_words


def run(
    folder: Annotated[
        Path, typer.Argument(autocompletion=compiled_words, help="A compiled folder.")
    ],
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="Data to run, e.g. speech:test.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Sequences to run.", min=1)] = 5,
    check: Annotated[
        bool,
        typer.Option(
            "--check/--no-check", help="Compare with the integer reference bit for bit; exit 1."
        ),
    ] = True,
    check_expected: Annotated[
        bool,
        typer.Option(
            "--check-expected",
            help="Compare with the results that the compiler wrote into the folder; exit 1. "
            "Needs no data.",
        ),
    ] = False,
) -> None:
    """Simulate a compiled folder on data; compare results and counters.

    The simulator works from the emitted files alone. With --check its results must equal the
    integer reference exactly, and its counters the estimate.

    Example:  mohaq run speech-8bit --data speech:test --limit 10
    """
    from mohaq.compiler.diagnostics import MohaqError
    from mohaq.compiler.driver import CompiledFolder
    from mohaq.tools.simulate import print_runs, require_expected, simulate
    from mohaq.tools.sources import load_data

    if data is None and not check_expected:
        raise MohaqError("give --data to run", hint="or --check-expected")
    opened = CompiledFolder(folder)
    if check_expected:
        require_expected(opened)
    if data is None:
        return
    runs = simulate(opened, load_data(data).inputs[:limit], check=check)
    print_runs(runs)
    if check:
        runs.require_equal()
