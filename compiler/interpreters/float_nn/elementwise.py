"""Elementwise operations, products, softmax and reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from xdsl.interpreter import Interpreter, PythonValues, impl, register_impls

from mohaq.compiler.dialects import nn
from mohaq.compiler.interpreters.float_nn.base import Functions
from mohaq.compiler.interpreters.float_nn.functions import evaluate

BINARY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "max": np.maximum,
    "min": np.minimum,
}


def _l2(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    return np.sqrt(np.sum(np.square(x), axis=axis, keepdims=keepdims))


REDUCE: dict[str, Callable[..., Any]] = {
    "mean": np.mean,
    "sum": np.sum,
    "max": np.max,
    "min": np.min,
    "prod": np.prod,
    "l2": _l2,
}


@register_impls
class ElementwiseFunctions(Functions):
    """`nn.unary`, `nn.binary`, `nn.matmul`, `nn.softmax`, `nn.reduce`."""

    @impl(nn.UnaryOp)
    def run_unary(self, _: Interpreter, op: nn.UnaryOp, args: PythonValues) -> PythonValues:
        """The function of every element."""
        return (evaluate(op.function, args[0]),)

    @impl(nn.BinaryOp)
    def run_binary(self, _: Interpreter, op: nn.BinaryOp, args: PythonValues) -> PythonValues:
        """With broadcasting; division by zero is IEEE's."""
        with np.errstate(all="ignore"):
            return (BINARY[op.kind.data](args[0], args[1]),)

    @impl(nn.MatmulOp)
    def run_matmul(self, _: Interpreter, __: nn.MatmulOp, args: PythonValues) -> PythonValues:
        """Product of the last two extents."""
        return (self.product(args[0], args[1]),)

    @impl(nn.SoftmaxOp)
    def run_softmax(self, _: Interpreter, op: nn.SoftmaxOp, args: PythonValues) -> PythonValues:
        """Softmax or log-softmax, shifted by the maximum."""
        (x,) = args
        axis = op.axis.value.data
        shifted = x - x.max(axis=axis, keepdims=True)
        powers = np.exp(shifted)
        total = powers.sum(axis=axis, keepdims=True, dtype=self.sums).astype(np.float32)
        return (shifted - np.log(total) if op.log.value.data else powers / total,)

    @impl(nn.ReduceOp)
    def run_reduce(self, _: Interpreter, op: nn.ReduceOp, args: PythonValues) -> PythonValues:
        """Over the chosen extents."""
        keep = bool(op.keep.value.data)
        kind = args[0].dtype
        x = args[0] if kind == np.int64 else args[0].astype(self.sums, copy=False)
        made = REDUCE[op.kind.data](x, axis=op.axis_numbers, keepdims=keep)
        return (np.asarray(made, dtype=kind),)
