"""Comparisons, choices and whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from xdsl.dialects.builtin import IntegerType
from xdsl.interpreter import Interpreter, PythonValues, impl, register_impls

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import element_of
from mohaq.compiler.interpreters.float_nn.base import Functions

RELATIONS: dict[str, Callable[..., Any]] = {
    "equal": np.equal,
    "less": np.less,
    "less_or_equal": np.less_equal,
    "greater": np.greater,
    "greater_or_equal": np.greater_equal,
}


@register_impls
class ChoiceFunctions(Functions):
    """`nn.compare`, `nn.select`, `nn.cast`, `nn.arg_reduce`."""

    @impl(nn.CompareOp)
    def run_compare(self, _: Interpreter, op: nn.CompareOp, args: PythonValues) -> PythonValues:
        """0 and 1."""
        made = RELATIONS[op.relation.data](args[0], args[1])
        return (np.asarray(made, dtype=np.float32),)

    @impl(nn.SelectOp)
    def run_select(self, _: Interpreter, __: nn.SelectOp, args: PythonValues) -> PythonValues:
        """Element by element."""
        condition, chosen, other = args
        return (np.where(condition != 0, chosen, other),)

    @impl(nn.CastOp)
    def run_cast(self, _: Interpreter, op: nn.CastOp, args: PythonValues) -> PythonValues:
        """Between real and whole numbers."""
        whole = isinstance(element_of(op.result), IntegerType)
        return (np.asarray(args[0]).astype(np.int64 if whole else np.float32),)

    @impl(nn.ArgReduceOp)
    def run_arg_reduce(
        self, _: Interpreter, op: nn.ArgReduceOp, args: PythonValues
    ) -> PythonValues:
        """The first place."""
        find = np.argmax if op.kind.data == "max" else np.argmin
        keep = bool(op.keep.value.data)
        return (np.asarray(find(args[0], axis=op.axis.value.data, keepdims=keep), dtype=np.int64),)
