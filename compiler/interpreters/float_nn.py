"""Float32 semantics of `nn` in NumPy; equals PyTorch within 1e-5.

A tracer sees every layer's input and inner values; calibration collects ranges through it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.interpreter import (
    Interpreter,
    InterpreterFunctions,
    PythonValues,
    impl,
    register_impls,
)
from xdsl.interpreters.func import FuncFunctions

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LinearOp, SruOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.program import Program

Array = npt.NDArray[np.float32]

Tracer = Callable[[str, str, Array], None]
"""Called as tracer(layer, slot, values) for `input`, `output` and `state` of each layer."""


def sigmoid(x: Array) -> Array:
    """Logistic function without overflow warnings."""
    half: Array = np.tanh(x * np.float32(0.5))
    return half * np.float32(0.5) + np.float32(0.5)


def activate(kind: str, c: Array) -> Array:
    """Output activation of a cell."""
    if kind == "tanh":
        return np.tanh(c)
    return np.maximum(c, np.float32(0)) if kind == "relu" else c


@register_impls
class NnFunctions(InterpreterFunctions):
    """Implementations of the `nn` layers on float32 arrays."""

    def __init__(self, parameters: ParameterStore, tracer: Tracer | None) -> None:
        self.parameters = parameters
        self.tracer = tracer

    def trace(self, layer: str, slot: str, values: Array) -> None:
        """Show values to the tracer, if there is one."""
        if self.tracer is not None:
            self.tracer(layer, slot, values)

    @impl(LoadOp)
    def run_load(self, _: Interpreter, op: LoadOp, __: PythonValues) -> PythonValues:
        """The parameter's data."""
        return (self.parameters[op.symbol],)

    @impl(LinearOp)
    def run_linear(self, _: Interpreter, op: LinearOp, args: PythonValues) -> PythonValues:
        """x W^T + b."""
        x, weight, *bias = args
        self.trace(op.label, "input", x)
        y = x @ weight.T
        if bias:
            y = y + bias[0]
        self.trace(op.label, "output", y)
        return (y,)

    @impl(SruOp)
    def run_sru(self, _: Interpreter, op: SruOp, args: PythonValues) -> PythonValues:
        """All directions of an SRU layer."""
        x, weight, vector, bias, *init = args
        self.trace(op.label, "input", x)
        steps, batch, _features = x.shape
        count, gates, hidden, features = weight.shape
        rows = weight.reshape(count * gates * hidden, features)
        u = (x @ rows.T).reshape(steps, batch, count, gates, hidden)
        scale = np.float32(op.skip_scale.value.data)
        outputs, finals = [], []
        for d in range(count):
            skip = None
            if op.skip.data == "projected":
                skip = u[:, :, d, 3] * scale
            elif op.skip.data == "identity":
                skip = x[:, :, d * hidden : (d + 1) * hidden] * scale
            c = init[0][d] if init else np.zeros((batch, hidden), dtype=np.float32)
            reverse = op.direction.data == "reverse" or d == 1
            h, states = self._direction(op, u[:, :, d], skip, vector[d], bias[d], c, reverse)
            outputs.append(h)
            finals.append(states[0 if reverse else -1])
            # The state grid must hold candidates and skip terms as well.
            self.trace(op.label, "state", states)
            self.trace(op.label, "state", u[:, :, d, 0])
            if skip is not None:
                self.trace(op.label, "state", skip)
        result = np.concatenate(outputs, axis=-1)
        return result, np.stack(finals)

    @staticmethod
    def _direction(
        op: SruOp,
        u: Array,
        skip: Array | None,
        vector: Array,
        bias: Array,
        c: Array,
        reverse: bool,
    ) -> tuple[Array, Array]:
        steps = u.shape[0]
        h = np.empty((steps, *c.shape), dtype=np.float32)
        states = np.empty_like(h)
        for t in reversed(range(steps)) if reverse else range(steps):
            f = sigmoid(u[t, :, 1] + vector[0] * c + bias[0])
            r = sigmoid(u[t, :, 2] + vector[1] * c + bias[1])
            c = f * c + (1 - f) * u[t, :, 0]
            h[t] = r * activate(op.activation.data, c)
            if skip is not None:
                h[t] += (1 - r) * skip[t]
            states[t] = c
        return h, states


def run_float(
    program: Program, inputs: Sequence[npt.ArrayLike], *, tracer: Tracer | None = None
) -> tuple[Array, ...]:
    """Run `main` of an `nn` program.

    Args:
        program: the program.
        inputs: one float array for each argument, sequences as [T, B, F].
        tracer: sees inputs, outputs and states of every layer.

    Returns:
        One float32 array for each result.

    Raises:
        MohaqError: inputs of the wrong number or shape, NaN or infinity among them.
    """
    entry = program.entry
    if len(inputs) != len(entry.args):
        raise MohaqError(f"the program takes {len(entry.args)} inputs, got {len(inputs)}")
    arrays: list[npt.NDArray[Any]] = []
    for number, (value, arg) in enumerate(zip(inputs, entry.args, strict=True)):
        array = np.asarray(value, dtype=np.float32)
        shape = shape_of(arg)
        if len(shape) != array.ndim or any(
            want not in (DYNAMIC, got) for want, got in zip(shape, array.shape, strict=True)
        ):
            raise MohaqError(
                f"shape {array.shape} does not fit {arg.type}", where=f"input {number}"
            )
        if array.size == 0:
            raise MohaqError("there are no values", where=f"input {number}")
        if not np.isfinite(array).all():
            raise MohaqError("the values hold NaN or infinity", where=f"input {number}")
        arrays.append(array)
    interpreter = Interpreter(program.module)
    interpreter.register_implementations(FuncFunctions())
    interpreter.register_implementations(NnFunctions(program.parameters, tracer))
    return tuple(interpreter.call_op(entry, tuple(arrays)))
