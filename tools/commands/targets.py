"""`mohaq targets`."""

from __future__ import annotations

from typing import Annotated

import typer

from mohaq.tools.commands.options import target_words


def targets(
    name: Annotated[
        str | None,
        typer.Argument(
            autocompletion=target_words, help="A target, or a target .toml, to show in full."
        ),
    ] = None,
) -> None:
    """List the machines that programs can be compiled for, or show one with its constants.

    Each constant comes with its source and a mark: verified (read in the source), remembered or
    assumed.

    Example:  mohaq targets bitfusion-e
    """
    from mohaq.backends.registry import find_target, usable_backends
    from mohaq.compiler.diagnostics import MohaqError
    from mohaq.tools.boundary import print_error
    from mohaq.tools.console import say, table

    if name is None:
        good, broken = usable_backends()
        rows = []
        for backend in good.values():
            try:
                mine = [(t, backend.name, backend.load_target(t)) for t in backend.targets()]
            except MohaqError as error:  # its file, or it is of another package
                broken[f"targets of {backend.name}"] = error
                continue
            rows += [(name, owner, target.description) for name, owner, target in mine]
        table("Targets", ("target", "backend", "what it is"), rows, text=3)
        for unusable in broken.values():
            print_error(unusable.message(), "unusable")
        return
    backend, target = find_target(name)
    say(f"{target.name}: {target.description}", style="bold")
    say(f"backend {backend.name}: {backend.description}")
    if target.path:
        say(f"file    {target.path}")
    constants = [
        (key, c.unit, c.mark, c.source, f"{c.value:.10g}") for key, c in target.constants.items()
    ]
    table("Constants", ("constant", "unit", "mark", "source", "value"), constants, text=4)
