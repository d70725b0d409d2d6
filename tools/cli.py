"""`mohaq`: the command line. One command a file, in `tools/commands/`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from mohaq import __version__
from mohaq.tools.boundary import guarded
from mohaq.tools.commands import (
    compile_,
    corpus,
    demo,
    export_onnx,
    import_,
    inspect_,
    new_backend,
    passes,
    plugins,
    report,
    reproduce,
    run,
    search,
    support,
    targets,
    train,
)

app = typer.Typer(
    name="mohaq",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Put trained recurrent networks on accelerators at mixed precision.\n\n"
        "Start with [bold]mohaq demo[/bold]. With your own network: import it, search for good "
        "precisions, compile the one you like, run it on the simulator."
    ),
    epilog="Every command explains itself: mohaq COMMAND --help",
)


def _add(name: str, function: Callable[..., None], panel: str) -> None:
    app.command(name, rich_help_panel=panel)(guarded(function))


FLOW, LOOK, SPEECH = "From a network to hardware", "Look", "The speech task"
OWN = "Your own hardware"
_add("demo", demo.demo, FLOW)
_add("import", import_.import_model, FLOW)
_add("search", search.search, FLOW)
_add("compile", compile_.compile_model, FLOW)
_add("run", run.run, FLOW)
_add("export-onnx", export_onnx.export_onnx, FLOW)
_add("inspect", inspect_.inspect, LOOK)
_add("report", report.report, LOOK)
_add("reproduce", reproduce.reproduce, LOOK)
_add("targets", targets.targets, LOOK)
_add("support", support.support, LOOK)
_add("passes", passes.passes, LOOK)
_add("plugins", plugins.plugins, LOOK)
_add("train", train.train, SPEECH)

_add("new-backend", new_backend.new_backend, OWN)

_corpus = typer.Typer(
    no_args_is_help=True, help="Build speech corpora, or read a real one from disk."
)
_corpus.command("build")(guarded(corpus.build))
_corpus.command("fsdd")(guarded(corpus.fsdd))
app.add_typer(_corpus, name="corpus", rich_help_panel=SPEECH)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"mohaq {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    """Options before the command."""


def main() -> None:
    """Entry point of the `mohaq` script."""
    app()


if __name__ == "__main__":
    main()
