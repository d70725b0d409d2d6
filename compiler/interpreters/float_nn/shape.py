"""Operations that move elements."""

from __future__ import annotations

import numpy as np
from xdsl.interpreter import Interpreter, PythonValues, impl, register_impls

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn.reshape import target
from mohaq.compiler.interpreters.float_nn.base import Functions


@register_impls
class ShapeFunctions(Functions):
    """Views and copies; no arithmetic."""

    @impl(nn.TransposeOp)
    def run_transpose(self, _: Interpreter, op: nn.TransposeOp, args: PythonValues) -> PythonValues:
        """Extents in another order."""
        return (np.ascontiguousarray(args[0].transpose(op.order)),)

    @impl(nn.ReshapeOp)
    def run_reshape(self, _: Interpreter, op: nn.ReshapeOp, args: PythonValues) -> PythonValues:
        """New extents."""
        x, *like = args
        shape = target(x.shape, op.extents, like[0].shape if like else None)
        try:
            return (x.reshape(shape),)
        except ValueError:
            raise MohaqError(f"cannot reshape {list(x.shape)} to {list(op.extents)}") from None

    @impl(nn.UnsqueezeOp)
    def run_unsqueeze(self, _: Interpreter, op: nn.UnsqueezeOp, args: PythonValues) -> PythonValues:
        """New extents of 1."""
        return (np.expand_dims(args[0], op.axis_numbers),)

    @impl(nn.SqueezeOp)
    def run_squeeze(self, _: Interpreter, op: nn.SqueezeOp, args: PythonValues) -> PythonValues:
        """Without extents of 1."""
        (x,) = args
        if any(x.shape[a] != 1 for a in op.axis_numbers):
            raise MohaqError(f"extents {op.axis_numbers} of {list(x.shape)} are not 1")
        return (np.squeeze(x, op.axis_numbers),)

    @impl(nn.SliceOp)
    def run_slice(self, _: Interpreter, op: nn.SliceOp, args: PythonValues) -> PythonValues:
        """Part of one extent."""
        (x,) = args
        chosen = [slice(None)] * x.ndim
        chosen[op.axis.value.data] = op.range
        return (x[tuple(chosen)],)

    @impl(nn.FlipOp)
    def run_flip(self, _: Interpreter, op: nn.FlipOp, args: PythonValues) -> PythonValues:
        """One extent in reverse."""
        return (np.flip(args[0], op.axis.value.data),)

    @impl(nn.ConcatOp)
    def run_concat(self, _: Interpreter, op: nn.ConcatOp, args: PythonValues) -> PythonValues:
        """One after the other."""
        axis = op.axis.value.data
        rests = {tuple(n for i, n in enumerate(a.shape) if i != axis) for a in args}
        if len(rests) != 1:
            raise MohaqError(f"cannot join {', '.join(str(list(a.shape)) for a in args)}")
        return (np.concatenate(args, axis=axis),)

    @impl(nn.PadOp)
    def run_pad(self, _: Interpreter, op: nn.PadOp, args: PythonValues) -> PythonValues:
        """More elements at both ends of one extent."""
        (x,) = args
        axis, mode = op.axis.value.data, op.mode.data
        widths = [(0, 0)] * x.ndim
        widths[axis] = (op.before.value.data, op.after.value.data)
        if mode == "reflect" and max(widths[axis]) >= x.shape[axis]:
            raise MohaqError(f"cannot mirror {max(widths[axis])} of {x.shape[axis]} elements")
        if mode == "constant":
            value = np.asarray(op.value.value.data, dtype=x.dtype)
            return (np.pad(x, widths, constant_values=value),)
        return (np.pad(x, widths, mode="reflect" if mode == "reflect" else "edge"),)
