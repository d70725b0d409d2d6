"""QRNN: products over a window of one or two steps, then a Scan for the pooling."""

from __future__ import annotations

from collections.abc import Sequence

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.onnx_export.exporter import Exporter, exports
from mohaq.compiler.onnx_export.graph import OnnxGraph
from mohaq.compiler.onnx_export.loops import SIGMOID, Loop, blend, gathered, scan, start

TANH = nn.FunctionAttr.of("tanh")


@exports(nn.QrnnOp)
def qrnn(work: Exporter, op: nn.QrnnOp) -> list[str]:
    """Scan over c and h."""
    graph, x, pooling = work.graph, work.value(op.input), op.pooling.data
    features = shape_of(op.input)[2]
    outputs: list[str] = []
    finals: list[list[str]] = []
    for d in range(op.directions):
        reverse = op.is_reverse(d)
        steps = [x]
        if op.window == 2:
            first = graph.unsqueeze(start(work, op.initial_input, d, x, features, "input"), 0)
            rest = [graph.slice(x, 0, 1), first] if reverse else [first, graph.slice(x, 0, 0, -1)]
            steps = [graph.node("Concat", rest, axis=0), x]
        sequences = []
        for g in range(shape_of(op.weight)[1]):
            u = ""
            for j, one in enumerate(steps):
                term = _tap(work, op, one, (d, g, j))
                u = graph.node("Add", [u, term]) if u else term
            if op.bias is not None:
                u = graph.node("Add", [u, work.part(op.bias, (d, g))])
            sequences.append(work.gate(graph, TANH if g == 0 else SIGMOID, u))

        def step(
            body: OnnxGraph, given: Sequence[str], states: Sequence[str]
        ) -> tuple[str, Sequence[str]]:
            z, f, *more = given
            if pooling == "ifo":
                kept = body.node("Mul", [f, states[0]])
                c = body.node("Add", [kept, body.node("Mul", [more[1], z])])
            else:
                c = blend(body, f, states[0], z)
            c = work.round(body, "state", c)
            h = work.round(body, "output", body.node("Mul", [more[0], c])) if more else c
            return h, [c]

        initial = [start(work, op.initial_state, d, x, op.hidden)]
        y, final = scan(work, op.label, Loop(sequences, initial, reverse), step)
        last = graph.slice(x, 0, 0, 1) if reverse else graph.slice(x, 0, -1)
        outputs.append(y)
        finals.append([*final, graph.squeeze(last, 0)])
    return gathered(work, outputs, finals, op.label)


def _tap(work: Exporter, op: nn.QrnnOp, x: str, at: tuple[int, int, int]) -> str:
    """x times the matrix of one tap: weight [D, G, H, k, I] at (d, g, :, j, :)."""
    d, g, j = at
    name = f"{op.label}.weight.{d}.{g}.{j}"
    held = work.held(op.weight, lambda a: a[d, g, :, j].T, name)
    if held is not None:
        return work.graph.node("MatMul", [x, held])
    taps = work.graph.node("Transpose", [work.value(op.weight)], perm=[0, 1, 3, 2, 4])
    matrix = taps
    for n in at:
        matrix = work.graph.squeeze(work.graph.slice(matrix, 0, n, n + 1), 0)
    return work.graph.node("MatMul", [x, work.graph.node("Transpose", [matrix])])
