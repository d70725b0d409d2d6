"""Attributes of operations in a few words."""

from __future__ import annotations

from xdsl.dialects.builtin import ArrayAttr, DenseArrayBase, IntegerAttr, SymbolRefAttr
from xdsl.ir import Attribute, Operation

from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.qnn import AccAttr, ScanOp
from mohaq.tools.inspect.printed import shortened
from mohaq.tools.layers import fact_text

FEW = 4
"""Numbers of an array that are written out."""


def facts_text(op: Operation) -> str:
    """What is special about an operation; for a layer also its bits."""
    held = [_one(key, value) for key, value in op.attributes.items() if key != "layer"]
    if isinstance(op, ScanOp):
        held.append(op.direction.data)
    elif not isinstance(op, LayerOp):
        held += [_one(key, value) for key, value in op.properties.items() if "Segment" not in key]
    if isinstance(op, LayerOp) and (bits := bits_of(op)):
        held.append(bits)
    return shortened(", ".join(text for text in held if text), 90)


def bits_of(op: LayerOp) -> str:
    """`weight 4 bits, input 8 bits` of the searched slots that have a grid."""
    grids = {slot: op.grid(slot) for slot in op.SEARCHED_SLOTS}
    return ", ".join(f"{slot} {grid.bits} bits" for slot, grid in grids.items() if grid is not None)


def accumulator_text(acc: AccAttr) -> str:
    """`32 bits, proved, |sum| <= 224`."""
    return f"{acc.width.data} bits, {acc.overflow.data}, |sum| <= {acc.bound.data:,}"


def _one(key: str, value: Attribute) -> str:
    if isinstance(value, AccAttr):
        return f"sum of {accumulator_text(value)}"
    numbers: list[object] | None = None
    if isinstance(value, DenseArrayBase):
        numbers = list(value.get_values())
    elif isinstance(value, ArrayAttr) and all(isinstance(v, IntegerAttr) for v in value):
        numbers = [v.value.data for v in value]
    if numbers is not None:
        shown = " ".join(str(n) for n in numbers[:FEW])
        more = f" … ({len(numbers)})" if len(numbers) > FEW else ""
        return f"{key} {shown}{more}" if numbers else ""
    if isinstance(value, SymbolRefAttr):
        return f"@{value.root_reference.data}"
    return fact_text(key, value)
