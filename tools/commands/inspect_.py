"""`mohaq inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mohaq.tools.commands.options import program_words

if TYPE_CHECKING:
    from mohaq.compiler.assignment import Assignment


def inspect(
    folder: Annotated[
        str,
        typer.Argument(
            autocompletion=program_words,
            help="A compiled folder, a program, a .mlir file; with --errors also a built-in model.",
        ),
    ],
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
    """Show what is in a program or a compiled folder: layers, bits, bytes, operations.

    With --errors: where the accuracy goes. For each layer and slot the clip, the share of values
    beyond it, the signal-to-quantization-noise ratio, and the error that is added when this slot
    alone has its width and all others have 16 bits.

    Example:  mohaq inspect demo-run/chosen
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
        _inspect_program(Path(folder))
        return
    if (bits is None) == (assignment is None):
        raise MohaqError("--errors needs either --bits or --assignment")
    from mohaq.compiler.assignment import Assignment

    chosen = Assignment.uniform(bits) if bits is not None else Assignment.load(assignment or Path())
    _errors(folder, chosen, data, calibration, metric, limit, plot)


def _inspect_program(folder: Path) -> None:
    from mohaq.compiler.program import Program
    from mohaq.tools.console import say
    from mohaq.tools.layers import print_operations
    from mohaq.tools.pipelines import full_context
    from mohaq.tools.present import print_stages

    if (folder / "manifest.json").is_file():
        _inspect_compiled(folder)
        return
    program = Program.load(folder, full_context())
    say(f"program {folder}, {program.content_hash()[:12]}", style="bold")
    if any(True for _ in program.layers()):
        print_operations(program)
        state = "calibrated" if any(op.calibration for op in program.layers()) else "not calibrated"
        say(state)
    print_stages({"here": program})


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


def _inspect_compiled(folder: Path) -> None:
    from mohaq.compiler.analysis.layers import layer_table
    from mohaq.compiler.assignment import Assignment, Slot
    from mohaq.compiler.driver import CompiledFolder
    from mohaq.compiler.files import read_json
    from mohaq.tools.console import kib, latency, say, si, table
    from mohaq.tools.present import print_host, print_layers, print_stages

    opened = CompiledFolder(folder)
    manifest = read_json(folder / "manifest.json", "manifest")
    stages = {name: opened.stage(name) for name in manifest["stages"]}
    first = stages["1-quantized"]
    say(f"{opened.model} for {opened.target} ({opened.backend.name})", style="bold")
    layers = layer_table(first)
    searched = [Slot(layer.name, slot) for layer in layers for slot in layer.slots]
    print_layers(layers, Assignment.load(folder / "assignment.json").complete(searched))
    print_host(opened.host)
    print_stages(stages)
    total = read_json(folder / "estimate.json", "estimate")
    rows = [
        ("cycles", f"{total['total']['cycles']:,}"),
        ("latency", latency(total["total"]["seconds"])),
        ("energy", si(total["total"]["joules"], "J")),
        ("size", kib(total["size_bytes"])),
        *((name, f"{value:,}") for name, value in total["total"]["counters"].items()),
    ]
    table(f"Estimate for {total['workload']['frames']} frames", ("figure", "value"), rows)
    files = sorted(p for p in (folder / "emitted").rglob("*") if p.is_file())
    listed = [(str(p.relative_to(folder)), f"{p.stat().st_size:,}") for p in files]
    table("What the target gets", ("file", "bytes"), listed)
