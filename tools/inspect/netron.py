"""An ONNX model for Netron: layers by name, what the passes chose and what it costs in metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mohaq.compiler.program import Program
from mohaq.tools.inspect.figures import figures

if TYPE_CHECKING:
    import onnx

LAYER_KEY = "mohaq.layer"
"""Metadata by which an exported node says which layer it is."""


def annotated_model(program: Program, costs: Mapping[str, Any] | None = None) -> onnx.ModelProto:
    """The model; `costs` are those of layers, as an estimate has them.

    An `nn` program is written in float (with its grids as metadata), integers as they are.

    Raises:
        MohaqError: the program has no ONNX form, as one in a backend's own dialect.
    """
    model = program.to_onnx("float" if any(True for _ in program.layers()) else "integer")
    rows = {row.name: row for row in figures(program)}
    for node in model.graph.node:
        held = {entry.key: entry.value for entry in node.metadata_props}
        name = held.get(LAYER_KEY, "")
        facts: dict[str, str] = {}
        if (row := rows.get(name)) is not None:
            facts = {"macs_per_frame": str(row.macs), "weights": str(row.weights)}
            if row.held is not None:
                facts |= {"bits": row.bits, "weight_bytes": str(row.held)}
        if costs is not None and name in costs:
            facts |= {"cycles": str(costs[name]["cycles"]), "joules": str(costs[name]["joules"])}
        for key, value in facts.items():
            entry = node.metadata_props.add()
            entry.key, entry.value = f"mohaq.{key}", value
    return model
