"""Bits, products and bytes of layers, of programs of any stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import IntegerType, StringAttr
from xdsl.ir import Operation, SSAValue

from mohaq.compiler.analysis.layers import Layer, LayerTable, layer_table
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.qnn import MatmulOp, ScanOp
from mohaq.compiler.dialects.types import int_width, shape_of
from mohaq.compiler.driver.device import integer_check
from mohaq.compiler.partition import partition
from mohaq.compiler.program import Program
from mohaq.tools.inspect.blocks import Block, Table
from mohaq.tools.present import layer_bits, layer_bytes

BITS = ("weight", "input"), ("recurrent", "hidden")


@dataclass(frozen=True)
class Figures:
    """One layer: products and bytes a frame; `held` is None while there are no widths."""

    name: str
    kind: str
    shape: str
    macs: int
    weights: int
    bits: str = ""
    held: int | None = None


def figures(program: Program, widths: Mapping[Slot, int] | None = None) -> list[Figures]:
    """Figures of the layers that a target may run, in program order; empty if there are none."""
    if any(True for _ in program.layers()):
        table = device_layers(program)
        given = widths if widths is not None else grid_widths(program)
        return [] if table is None else [_layer(layer, given) for layer in table]
    return _integer(program)


def figure_tables(rows: Sequence[Figures]) -> list[Block]:
    """Layers with bits, products and bytes, and their totals."""
    if not rows:
        return []
    known = all(row.held is not None for row in rows)
    columns = ["layer", "kind", "shape", "MACs/frame", "weights"]
    made: list[list[object]] = [
        [row.name, row.kind, row.shape, f"{row.macs:,}", f"{row.weights:,}"] for row in rows
    ]
    total: list[object] = [
        "all",
        "",
        "",
        *(f"{sum(getattr(r, n) for r in rows):,}" for n in ("macs", "weights")),
    ]
    if known:
        columns += ["bits (weight x input)", "weight bytes"]
        for row, one in zip(made, rows, strict=True):
            row += [one.bits, f"{one.held:,}"]
        total += ["", f"{sum(r.held or 0 for r in rows):,}"]
    return [Table("Layers", columns, [*made, total], text=3)]


def device_layers(program: Program) -> LayerTable | None:
    """The layers that a target may run; None if there are none."""
    try:
        return layer_table(program)
    except MohaqError:
        pass
    try:
        return layer_table(partition(program, integer_check).core)
    except MohaqError:
        return None


def grid_widths(program: Program) -> dict[Slot, int]:
    """Bits of the searched slots that have a grid."""
    return {
        Slot(op.label, slot): grid.bits
        for op in program.layers()
        for slot in op.SEARCHED_SLOTS
        if (grid := op.grid(slot)) is not None
    }


def layer_of(op: Operation) -> str | None:
    """Layer that an operation is or comes from; that of the loop around it if it has no own."""
    if isinstance(op, LayerOp):
        return op.label
    found: Operation | None = op
    while found is not None:
        said = found.attributes.get("layer")
        if isinstance(said, StringAttr):
            return said.data
        found = found.parent_op()
    return None


def _layer(layer: Layer, widths: Mapping[Slot, int]) -> Figures:
    known = all(Slot(layer.name, slot) in widths for slot in layer.slots)
    count = layer.weights + layer.recurrent_weights
    return Figures(
        layer.name,
        f"{layer.directions}x {layer.kind}" if layer.directions > 1 else layer.kind,
        f"{layer.outputs} x {layer.inputs}",
        count,
        count + layer.vector_words,
        layer_bits(layer, widths) if known else "",
        layer_bytes(layer, widths) if known else None,
    )


def _integer(program: Program) -> list[Figures]:
    """From products and the parameters that operations read; a loop's body runs once a frame.

    Empty where a backend has operations of its own for products.
    """
    products: dict[str, list[MatmulOp]] = {}
    loads: dict[str, dict[str, tuple[int, int]]] = {}
    kinds: dict[str, str] = {}
    for op in program.entry.walk():
        name = layer_of(op)
        if name is None or op.name.startswith(("func.", "param.")):
            continue
        kinds.setdefault(name, "product")
        if isinstance(op, MatmulOp):
            products.setdefault(name, []).append(op)
        elif isinstance(op, ScanOp):
            kinds[name] = "recurrence"
        for value in op.operands:
            if isinstance(value.owner, LoadOp) and _is_integer(value):
                size = 1
                for extent in shape_of(value):
                    size *= extent
                loads.setdefault(name, {})[value.owner.symbol] = (size, int_width(value)[0])
    if not products:
        return []  # lowered further: products are the backend's own operations
    return [
        _sums(name, kind, products.get(name, []), list(loads.get(name, {}).values()))
        for name, kind in kinds.items()
    ]


def _sums(
    name: str, kind: str, products: Sequence[MatmulOp], loads: Sequence[tuple[int, int]]
) -> Figures:
    shapes = [shape_of(op.weight) for op in products]
    bits = [f"{int_width(op.weight)[0]} x {int_width(op.input)[0]}" for op in products]
    return Figures(
        name,
        kind,
        ", ".join(dict.fromkeys(f"{n} x {k}" for n, k in shapes)),
        sum(n * k for n, k in shapes),
        sum(size for size, _ in loads),
        ", ".join(dict.fromkeys(bits)),
        (sum(size * width for size, width in loads) + 7) // 8,
    )


def _is_integer(value: SSAValue) -> bool:
    element = getattr(value.type, "element_type", None)
    return isinstance(element, IntegerType)
