"""`python -m mohaq.tools.vectors BACKEND ...`: one subcommand a backend."""

from __future__ import annotations

import typer

from mohaq.tools.boundary import guarded
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


app.command("bitfusion")(guarded(bitfusion))
app.command("silago")(guarded(silago))


if __name__ == "__main__":
    app()
