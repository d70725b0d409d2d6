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
    show: Annotated[bool, typer.Option("--open", help="Open it in the web browser.")] = False,
) -> None:
    """Write the page of a search: interactive fronts, bits per layer, and how to compile a point.

    One file that needs no network.

    Example:  mohaq report demo-run --open
    """
    from mohaq.tools.console import say
    from mohaq.tools.report.load import load_report
    from mohaq.tools.report.page import write_report

    path = out or run / "report.html"
    write_report(load_report(run, chosen=chosen), path)
    say(f"wrote {path}")
    if show and typer.launch(path.resolve().as_uri()) != 0:
        say("no browser could be started: open the file yourself")
