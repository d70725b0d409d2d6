"""`mohaq support`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def support(
    operation: Annotated[
        str | None, typer.Argument(help="Show only operations whose name contains this.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option("--write", "-w", help="Write the whole matrix as Markdown.")
    ] = None,
) -> None:
    """What can be imported, and where it runs at which widths: found by trying.

    Every operation is run by the interpreter, converted, compiled for each installed backend and
    simulated bit for bit; where it cannot run on a target it says why.

    Example:  mohaq support lstm
    """
    from mohaq.compiler.diagnostics import MohaqError, did_you_mean
    from mohaq.compiler.files import write_text
    from mohaq.tools.console import progress_bar, say, table
    from mohaq.tools.support.forms import FORMS
    from mohaq.tools.support.page import page
    from mohaq.tools.support.probe import probe

    chosen = [f for f in FORMS if operation is None or operation in f.title]
    if not chosen:
        titles = [f.title for f in FORMS]
        raise MohaqError(f"no operation '{operation}'", hint=did_you_mean(operation or "", titles))
    rows = []
    with progress_bar("trying") as step:
        for row in probe(chosen):
            rows.append(row)
            step(len(rows), len(chosen))
    if write is not None:
        if operation is not None:
            raise MohaqError("--write takes the whole matrix", hint="leave out the name")
        write_text(write, page(rows))
        say(f"wrote {write}")
        return
    columns = list(rows[0].cells)
    lines = [
        (
            r.form.title,
            "yes" if r.pytorch else "no",
            "yes" if r.onnx else "no",
            *(r.cells[c].text for c in columns),
        )
        for r in rows
    ]
    table("Support", ("operation", "PyTorch", "ONNX", *columns), lines, text=len(columns) + 3)
    if operation is not None:
        for row in rows:
            for name, cell in row.cells.items():
                if cell.reason is not None:
                    say(f"{row.form.title} on {name}: {cell.reason}")
            for title, names in (("PyTorch", row.pytorch), ("ONNX", row.onnx)):
                if names:
                    say(f"{row.form.title} from {title}: {', '.join(names)}")
