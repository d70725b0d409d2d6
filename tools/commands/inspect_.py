"""`mohaq inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def inspect(
    folder: Annotated[Path, typer.Argument(help="A compiled folder, a program or a .mlir file.")],
) -> None:
    """Show what is in a program or a compiled folder: layers, bits, bytes, operations.

    Example:  mohaq inspect demo-run/chosen
    """
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


def _inspect_compiled(folder: Path) -> None:
    from mohaq.compiler.analysis.layers import layer_table
    from mohaq.compiler.assignment import Assignment, Slot
    from mohaq.compiler.driver import CompiledFolder
    from mohaq.compiler.files import read_json
    from mohaq.tools.console import kib, say, si, table
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
        ("latency", si(total["total"]["seconds"], "s")),
        ("energy", si(total["total"]["joules"], "J")),
        ("size", kib(total["size_bytes"])),
        *((name, f"{value:,}") for name, value in total["total"]["counters"].items()),
    ]
    table(f"Estimate for {total['workload']['frames']} frames", ("figure", "value"), rows)
    files = sorted(p for p in (folder / "emitted").rglob("*") if p.is_file())
    listed = [(str(p.relative_to(folder)), f"{p.stat().st_size:,}") for p in files]
    table("What the target gets", ("file", "bytes"), listed)
