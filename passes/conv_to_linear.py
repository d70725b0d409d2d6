"""`conv-to-linear`: convolutions that look at one step at a time become linear layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from mohaq.compiler.context import store
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import Conv1dOp, LinearOp
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.parameters import tensor_type
from mohaq.compiler.program import Program

ANNOTATIONS = ("given", "calibration", "quant")
"""Kept: a linear layer has the slots of a convolution, and its weight the same values."""


def conv_to_linear(program: Program) -> list[str]:
    """Rewrite in place; gives the names of the layers that changed.

    An `nn.conv1d` with kernel 1, stride 1, one group and no padding is a linear layer between
    transposes, [B, C, T] -> [T, B, C] and back. Strided convolutions that do not overlap stay:
    their last window may be cut off, which no operation says for a symbolic number of steps.
    """
    block = program.entry.body.block
    done = []
    for op in [o for o in block.ops if isinstance(o, Conv1dOp)]:
        load = op.weight.owner
        if not isinstance(load, LoadOp) or not _one_step(program, op):
            continue
        steps = nn.TransposeOp(op.input, (2, 0, 1))
        weight = _matrix(program, load)
        layer = LinearOp(op.label, steps.result, weight.result, op.bias)
        for key in ANNOTATIONS:
            if key in op.attributes:
                layer.attributes[key] = op.attributes[key]
        back = nn.TransposeOp(layer.result, (1, 2, 0))
        for made in (steps, weight, layer, back):
            block.insert_op_before(made, op)
        op.result.replace_all_uses_with(back.result)
        block.erase_op(op)
        if not list(load.result.uses):
            block.erase_op(load)
        done.append(op.label)
    if done:
        program.prune_parameters()
    return done


def _one_step(program: Program, op: Conv1dOp) -> bool:
    assert isinstance(op.weight.owner, LoadOp)
    kernel = program.parameters[op.weight.owner.symbol].shape[2]
    plain = op.stride.value.data == op.groups.value.data == 1 and op.pads == (0, 0)
    return kernel == 1 and plain


def _matrix(program: Program, load: LoadOp) -> LoadOp:
    """The weight [N, C, 1] as [N, C], under a new name; the same name for the same weight."""
    values = np.ascontiguousarray(program.parameters[load.symbol][:, :, 0])
    declared = program.declared()
    name, number = f"{load.symbol}.matrix", 1
    while name in declared and not np.array_equal(program.parameters[name], values):
        number += 1
        name = f"{load.symbol}.matrix_{number}"
    kind = tensor_type(values)
    if name not in declared:
        program.parameters[name] = values
        top = program.module.body.block
        top.insert_op_before(DeclareOp(name, kind), declared[load.symbol])
    return LoadOp(name, kind)


@dataclass(frozen=True)
class ConvToLinearPass(ModulePass):
    """Turn convolutions with kernel 1 into linear layers between transposes.

    Targets run linear layers, not convolutions. `time-first` and `canonicalize` afterwards
    remove the transposes beside recurrent layers.
    """

    name: ClassVar[str] = "conv-to-linear"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Change the module and the context's parameters."""
        conv_to_linear(Program(op, store(ctx)))
