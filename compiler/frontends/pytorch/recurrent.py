"""torch.nn.LSTM, GRU and RNN, and their cells: one `nn` operation a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.frontends.pytorch.chains import TIME
from mohaq.compiler.frontends.pytorch.importer import (
    Array,
    Call,
    Filled,
    Held,
    Importer,
    Repeated,
    array_of,
    handles,
)

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}


def state_part(call: Call, state: Held, start: int, count: int, title: str) -> SSAValue | None:
    """Rows [start, start + count) of an initial state [L*D, B, H]; zeros are left out."""
    if state is None or (isinstance(state, Filled) and state.value == 0):
        return None
    if isinstance(state, torch.Tensor):
        part = array_of(state)[start : start + count]
        return call.work.named(title, part) if part.any() else None
    value = _one_row(call, state, title)
    if shape_of(value)[0] == count:
        return value
    return call.add(nn.SliceOp(value, 0, start, start + count))


def _one_row(call: Call, state: Held, title: str) -> SSAValue:
    """A state; one row that is repeated for all sequences stays one row."""
    if isinstance(state, Repeated):
        if shape_of(state.value)[1] == 1 and len(state.extents) == 3:
            return state.value
        raise call.refuse("its state is repeated along a symbolic extent")
    return call.work.as_value(call, state, title)


class Stack:
    """The layers of one call: weights in torch's flat list, states in and out."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.kind = call.name.removeprefix("aten.")
        self.gates = GATES[self.kind]
        if "data" in call:
            raise call.refuse("packed sequences", "padded sequences, or one at a time")
        self.bidirectional = bool(call.raw("bidirectional"))
        self.count = 2 if self.bidirectional else 1
        self.layers = call.number("num_layers")
        self.bias = bool(call.raw("has_biases"))
        if call.raw("train") and call.real("dropout", 0.0):
            raise call.refuse("it drops out in training mode", "module.eval()")
        self.batch_first = bool(call.raw("batch_first"))
        flat = call.raw("params")
        if not all(isinstance(p, torch.Tensor) for p in flat):
            raise call.refuse("its weights are computed, not parameters")
        self.flat: list[torch.Tensor] = flat
        base = (4 if self.bias else 2) * self.layers * self.count
        self.projected = len(flat) > base
        self.each = len(flat) // (self.layers * self.count)

    def tensors(self, layer: int) -> list[list[Array]]:
        """[w_ih, w_hh(, b_ih, b_hh)(, w_hr)] of each direction of a layer."""
        first = layer * self.count * self.each
        return [
            [array_of(t) for t in self.flat[first + d * self.each : first + (d + 1) * self.each]]
            for d in range(self.count)
        ]

    def run(self, x: SSAValue, states: Sequence[Held]) -> tuple[SSAValue, list[list[SSAValue]]]:
        """All layers; gives the output and the final states of each kind."""
        call = self.call
        unbatched = len(shape_of(x)) == 2
        if unbatched:
            x = call.add(nn.UnsqueezeOp(x, [1]))
            states = [
                call.add(nn.UnsqueezeOp(call.work.as_value(call, s, "state"), [1]))
                if isinstance(s, SSAValue)
                else s[:, None]
                if isinstance(s, torch.Tensor)
                else s
                for s in states
            ]
        turn = self.batch_first and not unbatched
        if turn:
            x = call.add(nn.TransposeOp(x, (1, 0, 2)))
        finals: list[list[SSAValue]] = [[] for _ in range(2 if self.kind == "lstm" else 1)]
        base = call.label()
        for layer in range(self.layers):
            label = base if self.layers == 1 else call.work.unique(f"{base}.l{layer}")
            op = self._layer(label, x, layer, states)
            x = call.add(op)
            for held, final in zip(finals, op.results[1:], strict=True):
                held.append(final)
        if turn:
            x = call.add(nn.TransposeOp(x, (1, 0, 2)))
        if unbatched:
            x = call.add(nn.SqueezeOp(x, [1]))
            finals = [[call.add(nn.SqueezeOp(f, [1])) for f in held] for held in finals]
        return x, finals

    def _layer(self, label: str, x: SSAValue, layer: int, states: Sequence[Held]) -> nn.LayerOp:
        sides = self.tensors(layer)
        hidden = sides[0][0].shape[0] // self.gates
        start = layer * self.count

        def parameter(title: str, parts: Sequence[Array]) -> SSAValue:
            return self.call.work.named(f"{label}.{title}", np.stack(parts))

        weight = parameter("weight", [s[0].reshape(self.gates, hidden, -1) for s in sides])
        recurrent = parameter("recurrent", [s[1].reshape(self.gates, hidden, -1) for s in sides])
        inner = [
            state_part(self.call, s, start, self.count, f"{label}.initial{n}")
            for n, s in enumerate(states)
        ]
        direction = "bidirectional" if self.bidirectional else "forward"
        both: list[tuple[Array, Array]] = []
        if self.bias:
            both = [
                (s[2].reshape(self.gates, hidden), s[3].reshape(self.gates, hidden)) for s in sides
            ]
        if self.kind == "gru":
            bias = extra = None
            if both:
                merged = [a + np.concatenate([b[:2], np.zeros_like(b[2:])]) for a, b in both]
                bias = parameter("bias", merged)
                extra = parameter("recurrent_bias", [b[2] for _, b in both])
            return nn.GruOp(
                label,
                x,
                weight,
                recurrent,
                bias,
                recurrent_bias=extra,
                initial_state=inner[0],
                direction=direction,
                reset_after=True,
            )
        bias = parameter("bias", [a + b for a, b in both]) if both else None
        if self.kind == "lstm":
            projection = parameter("projection", [s[-1] for s in sides]) if self.projected else None
            return nn.LstmOp(
                label,
                x,
                weight,
                recurrent,
                bias,
                projection=projection,
                initial_h=inner[0],
                initial_c=inner[1],
                direction=direction,
            )
        functions = None
        if self.kind == "rnn_relu":
            functions = [FunctionAttr.of("relu")] * self.count
        return nn.RnnOp(
            label,
            x,
            weight,
            recurrent,
            bias,
            initial_state=inner[0],
            direction=direction,
            activations=functions,
        )


def _joined(call: Call, finals: Sequence[SSAValue]) -> SSAValue:
    return finals[0] if len(finals) == 1 else call.add(nn.ConcatOp(list(finals), 0))


@handles("aten.lstm", to="nn.lstm")
def lstm(_: Importer, call: Call) -> Held:
    """torch.nn.LSTM, also with proj_size."""
    stack = Stack(call)
    states = call.raw("hx")
    y, (h, c) = stack.run(call.tensor("input"), states)
    return y, _joined(call, h), _joined(call, c)


@handles("aten.gru", to="nn.gru")
@handles("aten.rnn_tanh", "aten.rnn_relu", to="nn.rnn")
def one_state(_: Importer, call: Call) -> Held:
    """torch.nn.GRU and torch.nn.RNN."""
    stack = Stack(call)
    y, (h,) = stack.run(call.tensor("input"), [call.raw("hx")])
    return y, _joined(call, h)


def cell_layer(
    call: Call, x: SSAValue, states: Sequence[Held], *, direction: str = "forward"
) -> nn.LayerOp:
    """The layer of a cell (aten.lstm_cell, gru_cell, rnn_*_cell) over a sequence [T, B, I].

    states: [1, B, H] each, or None.
    """
    kind = call.name.removeprefix("aten.").removesuffix("_cell")
    gates = GATES[kind]
    weights = [call.constant(n, "weight") for n in ("w_ih", "w_hh")]
    biases = [call.constant(n, "bias") for n in ("b_ih", "b_hh") if n in call]
    hidden = weights[0].shape[0] // gates
    label = call.label()

    def parameter(title: str, array: Array) -> SSAValue:
        return call.work.named(f"{label}.{title}", array[None])

    given: list[Any] = [
        parameter(t, w.reshape(gates, hidden, -1))
        for t, w in zip(("weight", "recurrent"), weights, strict=True)
    ]
    rows = [b.reshape(gates, hidden) for b in biases]
    if kind == "gru":
        extra = None
        if rows:
            merged = rows[0] + np.concatenate([rows[1][:2], np.zeros_like(rows[1][2:])])
            extra = parameter("recurrent_bias", rows[1][2])
            given.append(parameter("bias", merged))
        return nn.GruOp(
            label,
            x,
            *given,
            recurrent_bias=extra,
            initial_state=states[0],
            direction=direction,
            reset_after=True,
        )
    if rows:
        given.append(parameter("bias", rows[0] + rows[1]))
    if kind == "lstm":
        return nn.LstmOp(
            label, x, *given, initial_h=states[0], initial_c=states[1], direction=direction
        )
    functions = [FunctionAttr.of("relu")] if kind == "rnn_relu" else None
    return nn.RnnOp(
        label, x, *given, initial_state=states[0], direction=direction, activations=functions
    )


def cell_states(call: Call, held: Any) -> list[SSAValue | None]:
    """States [B, H] of a cell as [1, B, H]; zeros are None."""
    found: list[SSAValue | None] = []
    for one in held if isinstance(held, list) else [held]:
        if one is None or (isinstance(one, Filled) and one.value == 0):
            found.append(None)
            continue
        shared = isinstance(one, Repeated) and shape_of(one.value)[0] == 1
        value = one.value if shared else call.work.as_value(call, one, "state")
        found.append(call.add(nn.UnsqueezeOp(value, [0])))
    return found


@handles("aten.lstm_cell", to="nn.lstm")
@handles("aten.gru_cell", to="nn.gru")
@handles("aten.rnn_tanh_cell", "aten.rnn_relu_cell", to="nn.rnn")
def cell(_: Importer, call: Call) -> Held:
    """A cell: over all steps where a loop was rolled up, else a sequence of one step."""
    direction = call.node.meta.get(TIME)
    x = call.tensor("input")
    if direction is None:
        x = call.add(nn.UnsqueezeOp(x, [0]))
    op = cell_layer(call, x, cell_states(call, call.raw("hx")), direction=direction or "forward")
    call.add(op)
    finals = [call.add(nn.SqueezeOp(f, [0])) for f in op.results[1:]]
    if direction is not None:
        return (*finals, op.results[0])
    return (finals[0], finals[1]) if len(finals) == 2 else finals[0]
