"""`mohaq export-onnx`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mohaq.tools.commands.options import (
    AssignmentFile,
    Bits,
    CalibrationData,
    Clip,
    model_words,
    target_words,
)


def export_onnx(
    model: Annotated[
        str,
        typer.Argument(
            autocompletion=model_words,
            help="A program folder, a .mlir file, or anything that import takes.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="ONNX file to write.")],
    form: Annotated[
        str, typer.Option("--form", "-f", help="float, qdq, scan or integer (docs/onnx.md).")
    ] = "float",
    bits: Bits = None,
    assignment: AssignmentFile = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            autocompletion=target_words,
            help="Whose scales and arithmetic (default: neutral).",
        ),
    ] = None,
    border: Annotated[
        str, typer.Option("--border", help="Form integer: real (float32) or integer in and out.")
    ] = "real",
    data: CalibrationData = None,
    clip: Clip = None,
) -> None:
    """Write a program as an ONNX model, layers by their names.

    float: what the model computes. qdq: weights as integers with DequantizeLinear, inputs of layers
    rounded. scan: states and gates rounded, too. integer: the integers that a compiled program
    computes, bit for bit. Beside F.onnx stands F.session.json with the options that onnxruntime
    needs. What the passes chose (widths, scales, clips) is in the metadata of each layer's node,
    where viewers such as Netron show it.

    Example:  mohaq export-onnx speech --form integer --bits 8 -o speech-8bit.onnx
    """
    from mohaq.compiler.assignment import Assignment
    from mohaq.compiler.diagnostics import MohaqError, did_you_mean
    from mohaq.compiler.driver.export import export_onnx as write
    from mohaq.compiler.onnx_export import FORMS
    from mohaq.compiler.onnx_export.session import session_file
    from mohaq.tools.console import progress_line, say
    from mohaq.tools.sources import calibrated_model, load_model

    if out.suffix != ".onnx":
        raise MohaqError("the file's name must end in .onnx", where=str(out))
    if form not in FORMS:
        raise MohaqError(f"no form '{form}'", hint=did_you_mean(form, FORMS))
    if bits is not None and assignment is not None:
        raise MohaqError("give either --bits or --assignment")
    chosen = None
    if bits is not None:
        chosen = Assignment.uniform(bits)
    elif assignment is not None:
        chosen = Assignment.load(assignment)
    if chosen is None and (data is not None or clip is not None):
        raise MohaqError("calibration needs --bits or --assignment")
    with progress_line() as tell:
        if chosen is None:
            program = load_model(model)
        else:
            program = calibrated_model(model, data, tell, widths=chosen.used(), clip=clip)
        tell(f"write the form {form}")
        kind: Any = form
        edge: Any = border
        exported = write(program, out, kind, chosen, target=target, border=edge)
    size = out.stat().st_size
    say(f"wrote {out} ({len(exported.graph.node)} nodes, {size:,} bytes)")
    say(f"wrote {session_file(out)} (options for onnxruntime)")
