"""Which layers a fabric runs, and at which widths."""

from __future__ import annotations

from mohaq.backends.base import Legality, SlotGroup
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.schedule.matrix import CHUNK
from mohaq.compiler.analysis.layers import Layer
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.qnn.table import TABLE_SIZE

WIDTHS = {"wide_acc": (4, 8, 16), "faithful": (16,)}
FUNCTIONS = {
    "sru": (("sigmoid", "identity"), ("sigmoid", "tanh")),
    "lstm": (("sigmoid", "tanh", "tanh"),),
    "gru": (("sigmoid", "tanh"),),
}
"""Functions of a direction that the NACU computes, by kind of layer."""

RESERVED_ROWS = 12
"""Rows of a tile that the input of a product leaves to weights and results."""


def legality(layer: Layer, fabric: Fabric) -> Legality:
    """One gene a layer: weights and inputs of all its products have one width.

    Raises:
        MohaqError: the fabric cannot run the layer; says why.
    """
    where = f"layer '{layer.name}'"
    _supported(layer, fabric, where)
    most = CHUNK * (fabric.tile_depth - RESERVED_ROWS)
    longest = max(layer.inputs, layer.recurrent_inputs)
    if longest > most:
        raise MohaqError(
            f"a product over {longest} inputs does not fit the memory tiles",
            where=where,
            why=f"{fabric.tile_depth} rows of {CHUNK} words hold at most {most} inputs",
        )
    slots = tuple(Slot(layer.name, slot) for slot in layer.slots)
    choices = tuple((w,) * len(slots) for w in WIDTHS[fabric.numerics])
    return Legality((SlotGroup(layer.name, slots, choices),), "power-of-two", 1, "per-tensor")


def _supported(layer: Layer, fabric: Fabric, where: str) -> None:
    if fabric.numerics not in WIDTHS:
        raise MohaqError(f"{fabric.numerics} numerics give costs, no values", where=where)
    if layer.kind != "linear" and layer.kind not in FUNCTIONS:
        raise MohaqError(
            f"SiLago cannot run layers of kind '{layer.kind}' yet",
            where=where,
            hint="it runs linear, sru, lstm and gru",
        )
    if layer.projected:
        raise MohaqError(
            "SiLago cannot run an LSTM with projection yet",
            where=where,
            why="its projection has 16 bits beside products of other widths",
        )
    if layer.clipped:
        raise MohaqError("SiLago cannot run cells with a clip yet", where=where)
    if layer.kind in FUNCTIONS:
        one = FUNCTIONS[layer.kind]
        count = layer.directions if layer.kind != "sru" else 1
        if layer.functions not in {f * count for f in one}:
            raise MohaqError(
                f"SiLago has no functions {', '.join(layer.functions)} for a layer of kind "
                f"'{layer.kind}'",
                where=where,
                why="the NACU computes sigmoid and tanh",
                hint="or ".join(", ".join(f) + " " for f in one).strip(),
            )
        if layer.table_points != TABLE_SIZE:
            raise MohaqError(
                "SiLago computes its functions itself",
                where=where,
                hint="leave approximate-nonlinear out: the NACU's segments are fixed",
            )
