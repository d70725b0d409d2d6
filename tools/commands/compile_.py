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
    Prefer,
    model_words,
    target_words,
)


def compile_model(
    model: Annotated[
        str,
        typer.Argument(
            autocompletion=model_words,
            help="Built-in model (speech, speech-lstm, speech-gru, vowels), program folder, .mlir, .onnx, .pt2.",
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            "--target", "-t", autocompletion=target_words, help="Target name or target .toml."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Compiled folder to write.")],
    bits: Bits = None,
    assignment: AssignmentFile = None,
    data: CalibrationData = None,
    clip: Clip = None,
    prefer: Prefer = "latency",
    frames: Annotated[int, typer.Option("--frames", help="Frames that the estimate is for.")] = 100,
) -> None:
    """Compile a model for a target with chosen precisions.

    Writes one folder with the program at every level (.mlir), what the target runs, the
    assignment and the estimate.

    Example:  mohaq compile speech --target bitfusion-e --bits 8 -o speech-8bit
    """
    from mohaq.backends.base import Workload, options_of
    from mohaq.compiler.analysis.layers import layer_table
    from mohaq.compiler.assignment import Assignment, Slot
    from mohaq.compiler.diagnostics import MohaqError
    from mohaq.compiler.driver import CompiledFolder, compile_program
    from mohaq.tools.console import progress_line, say
    from mohaq.tools.present import print_estimate, print_host, print_layers, print_limit
    from mohaq.tools.sources import calibrated_model

    if (bits is None) == (assignment is None):
        raise MohaqError("give either --bits or --assignment")
    chosen = Assignment.uniform(bits) if bits is not None else Assignment.load(assignment or Path())
    with progress_line() as tell:
        program = calibrated_model(model, data, tell, widths=chosen.used(), clip=clip)
        done = compile_program(
            program,
            target,
            chosen,
            out,
            name=model,
            workload=Workload(frames),
            options=options_of(prefer),
            progress=tell,
        )
    opened = CompiledFolder(out)
    layers = layer_table(opened.stage("1-quantized"))
    searched = [Slot(layer.name, slot) for layer in layers for slot in layer.slots]
    print_layers(layers, chosen.complete(searched))
    print_estimate(done.estimate)
    print_limit(done.estimate, opened.machine())
    print_host(opened.host)
    say(f"wrote {out}")
