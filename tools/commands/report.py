"""`mohaq report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="Run folder of a search or a demo.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write; RUN/report.html if left out.")
    ] = None,
    chosen: Annotated[
        str | None, typer.Option("--chosen", help="Point to show first, such as s03.")
    ] = None,
    estimates: Annotated[
        bool,
        typer.Option(
            "--estimates/--no-estimates", help="Lower every point to show its costs by layer."
        ),
    ] = True,
    show: Annotated[bool, typer.Option("--open", help="Open it in the web browser.")] = False,
) -> None:
    """Write the page of a search: interactive fronts, bits per layer, and how to compile a point.

    One file that needs no network.

    Example:  mohaq report demo-run --open
    """
    from mohaq.tools.console import progress_line, say
    from mohaq.tools.report.estimates import front_estimates
    from mohaq.tools.report.load import load_report
    from mohaq.tools.report.page import write_report

    path = out or run / "report.html"
    load_report(run, chosen=chosen)  # what cannot be read is refused before anything is lowered
    made = None
    if estimates:
        with progress_line() as tell:
            made = front_estimates(run, tell)
    write_report(load_report(run, chosen=chosen, estimates=made), path)
    say(f"wrote {path}")
    if show and typer.launch(path.resolve().as_uri()) != 0:
        say("no browser could be started: open the file yourself")
