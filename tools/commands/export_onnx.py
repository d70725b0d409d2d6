"""`mohaq export-onnx`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export_onnx(
    model: Annotated[
        str, typer.Argument(help="A program folder, a .mlir file, or anything that import takes.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="ONNX file to write.")],
) -> None:
    """Write the float program as an ONNX model, layers by their names.

    What the passes chose (widths, scales, clips) stands in the metadata of each layer's node, where
    viewers such as Netron show it.

    Example:  mohaq export-onnx my-model -o my-model.onnx
    """
    from mohaq.compiler.diagnostics import MohaqError
    from mohaq.compiler.files import write_bytes
    from mohaq.tools.console import say
    from mohaq.tools.sources import load_model

    if out.suffix != ".onnx":
        raise MohaqError("the file's name must end in .onnx", where=str(out))
    exported = load_model(model).to_onnx()
    data = exported.SerializeToString()
    write_bytes(out, data)
    say(f"wrote {out} ({len(exported.graph.node)} nodes, {len(data):,} bytes)")
