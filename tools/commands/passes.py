"""`mohaq passes`."""

from __future__ import annotations

from typing import Annotated

import typer

from mohaq.tools.commands.options import pass_words


def passes(
    name: Annotated[
        str | None, typer.Argument(autocompletion=pass_words, help="A pass to show in full.")
    ] = None,
) -> None:
    """List the passes of `mohaq-opt`, or show one with its options.

    Example:  mohaq passes calibrate
    """
    from mohaq.compiler.diagnostics import MohaqError, did_you_mean
    from mohaq.tools.boundary import print_error
    from mohaq.tools.catalogue import all_passes
    from mohaq.tools.console import say, table

    found = all_passes()
    if name is None:
        rows = [
            (one.name, one.summary, ", ".join(o.name for o in one.options))
            for one in found.descriptions()
        ]
        table("Passes", ("pass", "what it does", "options"), rows, text=3)
        for error in found.broken:
            print_error(error.message(), "unusable")
        return
    if name not in found:
        raise MohaqError(f"no pass '{name}'", hint=did_you_mean(name, found))
    about = found.describe(name)
    say(f"{name}  ({about.module})", style="bold")
    say(about.doc)
    if about.options:
        rows = [(o.name, o.kind, o.default or "(required)") for o in about.options]
        table("Options", ("option", "type", "default"), rows, text=3)
    needed = [o.name for o in about.options if o.default is None] or [
        o.name for o in about.options[:1]
    ]
    given = " ".join(f"{option}=..." for option in needed)
    say(f'mohaq-opt program.mlir -p "{name}{{{given}}}"' if given else f"-p {name}")
