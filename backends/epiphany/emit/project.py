"""Writes the project folder of a lowered program."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from mohaq.backends.base import Workload
from mohaq.backends.epiphany.emit.headers import (
    layers_header,
    main_file,
    memory_header,
    model_header,
    tables_file,
)
from mohaq.backends.epiphany.emit.layer import CELL, CONVERT, LayerWriter, Shared
from mohaq.backends.epiphany.emit.names import Unit
from mohaq.backends.epiphany.estimate import layer_counts
from mohaq.backends.epiphany.passes import cycles_of
from mohaq.backends.epiphany.pictures import pictures
from mohaq.backends.epiphany.plan.program import NOMINAL_FRAMES
from mohaq.backends.epiphany.runtime import readme, static_files
from mohaq.backends.epiphany.runtime.files import EXECUTABLE
from mohaq.compiler.dialects.types import DYNAMIC, int_width, shape_of
from mohaq.compiler.files import dump_json, write_bytes, write_text

SCHEMA = "mohaq.epiphany/1"
LAYER_FILES = ("mohaq_stage.h", "mohaq_stage.c")
CELLS = """\
/* One time step of each kind of layer, and what happens to activations on their way to a product:
 * generated. Layers of one structure share a function; k and at come from the layer's file. */
#include "layers.h"
"""
KERNEL_FILES = ("mohaq_kernels.h", "mohaq_kernels.S")


def write_project(unit: Unit, folder: Path, title: str) -> None:
    """Write all files; the same program always gives the same bytes."""
    made = static_files()
    kernels = files("mohaq.backends.epiphany.kernels")
    for name in KERNEL_FILES:
        made[f"device/{name}"] = (kernels / name).read_text("utf-8")
    layers = files("mohaq.backends.epiphany.runtime") / "layers"
    for name in LAYER_FILES:
        made[f"device/{name}"] = (layers / name).read_text("utf-8")
    cells, converts = Shared("cell", CELL), Shared("convert", CONVERT)
    for number in range(len(unit.staged.stages)):
        lines = LayerWriter(unit, number, cells, converts).lines()
        made[f"device/{unit.stage_name(number)}.c"] = "\n".join(lines) + "\n"
    made["device/cells.c"] = "\n".join([CELLS, *cells.lines(), *converts.lines(), ""])
    made["device/model.h"] = model_header(unit)
    made["device/memory.h"] = memory_header(unit)
    made["device/layers.h"] = layers_header(unit, [*cells.prototypes(), *converts.prototypes()])
    made["device/tables.c"] = tables_file(unit)
    made["device/main.c"] = main_file(unit)
    m = unit.machine
    plan = plan_json(unit)
    made["README.md"] = readme(
        title,
        m.whole("rows"),
        m.whole("columns"),
        [_port_text(row) for row in plan["inputs"]],
        [_port_text(row) for row in plan["outputs"]],
    )
    made["plan.json"] = dump_json(plan)
    counts = layer_counts(unit.plan.stages, m, Workload(NOMINAL_FRAMES))
    made.update(pictures(plan, counts, m, cycles_of))
    for name, text in sorted(made.items()):
        write_text(folder / name, text)
        if name in EXECUTABLE:
            (folder / name).chmod(0o755)
    write_bytes(folder / "weights.bin", bytes(unit.blob.data))


def _port_text(row: dict[str, Any]) -> str:
    shape = (
        "[T, B, {}]".format(row["channels"])
        if row["steps"]
        else "[{}, B, {}]".format(row["depth"], row["channels"])
    )
    return f"{shape}, signed {row['bits']} bits"


def plan_json(unit: Unit) -> dict[str, Any]:
    """Ports, constants, memory map and schedule."""
    staged, plan = unit.staged, unit.plan
    layers = unit.layers()
    return {
        "schema": SCHEMA,
        "constants": dict(unit.machine.constants),
        "layers": layers,
        "inputs": [_port(v, p) for v, p in zip(staged.arguments, staged.inputs, strict=True)],
        "outputs": [_port(v, p) for v, p in zip(staged.results, staged.outputs, strict=True)],
        "memory": [
            {
                "bank": bank,
                "bytes": size,
                "used": plan.used(bank),
                "resident": [
                    {
                        "layer": staged.stages[s].layer,
                        "weights": staged.stages[s].products[p].weights,
                        "bytes": plan.stages[s].products[p].bytes,
                    }
                    for (s, p), where in plan.residents.items()
                    if where == bank
                ],
                "layers": [
                    {
                        "stage": unit.stage_name(n),
                        "fields": {f.name: f.bytes for f in place.banks.get(bank, ())},
                    }
                    for n, place in enumerate(plan.places)
                ],
            }
            for bank, size in plan.room.items()
        ],
        "size_bytes": size_bytes(unit),
        "stages": [_stage(unit, n) for n in range(len(staged.stages))],
    }


def size_bytes(unit: Unit) -> int:
    """Bytes of weights, vectors and tables on all cores together."""
    return unit.plan.bytes + sum(2 * len(t) for t in unit.staged.tables.values())


def _port(value: Any, plane: Any) -> dict[str, Any]:
    shape = shape_of(value)
    return {
        "shape": [None if n == DYNAMIC else n for n in shape],
        "bits": int_width(value)[0],
        "steps": int(plane.sequence),
        "depth": 1 if plane.sequence or len(shape) < 3 else shape[0],
        "channels": shape[-1],
    }


def _stage(unit: Unit, number: int) -> dict[str, Any]:
    plan = unit.plan.stages[number]
    return {
        "name": unit.stage_name(number),
        "layer": plan.shape.name,
        "cores": plan.shape.active,
        "steps_at_once": 4 * plan.quads,
        "products": [
            {
                "weights": p.shape.name,
                "bits": p.shape.bits,
                "rows": p.shape.rows,
                "tiles": [[t.count, t.columns] for t in p.tiles],
                "blocks_at_once": p.blocks_at_once,
                "resident": p.resident,
                "accumulator": 64 if p.shape.wide else 32,
                "kernel": f"{'tile4' if p.shape.batched else 'mv8'}_w{p.shape.bits}",
            }
            for p in plan.products
        ],
        "exchanges": [{"values": e.values, "level": e.level} for e in plan.shape.exchanges],
    }
