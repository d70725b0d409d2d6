"""Which layers a fabric runs, and at which widths."""

from __future__ import annotations

from mohaq.backends.base import Legality, SlotGroup
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.schedule.layout import CHUNK
from mohaq.compiler.analysis.layers import Layer
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.qnn.table import TABLE_SIZE

WIDTHS = {"wide_acc": (4, 8, 16), "faithful": (16,)}
FUNCTIONS = {
    "sru": (("sigmoid", "identity"), ("sigmoid", "tanh"), ("sigmoid", "relu")),
    "lstm": (("sigmoid", "tanh", "tanh"), ("sigmoid", "relu", "tanh")),
    "gru": (("sigmoid", "tanh"), ("sigmoid", "relu")),
    "rnn": (("tanh",), ("relu",)),
    "ligru": (("sigmoid", "relu"), ("sigmoid", "tanh")),
    "qrnn": (("sigmoid", "tanh"),),
}
"""Functions of a direction: those of the NACU, and relu where a product or a sum gives its input."""

ONE_SET = frozenset({"sru", "qrnn"})
"""Kinds whose directions share their functions."""

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
            f"SiLago cannot run layers of kind '{layer.kind}'",
            where=where,
            hint=f"it runs linear, {', '.join(FUNCTIONS)}",
        )
    if layer.window > 1:
        raise MohaqError(
            f"SiLago cannot run a QRNN with a window of {layer.window}",
            where=where,
            why="its product reads two inputs side by side, one of them from a loop of its own",
            hint="a window of one",
        )
    if layer.clipped:
        raise MohaqError(
            "SiLago cannot run cells with a clip",
            where=where,
            why="whether a clip takes passes depends on the scale, which no cost of a layer may",
        )
    if layer.kind in FUNCTIONS:
        one = FUNCTIONS[layer.kind]
        count = 1 if layer.kind in ONE_SET else layer.directions
        if layer.functions not in {f * count for f in one}:
            raise MohaqError(
                f"SiLago has no functions {', '.join(layer.functions)} for a layer of kind "
                f"'{layer.kind}'",
                where=where,
                why="the NACU computes sigmoid and tanh, and two passes a relu; what an LSTM shows of "
                "its c has to be bounded, so that no scale depends on data"
                if layer.kind == "lstm"
                else "the NACU computes sigmoid and tanh, and two passes a relu",
                hint=" or ".join(", ".join(f) for f in one),
            )
        if layer.table_points != TABLE_SIZE:
            raise MohaqError(
                "SiLago computes its functions itself",
                where=where,
                hint="leave approximate-nonlinear out: the NACU's segments are fixed",
            )
