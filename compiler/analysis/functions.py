"""Which functions of a cell have an integer form, and which results are bounded by one."""

from __future__ import annotations

from mohaq.compiler.dialects.nn import CellOp, FunctionAttr, LayerOp, QrnnOp, SruOp

TABLED = ("sigmoid", "tanh", "softsign", "hard_sigmoid", "scaled_tanh")
"""Functions that become interpolated tables when their results are bounded by one."""

EXACT = ("identity", "relu")
"""Unbounded functions that are exact in integers."""


def is_bounded(function: FunctionAttr) -> bool:
    """Whether the function is a table with results in [-1, 1]."""
    if function.kind == "scaled_tanh":
        return abs(function.values[0]) <= 1
    return function.kind in TABLED


def is_exact(function: FunctionAttr) -> bool:
    """Whether the function is unbounded, but exact on any grid."""
    return function.kind in EXACT


def functions_of(op: LayerOp) -> tuple[FunctionAttr, ...]:
    """The functions of a layer's cell, each once, in the order of its roles."""
    match op:
        case CellOp():
            used = [f for d in range(op.directions) for f in op.functions(d)]
        case SruOp():
            used = [FunctionAttr.of("sigmoid"), FunctionAttr.of(op.activation.data)]
        case QrnnOp():
            used = [FunctionAttr.of("tanh"), FunctionAttr.of("sigmoid")]
        case _:
            used = []
    return tuple(dict.fromkeys(used))
