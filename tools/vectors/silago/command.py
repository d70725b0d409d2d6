"""`python -m mohaq.tools.vectors silago FILE.json`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from mohaq.backends.silago.machine import fabric_of, load_target
from mohaq.backends.silago.simulator.run import ENGINES
from mohaq.compiler.diagnostics import MohaqError
from mohaq.tools.boundary import CheckFailed
from mohaq.tools.vectors.silago.check import differences, initial_state
from mohaq.tools.vectors.silago.export import KINDS, export
from mohaq.tools.vectors.silago.file import Vector, load_vectors


def silago(
    file: Annotated[
        Path | None, typer.Argument(help="Vector file (JSON).", metavar="[FILE]")
    ] = None,
    export_to: Annotated[
        Path | None,
        typer.Option(
            "--export", help="Write programs of the compiler to this file.", metavar="FILE"
        ),
    ] = None,
    kind: Annotated[
        str, typer.Option(help=f"Kinds to export: {', '.join(KINDS)} (comma between them).")
    ] = ",".join(KINDS),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the exported data.")] = 0,
    show: Annotated[
        int, typer.Option(min=1, help="Differences to print for each program and engine.")
    ] = 20,
) -> None:
    """Run every program of FILE on both simulator engines and compare all writes.

    Edge, cell, address and value of each register-file write, the edge of each SRAM write and
    every changed SRAM row must agree. Exit code 1 if anything differs, 2 for a bad file.

    With --export, write programs that the compiler makes and what the simulator predicts.
    """
    if export_to is not None:
        count = export(export_to, tuple(k.strip() for k in kind.split(",")), seed)
        typer.echo(f"wrote {count} programs to {export_to}")
        if file is None:
            return
    if file is None:
        raise MohaqError("no vector file given", hint="name a file, or --export FILE")
    vectors = load_vectors(file)
    _require_rows(vectors)
    bad = 0
    for vector in vectors:
        found = {engine: differences(vector, engine) for engine in ENGINES}
        agrees = not any(found.values())
        bad += not agrees
        mark = "ok  " if agrees else "DIFF"
        typer.echo(f"{mark} {vector.id}  {vector.covers}")
        for engine, lines in found.items():
            for line in lines[:show]:
                typer.echo(f"     {engine}: {line}")
            if len(lines) > show:
                typer.echo(f"     {engine}: and {len(lines) - show} more")
    writes = sum(len(v.rf_writes) for v in vectors)
    typer.echo(
        f"{len(vectors) - bad} of {len(vectors)} programs agree on both engines "
        f"({writes} register-file writes, {sum(len(v.sram_writes) for v in vectors)} SRAM writes)"
    )
    if bad:
        raise CheckFailed(f"{bad} of {len(vectors)} programs differ")


def _require_rows(vectors: Iterable[Vector]) -> None:
    """A file that names rows which a fabric lacks is a bad file, not a difference."""
    for vector in vectors:
        initial_state(fabric_of(load_target(vector.profile)), vector)
