"""`mohaq new-backend`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def new_backend(
    name: Annotated[
        str, typer.Argument(help="Of the backend: small letters, digits, underscores.")
    ],
    folder: Annotated[Path, typer.Argument(help="New folder to write.", metavar="DIR")],
) -> None:
    """Write a Python package with a backend that works: a toy to turn into your target.

    It has a target file, a dialect, legality, costs, lowering, emitter, simulator and tests.

    Example:  mohaq new-backend mychip mohaq-mychip
    """
    from mohaq.tools.console import say
    from mohaq.tools.new_backend import write_package

    made = write_package(name, folder)
    say(f"wrote {len(made)} files to {folder}")
    say(f'next: pip install -e "{folder}[test]", then pytest {folder} and mohaq targets')
    say("docs/write-a-backend.md explains the parts")
