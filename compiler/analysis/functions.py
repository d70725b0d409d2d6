"""Which functions of a cell have an integer form, and which results are bounded by one."""

from __future__ import annotations

from mohaq.compiler.dialects.nn import FunctionAttr

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
