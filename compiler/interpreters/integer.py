"""THE integer semantics: what every `qnn` program means (DESIGN D5, docs/semantics.md).

Plain NumPy int64, one short function an operation. Every other executor (the search's
evaluator, simulators, emitted C) is compared with this one, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import IntegerType, Signedness, TensorType
from xdsl.interpreter import (
    Interpreter,
    InterpreterFunctions,
    PythonValues,
    ReturnedValues,
    TerminatorValue,
    impl,
    impl_terminator,
    register_impls,
)
from xdsl.interpreters.func import FuncFunctions
from xdsl.ir import Attribute, SSAValue
from xdsl.utils.exceptions import InterpretationError
from xdsl.utils.hints import isa

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.qnn.table import PiecewiseOp, TableOp, reading
from mohaq.compiler.dialects.types import DYNAMIC, int_range, int_width
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.program import Program

Array = npt.NDArray[np.int64]


def saturate(x: Array, value: SSAValue) -> Array:
    """Clamp to the integer type of a value."""
    width, signed = int_width(value)
    low, high = int_range(width, signed=signed)
    clamped: Array = np.clip(x, low, high)
    return clamped


def round_shift(x: Array, shift: int) -> Array:
    """(x + 2^(shift-1)) >> shift, arithmetic; shift 0 leaves x alone."""
    return (x + (1 << (shift - 1))) >> shift if shift else x


def floor_shift(x: Array, shift: int) -> Array:
    """floor(x / 2^shift); a negative shift multiplies."""
    return x >> shift if shift >= 0 else x << -shift


def saturating_product(x: Array, w: Array, bits: int) -> Array:
    """x W^T of [..., K] and [N, K], clamped to `bits` after each of the K additions in order."""
    low, high = int_range(bits)
    total = np.zeros((*x.shape[:-1], w.shape[0]), dtype=np.int64)
    for k in range(w.shape[1]):
        np.clip(total + x[..., k, None] * w[:, k], low, high, out=total)
    return total


def interpolate(x: Array, points: Array) -> Array:
    """A table at 16-bit inputs: lines between 2^k + 1 points, or 2^k steps."""
    shift, between = reading(len(points))
    position = x + 32768
    i, r = position >> shift, position & ((1 << shift) - 1)
    left: Array = points[i]
    if not between:
        return left
    value: Array = left + (((points[i + 1] - left) * r + (1 << (shift - 1))) >> shift)
    return value


@register_impls
class QnnFunctions(InterpreterFunctions):
    """Implementations of all `qnn` operations on int64 arrays."""

    def __init__(self, parameters: ParameterStore) -> None:
        self.parameters = parameters

    @impl(LoadOp)
    def run_load(self, _: Interpreter, op: LoadOp, __: PythonValues) -> PythonValues:
        """The parameter's integers."""
        return (self.parameters[op.symbol].astype(np.int64),)

    @impl(qnn.MatmulOp)
    def run_matmul(self, _: Interpreter, op: qnn.MatmulOp, args: PythonValues) -> PythonValues:
        """x W^T, clamped after every addition if need be; a sum beyond the stated bound is an error of the program."""
        x, w = args
        if op.acc.saturates:
            return (saturating_product(x, w, op.acc.width.data),)
        total = x @ w.T
        if total.size and max(int(total.max()), -int(total.min())) > op.acc.bound.data:
            raise InterpretationError(f"a sum exceeds its bound {op.acc.bound.data}")
        return (total,)

    @impl(qnn.BiasOp)
    def run_bias(self, _: Interpreter, op: qnn.BiasOp, args: PythonValues) -> PythonValues:
        """acc * 2^acc_shift + b * 2^bias_shift."""
        acc, bias = args
        return ((acc << op.acc_shift.value.data) + (bias << op.bias_shift.value.data),)

    @impl(qnn.RequantizeOp)
    def run_requantize(
        self, _: Interpreter, op: qnn.RequantizeOp, args: PythonValues
    ) -> PythonValues:
        """clamp((x * m + 2^(s-1)) >> s), with (m, s) of the channel's run."""
        (x,) = args
        scales = op.scales()
        parts = [
            round_shift(run * m, s)
            for run, (m, s) in zip(np.split(x, len(scales), axis=-1), scales, strict=True)
        ]
        return (saturate(np.concatenate(parts, axis=-1), op.result),)

    @impl(qnn.SaturateOp)
    def run_saturate(self, _: Interpreter, op: qnn.SaturateOp, args: PythonValues) -> PythonValues:
        """Clamp to the result type."""
        return (saturate(args[0], op.result),)

    @impl(qnn.AddOp)
    def run_add(self, _: Interpreter, __: qnn.AddOp, args: PythonValues) -> PythonValues:
        """a + b."""
        return (args[0] + args[1],)

    @impl(qnn.MulOp)
    def run_mul(self, _: Interpreter, __: qnn.MulOp, args: PythonValues) -> PythonValues:
        """a * b."""
        return (args[0] * args[1],)

    @impl(qnn.ShlOp)
    def run_shl(self, _: Interpreter, op: qnn.ShlOp, args: PythonValues) -> PythonValues:
        """x * 2^amount."""
        return (args[0] << op.amount.value.data,)

    @impl(qnn.ShrOp)
    def run_shr(self, _: Interpreter, op: qnn.ShrOp, args: PythonValues) -> PythonValues:
        """clamp(floor(x / 2^s)), with s of the channel's run."""
        runs = np.split(args[0], len(op.amounts()), axis=-1)
        parts = [floor_shift(run, s) for run, s in zip(runs, op.amounts(), strict=True)]
        return (saturate(np.concatenate(parts, axis=-1), op.result),)

    @impl(qnn.RsubOp)
    def run_rsub(self, _: Interpreter, op: qnn.RsubOp, args: PythonValues) -> PythonValues:
        """constant - x."""
        return (op.constant.value.data - args[0],)

    @impl(qnn.LookupOp)
    def run_lookup(
        self, interpreter: Interpreter, op: qnn.LookupOp, args: PythonValues
    ) -> PythonValues:
        """The table's value."""
        table = interpreter.get_op_for_symbol(op.table)
        assert isinstance(table, (TableOp, PiecewiseOp))
        return (interpolate(args[0], np.array(table.values(), dtype=np.int64)),)

    @impl(qnn.SplitOp)
    def run_split(self, _: Interpreter, __: qnn.SplitOp, args: PythonValues) -> PythonValues:
        """(x >> 8, x & 255)."""
        return args[0] >> 8, args[0] & 255

    @impl(qnn.SliceOp)
    def run_slice(self, _: Interpreter, op: qnn.SliceOp, args: PythonValues) -> PythonValues:
        """Channels [offset, offset + size)."""
        start = op.offset.value.data
        return (args[0][..., start : start + op.size.value.data],)

    @impl(qnn.ConcatOp)
    def run_concat(self, _: Interpreter, __: qnn.ConcatOp, args: PythonValues) -> PythonValues:
        """Parts joined along the last extent."""
        return (np.concatenate(args, axis=-1),)

    @impl(qnn.SelectOp)
    def run_select(self, _: Interpreter, op: qnn.SelectOp, args: PythonValues) -> PythonValues:
        """Entry `index` of the first extent."""
        return (args[0][op.index.value.data],)

    @impl(qnn.StackOp)
    def run_stack(self, _: Interpreter, __: qnn.StackOp, args: PythonValues) -> PythonValues:
        """Parts as entries of a new first extent."""
        return (np.stack(args),)

    @impl(qnn.ScanOp)
    def run_scan(
        self, interpreter: Interpreter, op: qnn.ScanOp, args: PythonValues
    ) -> PythonValues:
        """The body once a time step, first to last or last to first."""
        inputs, init = args[: len(op.inputs)], args[len(op.inputs) :]
        steps, batch = inputs[0].shape[:2]
        state_args = op.body.block.args[len(op.inputs) :]
        states = init or tuple(
            np.zeros((batch, _last_extent(a)), dtype=np.int64) for a in state_args
        )
        outputs: list[list[Array]] = [[] for _ in range(op.output_count)]
        order = range(steps) if op.direction.data == "forward" else reversed(range(steps))
        for t in order:
            given = (*(x[t] for x in inputs), *states)
            yielded = interpreter.run_ssacfg_region(op.body, given, "scan")
            for held, value in zip(outputs, yielded[: op.output_count], strict=True):
                held.append(value)
            states = yielded[op.output_count :]
        if op.direction.data == "reverse":
            for held in outputs:
                held.reverse()
        return (*(np.stack(held) for held in outputs), *states)

    @impl_terminator(qnn.YieldOp)
    def run_yield(
        self, _: Interpreter, __: qnn.YieldOp, args: PythonValues
    ) -> tuple[TerminatorValue, PythonValues]:
        """Ends a step."""
        return ReturnedValues(args), ()


def _last_extent(value: SSAValue) -> int:
    kind = value.type
    assert isa(kind, TensorType[Attribute])
    return kind.get_shape()[-1]


def run_integer(program: Program, inputs: Sequence[npt.ArrayLike]) -> tuple[Array, ...]:
    """Run `main` of a `qnn` program.

    Args:
        program: neutral or legalized.
        inputs: one integer array for each argument, sequences as [T, B, F].

    Returns:
        One int64 array for each result.

    Raises:
        MohaqError: inputs of the wrong number, shape or range; a sum beyond its stated bound.
    """
    entry = program.entry
    if len(inputs) != len(entry.args):
        raise MohaqError(f"the program takes {len(entry.args)} inputs, got {len(inputs)}")
    arrays = tuple(
        check_input(position, value, entry.args[position].type)
        for position, value in enumerate(inputs)
    )
    interpreter = Interpreter(program.module)
    interpreter.register_implementations(FuncFunctions())
    interpreter.register_implementations(QnnFunctions(program.parameters))
    try:
        return tuple(interpreter.call_op(entry, arrays))
    except InterpretationError as error:
        raise MohaqError("the integer program failed", why=str(error)) from None


def check_input(position: int, value: npt.ArrayLike, kind: Attribute) -> Array:
    """An input as int64, checked against the type of its argument.

    Raises:
        MohaqError: not integers, wrong shape, out of range, no time steps.
    """
    where = f"input {position}"
    array: npt.NDArray[Any] = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise MohaqError(f"integers are needed, got {array.dtype}", where=where)
    if not isa(kind, TensorType[Attribute]) or not isinstance(kind.element_type, IntegerType):
        raise MohaqError(f"the program's argument is {kind}, not an integer tensor", where=where)
    shape = kind.get_shape()
    if len(shape) != array.ndim or any(
        want not in (DYNAMIC, got) for want, got in zip(shape, array.shape, strict=True)
    ):
        raise MohaqError(f"shape {array.shape} does not fit {kind}", where=where)
    if 0 in array.shape:
        raise MohaqError(f"shape {array.shape} holds no values", where=where)
    signed = kind.element_type.signedness.data is not Signedness.UNSIGNED
    low, high = int_range(kind.element_type.width.data, signed=signed)
    if int(array.min()) < low or int(array.max()) > high:
        raise MohaqError(f"values leave the range {low}..{high}", where=where)
    return array.astype(np.int64)
