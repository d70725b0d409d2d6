"""`mohaq inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mohaq.tools.commands.options import program_words

if TYPE_CHECKING:
    from mohaq.compiler.assignment import Assignment


def inspect(
    subject: Annotated[
        str,
        typer.Argument(
            autocompletion=program_words,
            metavar="SUBJECT",
            help="A compiled folder, a run, a program, an assignment.json, or any MODEL.",
        ),
    ],
    other: Annotated[
        str | None,
        typer.Argument(metavar="OTHER", help="A second one: show the two side by side."),
    ] = None,
    op: Annotated[
        str | None,
        typer.Option(
            "--op", help="A layer, a value (%3), a parameter (@l0.weight) or a point, in full."
        ),
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option("--stage", help="Of a compiled folder, e.g. 2-qnn, legalized or 4."),
    ] = None,
    instructions: Annotated[
        int, typer.Option("--instructions", help="Lines of each listing; 0: all of them.")
    ] = 40,
    diff: Annotated[
        str | None, typer.Option("--diff", metavar="OTHER", help="The same as a second argument.")
    ] = None,
    dot: Annotated[Path | None, typer.Option("--dot", help="Write the graph for Graphviz.")] = None,
    svg: Annotated[Path | None, typer.Option("--svg", help="Write the graph as a drawing.")] = None,
    netron: Annotated[
        Path | None, typer.Option("--netron", help="Write an annotated .onnx for Netron.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write one page with all of it.")
    ] = None,
    errors: Annotated[
        bool, typer.Option("--errors", help="Measure what each slot's grid does to the error.")
    ] = False,
    bits: Annotated[
        int | None, typer.Option("--bits", "-b", help="With --errors: the same width everywhere.")
    ] = None,
    assignment: Annotated[
        Path | None, typer.Option("--assignment", "-a", help="With --errors: an assignment.json.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", "-d", help="With --errors: data with labels, e.g. speech:validation."
        ),
    ] = None,
    calibration: Annotated[
        str | None, typer.Option("--calibration", help="Calibration data, when not calibrated yet.")
    ] = None,
    metric: Annotated[str, typer.Option("--metric", "-m", help="With --errors.")] = "fer",
    limit: Annotated[
        int,
        typer.Option("--limit", "-n", help="Utterances to measure on (0: all), spread evenly."),
    ] = 0,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="With --errors: also write a page with charts.")
    ] = None,
) -> None:
    """Show what is in a program, a compiled folder, a run or an assignment.

    Layers with bits, products and bytes; operations of every stage; costs and instructions. With
    --op one layer, value or parameter in full: grids, bounds of sums, schedule and instructions.
    With OTHER what differs. Files get the annotated program, or what --stage names.

    With --errors: where the accuracy goes. For each layer and slot the clip, the share of values
    beyond it, the signal-to-quantization-noise ratio, and the error that is added when this slot
    alone has its width and all others have 16 bits.

    Example:  mohaq inspect demo-run/chosen --op l0
    Example:  mohaq inspect demo-run/assignments/s00.json demo-run/assignments/s05.json
    Example:  mohaq inspect demo-run/chosen --html chosen.html --svg chosen.svg
    Example:  mohaq inspect speech --errors --bits 4 -n 100 --plot errors.html
    """
    from mohaq.compiler.diagnostics import MohaqError

    if not errors:
        for name, value in (
            ("--bits", bits), ("--assignment", assignment), ("--data", data), ("--plot", plot),
            ("--calibration", calibration),
        ):  # fmt: skip
            if value is not None:
                raise MohaqError(f"{name} needs --errors")
        from mohaq.tools.inspect.command import Wanted, run

        if other is not None and diff is not None:
            raise MohaqError("give the second one as an argument or with --diff")
        run(Wanted(subject, other or diff, op, stage, instructions, dot, svg, netron, html))
        return
    for title, given in (
        ("OTHER", other), ("--diff", diff), ("--op", op), ("--stage", stage), ("--dot", dot),
        ("--svg", svg), ("--netron", netron), ("--html", html),
    ):  # fmt: skip
        if given is not None:
            raise MohaqError(f"{title} and --errors exclude each other")
    if (bits is None) == (assignment is None):
        raise MohaqError("--errors needs either --bits or --assignment")
    from mohaq.compiler.assignment import Assignment

    chosen = Assignment.uniform(bits) if bits is not None else Assignment.load(assignment or Path())
    _errors(subject, chosen, data, calibration, metric, limit, plot)


def _errors(
    model: str,
    assignment: Assignment,
    data: str | None,
    calibration: str | None,
    metric: str,
    limit: int,
    plot: Path | None,
) -> None:
    from mohaq.backends.registry import find_target
    from mohaq.compiler.analysis.storage import STORED_WIDTH, calibrated_table
    from mohaq.compiler.diagnostics import MohaqError
    from mohaq.compiler.metrics import get_metric
    from mohaq.compiler.search.diagnosis import diagnose
    from mohaq.tools.console import progress_bar, progress_line, say
    from mohaq.tools.present import print_diagnosis
    from mohaq.tools.slot_plot import write_slot_plot
    from mohaq.tools.sources import VALIDATION, calibrated_model, load_data

    source = data or VALIDATION.get(model)
    if source is None:
        raise MohaqError("--errors needs --data with labels to measure the error on")
    used = tuple(sorted({*assignment.used(), STORED_WIDTH}))
    with progress_line() as tell:
        program = calibrated_model(model, calibration, tell, widths=used)
        chosen = load_data(source)
    if limit:
        chosen = chosen.subset(min(limit, len(chosen)))
    widths = assignment.complete(calibrated_table(program).searched())
    backend, target = find_target("reference")
    with progress_bar("measuring") as tick:
        found = diagnose(
            program, widths, backend, target, chosen, get_metric(metric), progress=tick
        )
    print_diagnosis(found)
    if plot is not None:
        write_slot_plot(found, f"{model}: error by slot", plot)
        say(f"wrote {plot}")
