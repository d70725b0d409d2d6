"""LSTM, GRU and RNN with every attribute of their operator pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FUNCTIONS, FunctionAttr
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.frontends.onnx.convert import (
    Array,
    GraphImporter,
    GridConstant,
    Held,
    Node,
    Spread,
    converts,
)

NAMES = {
    "relu": "relu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "softsign": "softsign",
    "softplus": "softplus",
    "affine": "affine",
    "leakyrelu": "leaky_relu",
    "thresholdedrelu": "thresholded_relu",
    "scaledtanh": "scaled_tanh",
    "hardsigmoid": "hard_sigmoid",
    "elu": "elu",
}
"""Activation of the operator page, in lower case -> ours."""

LSTM_GATES = (0, 2, 3, 1)  # ONNX i, o, f, c -> ours i, f, g, o
LSTM_PEEPHOLES = (0, 2, 1)  # ONNX i, o, f -> ours i, f, o
GRU_GATES = (1, 0, 2)  # ONNX z, r, h -> ours r, z, n


class Cell:
    """What the three operators share, read from a node."""

    def __init__(self, work: GraphImporter, node: Node, gates: int, kind: str) -> None:
        self.work, self.node, self.gates = work, node, gates
        self.direction = str(node.get("direction", "forward")).lower()
        if self.direction not in nn.DIRECTIONS:
            raise node.refuse(f"direction '{self.direction}' is unknown")
        self.count = nn.DIRECTIONS[self.direction]
        self.batch_first = bool(node.get("layout", 0))
        x = work.tensor(node, 0)
        if len(shape_of(x)) != 3:
            raise node.refuse(f"its input has {len(shape_of(x))} extents instead of 3")
        self.label = work.label(node, kind)
        self.x = work.add(node, nn.TransposeOp(x, (1, 0, 2))) if self.batch_first else x
        weight = work.constant(node, 1, "weight W")
        recurrent = work.constant(node, 2, "recurrent weight R")
        if weight.ndim != 3 or recurrent.ndim != 3:
            raise node.refuse("W and R must have 3 extents")
        self.hidden = int(node.get("hidden_size", recurrent.shape[2]))
        wanted = (self.count, gates * self.hidden)
        if weight.shape[:2] != wanted or recurrent.shape != (*wanted, self.hidden):
            raise node.refuse(
                f"W is {list(weight.shape)} and R {list(recurrent.shape)}, expected "
                f"[{wanted[0]}, {wanted[1]}, I] and [{wanted[0]}, {wanted[1]}, {self.hidden}]"
            )

    def weight(self, position: int, title: str, order: Sequence[int]) -> SSAValue:
        """W or R as [D, G, H, .] in our order of gates."""
        held = self.work.held(self.node, position)
        array = self.work.constant(self.node, position, title)
        name = f"{self.label}.{title}"
        if isinstance(held, GridConstant) and held.grid.scale.size > 1:
            from mohaq.compiler.frontends.onnx.quantized import quantized_rows

            rows = np.arange(self.gates * self.hidden).reshape(self.gates, self.hidden)
            every = np.broadcast_to(rows[list(order)], (self.count, self.gates, self.hidden))
            return quantized_rows(self.work, self.node, name, held, every)
        ours = array.reshape(self.count, self.gates, self.hidden, -1)[:, list(order)]
        return self._kept(name, held, ours)

    def _kept(self, name: str, held: Held, ours: Array) -> SSAValue:
        """A parameter, with the grid that it came in."""
        if isinstance(held, GridConstant):
            from mohaq.compiler.frontends.onnx.quantized import quantized_parameter

            return quantized_parameter(self.work, self.node, name, held, ours, None)
        return self.work.parameter(name, np.ascontiguousarray(ours))

    def biases(self, order: Sequence[int]) -> tuple[Array, Array] | None:
        """Input and recurrent biases [D, G, H] in our order, or None."""
        if not self.node.given(3):
            return None
        array = self.work.constant(self.node, 3, "bias B")
        if array.shape != (self.count, 2 * self.gates * self.hidden):
            raise self.node.refuse(f"its bias is {list(array.shape)}")
        both = array.astype(np.float32).reshape(self.count, 2, self.gates, self.hidden)
        both = both[:, :, list(order)]
        return both[:, 0], both[:, 1]

    def parameter(self, title: str, array: Array) -> SSAValue:
        """A parameter of this layer."""
        return self.work.parameter(f"{self.label}.{title}", np.ascontiguousarray(array))

    def state(self, position: int, title: str) -> SSAValue | None:
        """An initial state [D, B, H]; zeros are left out."""
        if not self.node.given(position):
            return None
        held = self.work.held(self.node, position)
        if isinstance(held, Spread):
            held = self._spread(held)
        if isinstance(held, np.ndarray) and held.dtype != object:
            if not held.any():
                return None
            array = held.transpose(1, 0, 2) if self.batch_first else held
            return self.parameter(title, array)
        value = self.work.as_value(self.node, held, title)
        if self.batch_first:
            value = self.work.add(self.node, nn.TransposeOp(value, (1, 0, 2)))
        return value

    def _spread(self, held: Spread) -> Held:
        """One row for all sequences, which is what a state of batch extent 1 means."""
        batch = 0 if self.batch_first else 1
        if isinstance(held.value, np.ndarray):
            wanted = tuple(1 if n == batch else size for n, size in enumerate(held.extents))
            if all(isinstance(size, int) for size in wanted):
                return np.broadcast_to(held.value, wanted)
        elif len(held.extents) == 3 and all(
            n == batch or isinstance(size, int) for n, size in enumerate(held.extents)
        ):
            return held.value
        raise self.node.refuse("an initial state is repeated along a symbolic extent")

    def lengths(self) -> SSAValue | None:
        """sequence_lens; a constant that says full length is left out."""
        if not self.node.given(4):
            return None
        held = self.work.held(self.node, 4)
        if isinstance(held, np.ndarray):
            steps = self.work.extents.of(self.x)[0]
            if all(bool(n == steps) for n in held.reshape(-1).tolist()):
                return None
            if held.dtype == object:
                raise self.node.refuse("its sequence_lens depend on another tensor's size")
            return self.work.parameter(f"{self.label}.lengths", held.astype(np.int64))
        return self.work.tensor(self.node, 4)

    def common(self, roles: int, defaults: Sequence[str]) -> dict[str, Any]:
        """direction, lengths, functions and clip."""
        clip = self.node.get("clip")
        return {
            "direction": self.direction,
            "lengths": self.lengths(),
            "activations": self._functions(roles, defaults),
            "clip": None if clip is None or clip <= 0 else float(clip),
        }

    def _functions(self, roles: int, defaults: Sequence[str]) -> list[FunctionAttr] | None:
        names = self.node.get("activations")
        if not names:
            return None
        if len(names) == roles and self.count == 2:  # some exporters name one direction
            names = list(names) * 2
        if len(names) != roles * self.count:
            raise self.node.refuse(f"{len(names)} activations, expected {roles * self.count}")
        alpha = list(self.node.get("activation_alpha", []))
        beta = list(self.node.get("activation_beta", []))
        found = []
        for name in names:
            kind = NAMES.get(str(name).lower())
            if kind is None:
                raise self.node.refuse(f"its activation '{name}' is unknown")
            values = list(FUNCTIONS[kind])
            # The lists hold values only for functions that have such a parameter, in order.
            if len(values) > 0 and alpha:
                values[0] = alpha.pop(0)
            if len(values) > 1 and beta:
                values[1] = beta.pop(0)
            found.append(FunctionAttr.of(kind, *values))
        usual = [FunctionAttr.of(d) for d in defaults] * self.count
        return None if found == usual else found

    def outputs(self, result: SSAValue, finals: Sequence[SSAValue]) -> list[Held]:
        """Y [T, D, B, H] and the final states, in the node's layout; only what is used."""
        work, node = self.work, self.node
        y: Held = None
        if node.outputs and node.outputs[0]:
            if self.count == 1:
                y = work.add(node, nn.UnsqueezeOp(result, [1]))
            else:
                y = work.add(node, nn.ReshapeOp(result, (0, 0, self.count, self.hidden)))
                y = work.add(node, nn.TransposeOp(y, (0, 2, 1, 3)))
            if self.batch_first:
                y = work.add(node, nn.TransposeOp(y, (2, 0, 1, 3)))
        shown = []
        for name, final in zip(node.outputs[1:], finals, strict=False):
            turn = name and self.batch_first
            shown.append(work.add(node, nn.TransposeOp(final, (1, 0, 2))) if turn else final)
        return [y, *shown]


def _merged(cell: Cell, biases: tuple[Array, Array] | None) -> SSAValue | None:
    if biases is None:
        return None
    return cell.parameter("bias", biases[0] + biases[1])


@converts("RNN", to="nn.rnn")
def rnn(work: GraphImporter, node: Node) -> list[Held]:
    """nn.rnn."""
    cell = Cell(work, node, 1, "rnn")
    op = nn.RnnOp(
        cell.label,
        cell.x,
        cell.weight(1, "weight", (0,)),
        cell.weight(2, "recurrent", (0,)),
        _merged(cell, cell.biases((0,))),
        initial_state=cell.state(5, "initial_h"),
        **cell.common(1, nn.RnnOp.DEFAULTS),
    )
    work.add(node, op)
    return cell.outputs(op.result, [op.final_state])


@converts("GRU", to="nn.gru")
def gru(work: GraphImporter, node: Node) -> list[Held]:
    """nn.gru; reset_after is linear_before_reset."""
    cell = Cell(work, node, 3, "gru")
    after = bool(node.get("linear_before_reset", 0))
    both = cell.biases(GRU_GATES)
    bias = recurrent_bias = None
    if both is not None:
        first, second = both
        if after:
            apart = second[:, 2].copy()
            second = second.copy()
            second[:, 2] = 0
            recurrent_bias = cell.parameter("recurrent_bias", apart)
        bias = cell.parameter("bias", first + second)
    op = nn.GruOp(
        cell.label,
        cell.x,
        cell.weight(1, "weight", GRU_GATES),
        cell.weight(2, "recurrent", GRU_GATES),
        bias,
        recurrent_bias=recurrent_bias,
        initial_state=cell.state(5, "initial_h"),
        reset_after=after,
        **cell.common(2, nn.GruOp.DEFAULTS),
    )
    work.add(node, op)
    return cell.outputs(op.result, [op.final_state])


@converts("LSTM", to="nn.lstm")
def lstm(work: GraphImporter, node: Node) -> list[Held]:
    """nn.lstm; coupled is input_forget."""
    cell = Cell(work, node, 4, "lstm")
    peephole = None
    if node.given(7):
        array = work.constant(node, 7, "peephole weight P")
        ours = array.reshape(cell.count, 3, cell.hidden)[:, list(LSTM_PEEPHOLES)]
        if ours.any():
            peephole = cell.parameter("peephole", ours)
    op = nn.LstmOp(
        cell.label,
        cell.x,
        cell.weight(1, "weight", LSTM_GATES),
        cell.weight(2, "recurrent", LSTM_GATES),
        _merged(cell, cell.biases(LSTM_GATES)),
        peephole=peephole,
        initial_h=cell.state(5, "initial_h"),
        initial_c=cell.state(6, "initial_c"),
        coupled=bool(node.get("input_forget", 0)),
        **cell.common(3, nn.LstmOp.DEFAULTS),
    )
    work.add(node, op)
    return cell.outputs(op.result, [op.final_h, op.final_c])
