"""Scalar functions as ONNX nodes, and as names that the recurrent operators take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.onnx_export.graph import OnnxGraph

CELL_NAMES: dict[str, tuple[str, int]] = {
    "relu": ("Relu", 0),
    "tanh": ("Tanh", 0),
    "sigmoid": ("Sigmoid", 0),
    "softsign": ("Softsign", 0),
    "softplus": ("Softplus", 0),
    "affine": ("Affine", 2),
    "leaky_relu": ("LeakyRelu", 1),
    "thresholded_relu": ("ThresholdedRelu", 1),
    "scaled_tanh": ("ScaledTanh", 2),
    "hard_sigmoid": ("HardSigmoid", 2),
    "elu": ("Elu", 1),
}
"""Our function -> (name in the ONNX recurrent operators, number of parameters there)."""

DIRECT = {
    "identity": "Identity",
    "relu": "Relu",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "softsign": "Softsign",
    "softplus": "Softplus",
    "abs": "Abs",
    "neg": "Neg",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "reciprocal": "Reciprocal",
    "erf": "Erf",
    "sin": "Sin",
    "cos": "Cos",
    "sign": "Sign",
    "floor": "Floor",
    "ceil": "Ceil",
    "gelu": "Gelu",
    "hard_swish": "HardSwish",
}
"""Functions that are one ONNX operator without attributes."""


def cell_functions(chosen: Sequence[FunctionAttr]) -> dict[str, Any]:
    """The attributes activations, activation_alpha and activation_beta of LSTM, GRU and RNN."""
    names: list[str] = []
    alpha: list[float] = []
    beta: list[float] = []
    for one in chosen:
        known = FunctionAttr.of("affine", 1.0, 0.0) if one.kind == "identity" else one
        name, count = CELL_NAMES[known.kind]
        names.append(name)
        alpha += known.values[:1] if count > 0 else ()
        beta += known.values[1:2] if count > 1 else ()
    return {
        "activations": names,
        "activation_alpha": alpha or None,
        "activation_beta": beta or None,
    }


def apply(graph: OnnxGraph, function: FunctionAttr, x: str) -> str:
    """Nodes that compute the function of every element of x."""
    kind, values = function.kind, function.values
    scalars = [graph.constant(np.float32(v)) for v in values]
    match kind:
        case "affine":
            return graph.node("Add", [graph.node("Mul", [x, scalars[0]]), scalars[1]], kind)
        case "leaky_relu":
            return graph.node("LeakyRelu", [x], alpha=values[0])
        case "thresholded_relu":
            return graph.node("ThresholdedRelu", [x], alpha=values[0])
        case "scaled_tanh":
            inner = graph.node("Tanh", [graph.node("Mul", [x, scalars[1]])])
            return graph.node("Mul", [inner, scalars[0]], kind)
        case "hard_sigmoid":
            return graph.node("HardSigmoid", [x], alpha=values[0], beta=values[1])
        case "elu":
            return graph.node("Elu", [x], alpha=values[0])
        case "square":
            return graph.node("Mul", [x, x], kind)
        case "silu":
            return graph.node("Mul", [x, graph.node("Sigmoid", [x])], kind)
        case "clip":
            return graph.node("Clip", [x, *scalars])
    return graph.node(DIRECT[kind], [x], kind)
