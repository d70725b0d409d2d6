"""`python -m mohaq.tools.vectors BACKEND ...`: one subcommand a backend."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import typer

from mohaq.tools.boundary import boundary
from mohaq.tools.vectors.bitfusion.command import bitfusion
from mohaq.tools.vectors.silago.command import silago

app = typer.Typer(
    name="vectors",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Check simulators against programs with known results.",
)


def _guarded(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> None:
        with boundary():
            function(*args, **kwargs)

    return command


app.command("bitfusion")(_guarded(bitfusion))
app.command("silago")(_guarded(silago))


if __name__ == "__main__":
    app()
