"""`fold-batchnorm`: batch normalizations become part of the weights beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue
from xdsl.passes import ModulePass

from mohaq.compiler.context import store
from mohaq.compiler.dialects.nn import BatchNormOp, Conv1dOp, LayerOp, LiGruOp, LinearOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.program import Program

Wide = npt.NDArray[np.float64]


def fold_batchnorm(program: Program) -> list[str]:
    """Fold in place; gives the names of the layers that took a normalization in.

    - after a linear layer or a convolution whose result nothing else reads: the rows of its
      weight are scaled, its bias scaled and shifted;
    - before a linear layer that alone reads it: the columns of its weight are scaled, the shift
      goes through the weight into the bias;
    - the norm of an `nn.ligru`: the rows of its input weight, and its bias.

    Computed in float64. A normalization that has no such neighbour stays, and one beside a
    layer whose slots came with grids that the folding would change.
    """
    folder = _Folder(program)
    done: list[str] = []
    while found := folder.once():  # one that went may have stood before another
        done += found
    program.prune_parameters()
    return list(dict.fromkeys(done))


def _given(layer: LayerOp, *slots: str) -> bool:
    """Whether the model came with a grid for one of the slots."""
    return layer.given is not None and any(slot in layer.given.data for slot in slots)


class _Folder:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._block: Block = program.entry.body.block

    def once(self) -> list[str]:
        """Fold what can be folded as the program stands."""
        done: list[str] = []
        for op in list(self._block.ops):
            if isinstance(op, LiGruOp) and op.norm is not None and self.light(op):
                done.append(op.label)
            elif isinstance(op, BatchNormOp):
                name = self.after(op) or self.before(op)
                if name is not None:
                    done.append(name)
        return done

    def _data(self, value: SSAValue | None) -> Wide | None:
        if value is None or not isinstance(value.owner, LoadOp):
            return None
        found: Wide = self._program.parameters[value.owner.symbol].astype(np.float64)
        return found

    def _parameter(self, name: str, values: npt.NDArray[Any], before: Any) -> SSAValue:
        """A new parameter, loaded before an operation."""
        load = LoadOp(*self._program.declare(name, values))
        self._block.insert_op_before(load, before)
        return load.result

    def _scale_shift(self, op: BatchNormOp) -> tuple[Wide, Wide] | None:
        """y = scale x + shift."""
        held = [self._data(v) for v in (op.gamma, op.beta, op.mean, op.var)]
        if any(h is None for h in held):
            return None
        gamma, beta, mean, var = (h for h in held if h is not None)
        scale = gamma / np.sqrt(var + float(op.epsilon.value.data))
        return scale, beta - mean * scale

    def light(self, op: LiGruOp) -> bool:
        """The norm of a light GRU: [D, 2, 4, H]."""
        norm, weight, bias = (self._data(v) for v in (op.norm, op.weight, op.bias))
        if norm is None or weight is None or (op.bias is not None and bias is None):
            return False
        if _given(op, "weight"):
            return False
        gamma, beta, mean, var = (norm[:, :, n] for n in range(4))
        scale = gamma / np.sqrt(var + float(op.epsilon.value.data))
        total = beta - mean * scale + (0.0 if bias is None else bias)
        made = LiGruOp(
            op.label,
            op.input,
            self._parameter(f"{op.label}.weight.folded", weight * scale[..., None], op),
            op.recurrent,
            self._parameter(f"{op.label}.bias.folded", total, op),
            initial_state=op.initial_state,
            lengths=op.lengths,
            direction=op.direction.data,
            epsilon=float(op.epsilon.value.data),
            clip=op.limit,
        )
        if op.activations is not None:
            made.activations = op.activations
        self._replace(op, made)
        return True

    def after(self, op: BatchNormOp) -> str | None:
        """A normalization of a layer's result."""
        layer, folded = op.input.owner, self._scale_shift(op)
        if folded is None or not isinstance(layer, (LinearOp, Conv1dOp)):
            return None
        channels = 1 if isinstance(layer, Conv1dOp) else len(shape_of(op.input)) - 1
        weight, bias = self._data(layer.weight), self._data(layer.bias)
        if (
            op.axis.value.data != channels
            or weight is None
            or (layer.bias is not None and bias is None)
            or len(list(layer.result.uses)) != 1
            or _given(layer, "weight")
        ):
            return None
        scale, shift = folded
        rows = scale.reshape(-1, *[1] * (weight.ndim - 1))
        total = shift + (0.0 if bias is None else bias * scale)
        self._rebuild(layer, op, weight * rows, total)
        return layer.label

    def before(self, op: BatchNormOp) -> str | None:
        """A normalization of a linear layer's input."""
        folded, uses = self._scale_shift(op), list(op.result.uses)
        if folded is None or len(uses) != 1:
            return None
        layer = uses[0].operation
        if not isinstance(layer, LinearOp) or uses[0].index != 0:
            return None
        weight, bias = self._data(layer.weight), self._data(layer.bias)
        last = len(shape_of(op.input)) - 1
        if (
            op.axis.value.data != last
            or weight is None
            or (layer.bias is not None and bias is None)
            or _given(layer, "weight", "input")
        ):
            return None
        scale, shift = folded
        total = weight @ shift + (0.0 if bias is None else bias)
        op.result.replace_all_uses_with(op.input)
        self._block.erase_op(op)
        self._rebuild(layer, layer, weight * scale, total)
        return layer.label

    def _rebuild(self, layer: LinearOp | Conv1dOp, replaced: Any, weight: Wide, bias: Wide) -> None:
        """The layer with other parameters, in the place of an operation after it or of itself."""
        w = self._parameter(f"{layer.label}.weight.folded", weight, layer)
        b = self._parameter(f"{layer.label}.bias.folded", bias, layer)
        made: LinearOp | Conv1dOp
        if isinstance(layer, LinearOp):
            made = LinearOp(layer.label, layer.input, w, b)
        else:
            made = Conv1dOp(
                layer.label,
                layer.input,
                w,
                b,
                stride=layer.stride.value.data,
                dilation=layer.dilation.value.data,
                pads=layer.pads,
                groups=layer.groups.value.data,
            )
        if layer.given is not None:
            made.given = layer.given
        self._block.insert_op_before(made, layer)
        replaced.results[0].replace_all_uses_with(made.results[0])
        self._block.erase_op(replaced)
        if replaced is not layer:
            self._block.erase_op(layer)

    def _replace(self, old: LiGruOp, new: LiGruOp) -> None:
        self._block.insert_op_before(new, old)
        for before, after in zip(old.results, new.results, strict=True):
            before.replace_all_uses_with(after)
        self._block.erase_op(old)


@dataclass(frozen=True)
class FoldBatchnormPass(ModulePass):
    """Fold batch normalizations into the weights and biases of the layers beside them.

    Takes in the norm of light GRUs, normalizations after linear layers and convolutions, and
    before linear layers; others stay. Drops calibration of the layers that change.
    """

    name: ClassVar[str] = "fold-batchnorm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Change the module and the context's parameters."""
        fold_batchnorm(Program(op, store(ctx)))
