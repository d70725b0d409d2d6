"""RNN, GRU and LSTM as the ONNX operators of those names."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.onnx_export.exporter import Exporter, exports
from mohaq.compiler.onnx_export.functions import cell_functions
from mohaq.compiler.onnx_export.loops import lstm_loop

LSTM_GATES = (0, 3, 1, 2)  # ours i, f, g, o -> ONNX i, o, f, c
GRU_GATES = (1, 0, 2)  # ours r, z, n -> ONNX z, r, h
PEEPHOLES = (0, 2, 1)  # ours i, f, o -> ONNX i, o, f


def attributes(op: nn.CellOp) -> dict[str, Any]:
    """direction, hidden_size, clip and the functions."""
    found: dict[str, Any] = {
        "direction": op.direction.data,
        "clip": op.limit,
    }
    if op.activations is not None:
        chosen = [f for d in range(op.directions) for f in op.functions(d)]
        found |= cell_functions(chosen)
    return found


def state(work: Exporter, value: SSAValue | None, x: str) -> str:
    """An initial state [D, B, H] for the input x [T, B, I]; one row for all is expanded."""
    if value is None:
        return ""
    name = work.value(value)
    if shape_of(value)[1] != 1:
        return name
    graph = work.graph
    shape = graph.node(
        "Concat", [graph.integers([1]), graph.extent(x, 1), graph.integers([1])], axis=0
    )
    return graph.node("Expand", [name, shape])


def lengths(work: Exporter, value: SSAValue | None) -> str:
    """sequence_lens, 32-bit."""
    if value is None:
        return ""
    return work.graph.node("Cast", [work.value(value)], "lengths", to=onnx.TensorProto.INT32)


def bias(
    work: Exporter, op: nn.CellOp, given: SSAValue | None, order: tuple[int, ...], hidden: int
) -> str:
    """Input biases in ONNX order and zeros for the recurrent ones: [D, 2*G*H]."""
    if given is None:
        return ""
    graph = work.graph
    first = work.gates(given, order)
    zeros = graph.constant(np.zeros((op.directions, len(order) * hidden), dtype=np.float32))
    return graph.node("Concat", [first, zeros], f"{op.label}.bias", axis=1)


def joined(work: Exporter, op: nn.CellOp, y: str) -> str:
    """[T, D, B, H] -> [T, B, D*H]."""
    if op.directions == 1:
        return work.graph.squeeze(y, 1)
    return work.graph.reshape(work.graph.node("Transpose", [y], perm=[0, 2, 1, 3]), [0, 0, -1])


@exports(nn.RnnOp)
def rnn(work: Exporter, op: nn.RnnOp) -> list[str]:
    """RNN."""
    x = work.value(op.input)
    inputs = [
        x,
        work.gates(op.weight, (0,)),
        work.gates(op.recurrent, (0,)),
        bias(work, op, op.bias, (0,), op.hidden),
        lengths(work, op.lengths),
        state(work, op.initial_state, x),
    ]
    hints = [op.label, f"{op.label}.h"]
    y, final = work.graph.nodes_with("RNN", inputs, hints, hidden_size=op.hidden, **attributes(op))
    return [joined(work, op, y), final]


@exports(nn.GruOp)
def gru(work: Exporter, op: nn.GruOp) -> list[str]:
    """GRU."""
    graph, x = work.graph, work.value(op.input)
    biases = ""
    if op.bias is not None or op.recurrent_bias is not None:
        zeros = graph.constant(np.zeros((op.directions, 3 * op.hidden), dtype=np.float32))
        first = zeros if op.bias is None else work.gates(op.bias, GRU_GATES)
        second = zeros
        if op.recurrent_bias is not None:
            rest = graph.constant(np.zeros((op.directions, 2 * op.hidden), dtype=np.float32))
            second = graph.node("Concat", [rest, work.value(op.recurrent_bias)], axis=1)
        biases = graph.node("Concat", [first, second], f"{op.label}.bias", axis=1)
    inputs = [
        x,
        work.gates(op.weight, GRU_GATES),
        work.gates(op.recurrent, GRU_GATES),
        biases,
        lengths(work, op.lengths),
        state(work, op.initial_state, x),
    ]
    hints = [op.label, f"{op.label}.h"]
    y, final = graph.nodes_with(
        "GRU",
        inputs,
        hints,
        hidden_size=op.hidden,
        linear_before_reset=int(op.resets_after),
        **attributes(op),
    )
    return [joined(work, op, y), final]


@exports(nn.LstmOp)
def lstm(work: Exporter, op: nn.LstmOp) -> list[str]:
    """LSTM; a loop when the hidden state is projected, which the operator cannot say."""
    if op.projection is not None:
        return lstm_loop(work, op)
    graph, x, hidden = work.graph, work.value(op.input), shape_of(op.weight)[2]
    inputs = [
        x,
        work.gates(op.weight, LSTM_GATES),
        work.gates(op.recurrent, LSTM_GATES),
        bias(work, op, op.bias, LSTM_GATES, hidden),
        lengths(work, op.lengths),
        state(work, op.initial_h, x),
        state(work, op.initial_c, x),
        "" if op.peephole is None else work.gates(op.peephole, PEEPHOLES),
    ]
    y, final_h, final_c = graph.nodes_with(
        "LSTM",
        inputs,
        [op.label, f"{op.label}.h", f"{op.label}.c"],
        hidden_size=hidden,
        input_forget=int(bool(op.coupled.value.data)),
        **attributes(op),
    )
    return [joined(work, op, y), final_h, final_c]
