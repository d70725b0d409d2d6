"""`mohaq import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mohaq.tools.commands.options import model_words


def import_model(
    model: Annotated[
        str,
        typer.Argument(
            autocompletion=model_words,
            help="An ONNX file (.onnx), a torch.export file (.pt2), package:function returning "
            "(module, example inputs), or a built-in model (speech, speech-lstm, speech-gru, vowels).",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Program folder to write.")],
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", help="Calibrate on this data, so that compile needs none."),
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            "--clip",
            metavar="METHOD",
            help="With --data: mmse (default), minmax, percentile=99.99, aciq or entropy.",
        ),
    ] = None,
    fixed: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="INPUT=VALUE",
            help="Fix an input of an ONNX model, e.g. sr=16000; may be given several times.",
        ),
    ] = None,
) -> None:
    """Import a model into a program folder: a .mlir file and its parameters.

    Layers stay whole: a recurrent layer becomes one operation. `mohaq support` lists what can be
    imported.

    Example:  mohaq import model.onnx -o my-model --data calibration.npz
    """
    from mohaq.compiler.diagnostics import MohaqError
    from mohaq.compiler.files import replacing_folder
    from mohaq.compiler.program import MODULE_FILE
    from mohaq.tools.console import say
    from mohaq.tools.constants import parse_constants
    from mohaq.tools.layers import print_operations
    from mohaq.tools.sources import calibrate_on, load_data, load_model

    if clip is not None and data is None:
        raise MohaqError("a clip method needs --data to find the clips on")
    program = load_model(model, parse_constants(fixed or []))
    if data is not None:
        calibrate_on(program, load_data(data), clip=clip)
    with replacing_folder(out, marker=MODULE_FILE) as work:
        program.save(work)
    print_operations(program)
    say(f"wrote {out} ({'calibrated' if data else 'not calibrated'})")
