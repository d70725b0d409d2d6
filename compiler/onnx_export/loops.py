"""Layers that have no ONNX operator, as Scan: SRU, Li-GRU, QRNN and the projected LSTM.

Products with the input stand before the loop, over the whole sequence; a loop a direction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.onnx_export.exporter import Exporter, exports
from mohaq.compiler.onnx_export.functions import apply
from mohaq.compiler.onnx_export.graph import OnnxGraph

SIGMOID = nn.FunctionAttr.of("sigmoid")

Step = Callable[[OnnxGraph, Sequence[str], Sequence[str]], tuple[str, Sequence[str]]]
"""(body, inputs of the step, states) -> (output of the step, next states)."""


@dataclass(frozen=True)
class Loop:
    """One direction: sequences [T, B, F], states [B, H] and whether it walks backwards.

    live: sequence [T, B, 1] of truth values; where it is false the state stays and the output
    is zero.
    """

    sequences: Sequence[str]
    states: Sequence[str]
    reverse: bool
    live: str | None = None


def scan(work: Exporter, label: str, loop: Loop, step: Step) -> tuple[str, list[str]]:
    """A Scan; gives its output sequence and final states."""
    body = OnnxGraph(work.graph)
    states = [body.name(f"{label}.state") for _ in loop.states]
    given = [body.name(f"{label}.in") for _ in loop.sequences]
    output, following = step(body, given, states)
    sequences = list(loop.sequences)
    if loop.live is not None:
        live = body.name(f"{label}.live")
        given.append(live)
        sequences.append(loop.live)
        zero = body.constant(np.float32(0))
        output = body.node("Where", [live, output, zero])
        following = [
            body.node("Where", [live, new, old]) for new, old in zip(following, states, strict=True)
        ]
    results = [body.node("Identity", [v], f"{label}.next") for v in (*following, output)]
    graph = helper.make_graph(
        body.nodes,
        work.graph.name(f"{label}.body"),
        [_untyped(s) for s in states]
        + [_untyped(g, boolean=loop.live is not None and g is given[-1]) for g in given],
        [_untyped(r) for r in results],
        body.initializers(),
    )
    walk = int(loop.reverse)
    final = [f"{label}.final" for _ in states]
    *finals, sequence = work.graph.nodes_with(
        "Scan",
        [*loop.states, *sequences],
        [*final, label],
        body=graph,
        num_scan_inputs=len(sequences),
        scan_input_directions=[walk] * len(sequences),
        scan_output_directions=[walk],
    )
    return sequence, finals


def _untyped(name: str, *, boolean: bool = False) -> onnx.ValueInfoProto:
    kind = onnx.TensorProto.BOOL if boolean else onnx.TensorProto.FLOAT
    return helper.make_tensor_value_info(name, kind, None)


def start(
    work: Exporter, value: SSAValue | None, d: int, x: str, hidden: int, slot: str = "state"
) -> str:
    """The initial state [B, H] of direction d in the grid of its slot, or zeros.

    One row for all sequences is expanded.
    """
    graph = work.graph
    shape = graph.node("Concat", [graph.extent(x, 1), graph.integers([hidden])], axis=0)
    if value is None:
        zero = helper.make_tensor("zero", onnx.TensorProto.FLOAT, [1], [0.0])
        return graph.node("ConstantOfShape", [shape], "zeros", value=zero)
    given = work.round(graph, slot, work.part(value, (d,)))
    return graph.node("Expand", [given, shape]) if shape_of(value)[1] == 1 else given


def live_steps(work: Exporter, x: str, lengths: SSAValue | None) -> str | None:
    """[T, B, 1]: whether step t is within its sequence."""
    if lengths is None:
        return None
    graph = work.graph
    zero, one = (graph.constant(np.int64(n)) for n in (0, 1))
    steps = graph.node("Range", [zero, graph.squeeze(graph.extent(x, 0), 0), one])
    column = graph.reshape(steps, [-1, 1])
    found = graph.node("Less", [column, graph.unsqueeze(work.value(lengths), 0)])
    return graph.unsqueeze(found, 2)


def gathered(
    work: Exporter, outputs: Sequence[str], finals: Sequence[Sequence[str]], label: str
) -> list[str]:
    """Results of all directions: outputs side by side, final states stacked."""
    graph = work.graph
    joined = outputs[0] if len(outputs) == 1 else graph.node("Concat", outputs, label, axis=-1)
    stacked = []
    for states in zip(*finals, strict=True):
        rows = [graph.unsqueeze(s, 0) for s in states]
        stacked.append(rows[0] if len(rows) == 1 else graph.node("Concat", rows, axis=0))
    return [joined, *stacked]


def product(work: Exporter, x: str, weight: SSAValue, index: tuple[int, ...]) -> str:
    """x times one matrix of a weight, for the whole sequence."""
    return work.graph.node("MatMul", [x, work.part(weight, index, transpose=True)])


def blend(body: OnnxGraph, gate: str, kept: str, new: str) -> str:
    """gate * kept + (1 - gate) * new."""
    rest = body.node("Sub", [body.constant(np.float32(1)), gate])
    return body.node("Add", [body.node("Mul", [gate, kept]), body.node("Mul", [rest, new])])


@exports(nn.SruOp)
def sru(work: Exporter, op: nn.SruOp) -> list[str]:
    """Scan over f, r, c and h."""
    graph, x, hidden = work.graph, work.value(op.input), op.hidden
    outputs: list[str] = []
    finals: list[list[str]] = []
    scale = graph.constant(np.float32(op.skip_scale.value.data))
    for d in range(op.directions):
        sequences = [product(work, x, op.weight, (d, g)) for g in range(3)]
        if op.skip.data == "projected":
            sequences.append(graph.node("Mul", [product(work, x, op.weight, (d, 3)), scale]))
        elif op.skip.data == "identity":
            part = graph.slice(work.unrounded(op), 2, d * hidden, (d + 1) * hidden)
            sequences.append(graph.node("Mul", [part, scale]))
        for g in (0, *range(3, len(sequences))):
            sequences[g] = work.round(graph, "state", sequences[g])
        vectors = [work.part(op.vector, (d, g)) for g in range(2)]
        biases = [work.part(op.bias, (d, g)) for g in range(2)]

        def step(
            body: OnnxGraph,
            given: Sequence[str],
            states: Sequence[str],
            vectors: Sequence[str] = vectors,
            biases: Sequence[str] = biases,
        ) -> tuple[str, Sequence[str]]:
            before = states[0]
            gates = []
            for u, vector, one in zip(given[1:3], vectors, biases, strict=True):
                fed = body.node("Add", [u, body.node("Mul", [vector, before])])
                gates.append(work.gate(body, SIGMOID, body.node("Add", [fed, one])))
            c = work.round(body, "state", blend(body, gates[0], before, given[0]))
            shown = apply(body, nn.FunctionAttr.of(op.activation.data), c)
            if len(given) > 3:
                h = blend(body, gates[1], shown, given[3])
            else:
                h = body.node("Mul", [gates[1], shown])
            return work.round(body, "output", h), [c]

        initial = [start(work, op.initial_state, d, x, hidden)]
        y, final = scan(work, op.label, Loop(sequences, initial, op.is_reverse(d)), step)
        outputs.append(y)
        finals.append(final)
    return gathered(work, outputs, finals, op.label)


@exports(nn.LiGruOp)
def ligru(work: Exporter, op: nn.LiGruOp) -> list[str]:
    """Scan over z, a and h; norm and bias stand before it."""
    graph, x = work.graph, work.value(op.input)
    live = live_steps(work, x, op.lengths)
    outputs: list[str] = []
    finals: list[list[str]] = []
    for d in range(op.directions):
        sequences = []
        for g in range(2):
            u = product(work, x, op.weight, (d, g))
            if op.norm is not None:
                gamma, beta, mean, var = (work.part(op.norm, (d, g, n)) for n in range(4))
                epsilon = graph.constant(np.float32(op.epsilon.value.data))
                deviation = graph.node("Sqrt", [graph.node("Add", [var, epsilon])])
                u = graph.node("Div", [graph.node("Sub", [u, mean]), deviation])
                u = graph.node("Add", [graph.node("Mul", [u, gamma]), beta])
            if op.bias is not None:
                u = graph.node("Add", [u, work.part(op.bias, (d, g))])
            sequences.append(u)
        matrices = [work.part(op.recurrent, (d, g), transpose=True) for g in range(2)]
        chosen = op.functions(d)

        def step(
            body: OnnxGraph,
            given: Sequence[str],
            states: Sequence[str],
            matrices: Sequence[str] = matrices,
            chosen: Sequence[nn.FunctionAttr] = chosen,
        ) -> tuple[str, Sequence[str]]:
            parts, fed = [], work.round(body, "hidden", states[0])
            for u, matrix, function in zip(given, matrices, chosen, strict=True):
                total = body.node("Add", [u, body.node("MatMul", [fed, matrix])])
                parts.append(squash(work, body, op.limit, function, total))
            h = work.round(body, "state", blend(body, parts[0], states[0], parts[1]))
            return h, [h]

        initial = [start(work, op.initial_state, d, x, op.hidden)]
        loop = Loop(sequences, initial, op.is_reverse(d), live)
        y, final = scan(work, op.label, loop, step)
        outputs.append(y)
        finals.append(final)
    return gathered(work, outputs, finals, op.label)


def clipped(body: OnnxGraph, limit: float | None, x: str) -> str:
    """x within [-limit, limit]."""
    if limit is None:
        return x
    low, high = (body.constant(np.float32(n)) for n in (-limit, limit))
    return body.node("Clip", [x, low, high])


def squash(
    work: Exporter, body: OnnxGraph, limit: float | None, function: nn.FunctionAttr, total: str
) -> str:
    """The function of a clipped sum."""
    return work.gate(body, function, clipped(body, limit, total))


def lstm_loop(work: Exporter, op: nn.LstmOp) -> list[str]:
    """Scan over the gates, c and h."""
    x, hidden = work.value(op.input), shape_of(op.weight)[2]
    fed_back = shape_of(op.recurrent)[3]
    live = live_steps(work, x, op.lengths)
    outputs: list[str] = []
    finals: list[list[str]] = []
    for d in range(op.directions):
        sequences = []
        for g in range(4):
            u = product(work, x, op.weight, (d, g))
            if op.bias is not None:
                u = work.graph.node("Add", [u, work.part(op.bias, (d, g))])
            sequences.append(u)
        initial = [
            start(work, op.initial_h, d, x, fed_back, "output"),
            start(work, op.initial_c, d, x, hidden),
        ]
        loop = Loop(sequences, initial, op.is_reverse(d), live)
        y, final = scan(work, op.label, loop, _lstm_step(work, op, d))
        outputs.append(y)
        finals.append(final)
    return gathered(work, outputs, finals, op.label)


def _lstm_step(work: Exporter, op: nn.LstmOp, d: int) -> Step:
    matrices = [work.part(op.recurrent, (d, g), transpose=True) for g in range(4)]
    peepholes: list[str] = []
    if op.peephole is not None:
        peepholes = [work.part(op.peephole, (d, g)) for g in range(3)]
    projection = ""
    if op.projection is not None:
        projection = work.part(op.projection, (d,), transpose=True)
    gate, cell, shown = op.functions(d)

    def step(
        body: OnnxGraph, given: Sequence[str], states: Sequence[str]
    ) -> tuple[str, Sequence[str]]:
        h, c = states
        fed = work.round(body, "hidden", h)
        i, f, g, o = (
            body.node("Add", [u, body.node("MatMul", [fed, m])])
            for u, m in zip(given, matrices, strict=True)
        )

        def bent(total: str, function: nn.FunctionAttr) -> str:
            return squash(work, body, op.limit, function, total)

        def seen(total: str, row: int, state: str) -> str:
            if not peepholes:
                return total
            return body.node("Add", [total, body.node("Mul", [peepholes[row], state])])

        i = bent(seen(i, 0, c), gate)
        if op.coupled.value.data:
            f = body.node("Sub", [body.constant(np.float32(1)), i])
        else:
            f = bent(seen(f, 1, c), gate)
        new = body.node("Add", [body.node("Mul", [f, c]), body.node("Mul", [i, bent(g, cell)])])
        new = work.round(body, "state", new)
        o = bent(seen(o, 2, new), gate)
        out = body.node("Mul", [o, apply(body, shown, new)])
        if projection:
            out = body.node("MatMul", [out, projection])
        out = work.round(body, "output", out)
        return out, [out, new]

    return step
