"""The scalar functions of `#nn.fn` on arrays."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.interpreters.float_nn.base import Array

F = np.float32


def sigmoid(x: Array) -> Array:
    """Logistic function without overflow warnings."""
    half: Array = np.tanh(x * F(0.5))
    return half * F(0.5) + F(0.5)


def softplus(x: Array) -> Array:
    """log(1 + e^x)."""
    made: Array = np.logaddexp(F(0), x)
    return made


def _erf_of(value: float) -> float:
    return math.erf(value)


_erf = np.frompyfunc(_erf_of, 1, 1)


def erf(x: Array) -> Array:
    """The error function; the standard library's, element by element."""
    made: Array = np.asarray(_erf(x.astype(np.float64)), dtype=np.float32)
    return made


def gelu(x: Array) -> Array:
    """x times the normal distribution function, the exact form."""
    return x * F(0.5) * (F(1) + erf(x / F(math.sqrt(2))))


def _elu(x: Array, alpha: float) -> Array:
    made: Array = np.where(x > 0, x, F(alpha) * np.expm1(np.minimum(x, F(0))))
    return made


def _hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    made: Array = np.clip(F(alpha) * x + F(beta), F(0), F(1))
    return made


def _clip(x: Array, low: float, high: float) -> Array:
    made: Array = np.minimum(np.maximum(x, F(low)), F(high))
    return made


def _leaky(x: Array, alpha: float) -> Array:
    made: Array = np.where(x >= 0, x, F(alpha) * x)
    return made


def _threshold(x: Array, alpha: float) -> Array:
    made: Array = np.where(x > F(alpha), x, F(0))
    return made


TABLE: dict[str, Callable[..., Array]] = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, F(0)),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softsign": lambda x: x / (F(1) + np.abs(x)),
    "softplus": softplus,
    "affine": lambda x, alpha, beta: F(alpha) * x + F(beta),
    "leaky_relu": _leaky,
    "thresholded_relu": _threshold,
    "scaled_tanh": lambda x, alpha, beta: F(alpha) * np.tanh(F(beta) * x),
    "hard_sigmoid": _hard_sigmoid,
    "elu": _elu,
    "abs": np.abs,
    "neg": np.negative,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "square": np.square,
    "reciprocal": lambda x: F(1) / x,
    "erf": erf,
    "sin": np.sin,
    "cos": np.cos,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "silu": lambda x: x * sigmoid(x),
    "gelu": gelu,
    "hard_swish": lambda x: x * _hard_sigmoid(x, 1 / 6, 0.5),
    "clip": _clip,
}


def evaluate(function: FunctionAttr, x: Array) -> Array:
    """The function of every element. Infinite and undefined results are IEEE's, silently."""
    with np.errstate(all="ignore"):
        made = TABLE[function.kind](x, *function.values)
    return np.asarray(made, dtype=np.float32)
