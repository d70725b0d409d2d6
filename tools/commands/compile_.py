"""`mohaq compile`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mohaq.tools.commands.options import (
    AssignmentFile,
    Bits,
    CalibrationData,
    Clip,
    model_words,
    target_words,
)


def compile_model(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    model: Annotated[
        str | None,
        typer.Argument(
            autocompletion=model_words,
            help="Built-in model (speech, speech-lstm, speech-gru, vowels), program folder, .mlir, .onnx, .pt2.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target", "-t", autocompletion=target_words, help="Target name or target .toml."
        ),
    ] = None,
    bits: Bits = None,
    assignment: AssignmentFile = None,
    data: CalibrationData = None,
    clip: Clip = None,
    prefer: Annotated[
        str | None,
        typer.Option(
            "--prefer",
            help="What the target's scheduler favours: latency (default), energy, balanced.",
        ),
    ] = None,
    frames: Annotated[
        int | None, typer.Option("--frames", help="Frames that the estimate is for (100).")
    ] = None,
    stop_after: Annotated[
        str | None,
        typer.Option(
            "--stop-after",
            metavar="STAGE",
            help="import, calibrate, quantize, lower-to-qnn, legalize or lower, or a pass of "
            "these: write the program so far.",
        ),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--start-from",
            metavar="FOLDER",
            help="Instead of a model: go on from what --stop-after wrote, a compiled folder or "
            "the folder of one of its stages.",
        ),
    ] = None,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Reuse what was made before, and keep this.")
    ] = True,
) -> None:
    """Compile a model for a target with chosen precisions.

    Writes one folder with the program at every level (.mlir), what the target runs, the
    assignment and the estimate.

    Example:  mohaq compile speech --target bitfusion-e --bits 8 -o speech-8bit
    Example:  mohaq compile --start-from stopped -o speech-8bit
    """
    from mohaq.compiler.assignment import Assignment
    from mohaq.compiler.diagnostics import MohaqError
    from mohaq.tools.compiling import Order, compile_order
    from mohaq.tools.console import progress_line, say

    source = model if start_from is None else str(start_from)
    if source is None or (model is not None and start_from is not None):
        raise MohaqError("give either a model or --start-from")
    if bits is not None and assignment is not None:
        raise MohaqError("give either --bits or --assignment")
    chosen = None if bits is None else Assignment.uniform(bits)
    order = Order(
        source,
        out,
        start_from is not None,
        target,
        chosen if assignment is None else Assignment.load(assignment),
        data,
        clip,
        frames,
        prefer,
        stop_after,
        cache,
    )
    with progress_line() as tell:
        done = compile_order(order, tell)
    if done.stopped is None:
        _show(out)
    if done.note:
        say(f"cache: {done.note}")
    if done.stopped is None:
        say(f"wrote {out}")
    else:
        say(f"wrote {out}, after stage '{done.stopped.stage}'")
        say(f"next: mohaq compile --start-from {out} -o compiled")


def _show(out: Path) -> None:
    """What was compiled: layers, estimate, what limits it, the host's part."""
    from mohaq.compiler.analysis.layers import layer_table
    from mohaq.compiler.assignment import Assignment, Slot
    from mohaq.compiler.driver import CompiledFolder
    from mohaq.compiler.driver.figures import estimate_of
    from mohaq.compiler.files import read_json
    from mohaq.tools.present import print_estimate, print_host, print_layers, print_limit

    opened = CompiledFolder(out)
    layers = layer_table(opened.stage("1-quantized"))
    searched = [Slot(layer.name, slot) for layer in layers for slot in layer.slots]
    print_layers(layers, Assignment.load(out / "assignment.json").complete(searched))
    estimate = estimate_of(read_json(out / "estimate.json", "estimate"))
    print_estimate(estimate)
    print_limit(estimate, opened.machine())
    print_host(opened.host)
