"""The form `scan`: every recurrent layer as a Scan whose states and gates are rounded, too.

The roundings are those of the integer program (docs/semantics.md), in floating point: inputs and
what recurrent products read, sums in front of a table (Q4.11), results of gates (Q0.15), states,
outputs, and weights of every kind. Functions are exact, not tables, and biases stay in float32.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import BlockArgument, Operation

from mohaq.compiler.analysis.layers import storage_consumer
from mohaq.compiler.analysis.storage import GATE_GRID, UNIT_GRID
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FunctionAttr, LayerOp
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.onnx_export.exporter import CONVERSIONS, Conversion, Exporter
from mohaq.compiler.onnx_export.functions import apply
from mohaq.compiler.onnx_export.graph import OnnxGraph
from mohaq.compiler.onnx_export.grids import WEIGHTS, GridExporter
from mohaq.compiler.onnx_export.loops import (
    Loop,
    blend,
    gathered,
    live_steps,
    lstm_loop,
    product,
    scan,
    squash,
    start,
)
from mohaq.compiler.program import argument_grids


class ScanExporter(GridExporter):
    """An exporter that rounds what the integer program holds in 16 bits, too."""

    SLOTS = (*WEIGHTS, "vector", "peephole", "projection")

    def conversion(self, op: Operation) -> Conversion | None:
        """Loops in place of the recurrent operators, for layers with grids."""
        if isinstance(op, LayerOp) and op.quant is not None and type(op) in LOOPS:
            return LOOPS[type(op)]
        return CONVERSIONS.get(type(op))

    def stored(self, op: LayerOp) -> str:
        """An argument of the program is held in its 16-bit grid."""
        x = op.operands[0]
        if not isinstance(x, BlockArgument) or op.quant is None:
            return self.value(x)
        grid = argument_grids(self.program.entry)[x.index]
        name = self.value(x)
        if grid is None or grid == op.grid("input"):
            return name
        return self.rounded(self.graph, grid, name)

    def round(self, graph: OnnxGraph, slot: str, x: str) -> str:
        """x in the grid of a slot of the present layer."""
        grid = self._slot(slot)
        return x if grid is None else self.rounded(graph, grid, x)

    def result(self, op: nn.LinearOp, x: str) -> str:
        """A result that no layer rounds is held in the grid of its slot `output`."""
        direct = storage_consumer(op.result) is not None
        return x if direct else self.round(self.graph, "output", x)

    def gate(self, graph: OnnxGraph, function: FunctionAttr, x: str) -> str:
        """The function of a sum: both rounded where the integer program has a table."""
        if self._layer is None or self._layer.quant is None or not tabled(function):
            return apply(graph, function, x)
        made = apply(graph, function, self.rounded(graph, GATE_GRID, x))
        return self.rounded(graph, UNIT_GRID, made)

    def _slot(self, slot: str) -> GridAttr | None:
        if self._layer is None:
            return None
        held = self._layer.grid(slot)
        # An LSTM holds h in `output`; all others hold it in `state`.
        return self._layer.grid("state") if held is None and slot == "output" else held


def tabled(function: FunctionAttr) -> bool:
    """Whether the integer program reads the function from a table."""
    return function.kind in {"sigmoid", "tanh", "softsign", "hard_sigmoid", "scaled_tanh"}


def rnn_loop(work: Exporter, op: nn.RnnOp) -> list[str]:
    """Scan over h."""
    x = work.value(op.input)
    live = live_steps(work, x, op.lengths)
    outputs: list[str] = []
    finals: list[list[str]] = []
    for d in range(op.directions):
        u = _sum(work, op, x, d, 0)
        matrix = work.part(op.recurrent, (d, 0), transpose=True)
        (function,) = op.functions(d)

        def step(
            body: OnnxGraph,
            given: Sequence[str],
            states: Sequence[str],
            matrix: str = matrix,
            function: FunctionAttr = function,
        ) -> tuple[str, Sequence[str]]:
            fed = work.round(body, "hidden", states[0])
            total = body.node("Add", [given[0], body.node("MatMul", [fed, matrix])])
            h = work.round(body, "state", squash(work, body, op.limit, function, total))
            return h, [h]

        initial = [start(work, op.initial_state, d, x, op.hidden, "state")]
        y, final = scan(work, op.label, Loop([u], initial, op.is_reverse(d), live), step)
        outputs.append(y)
        finals.append(final)
    return gathered(work, outputs, finals, op.label)


def gru_loop(work: Exporter, op: nn.GruOp) -> list[str]:
    """Scan over the gates, n and h."""
    x = work.value(op.input)
    live = live_steps(work, x, op.lengths)
    outputs: list[str] = []
    finals: list[list[str]] = []
    for d in range(op.directions):
        sequences = [_sum(work, op, x, d, g) for g in range(3)]
        matrices = [work.part(op.recurrent, (d, g), transpose=True) for g in range(3)]
        bias = "" if op.recurrent_bias is None else work.part(op.recurrent_bias, (d,))

        def step(
            body: OnnxGraph,
            given: Sequence[str],
            states: Sequence[str],
            matrices: Sequence[str] = matrices,
            bias: str = bias,
            functions: Sequence[FunctionAttr] = op.functions(d),
        ) -> tuple[str, Sequence[str]]:
            gate, candidate = functions
            fed = work.round(body, "hidden", states[0])
            r, z = (
                squash(
                    work,
                    body,
                    op.limit,
                    gate,
                    body.node("Add", [u, body.node("MatMul", [fed, matrix])]),
                )
                for u, matrix in zip(given[:2], matrices[:2], strict=True)
            )
            if op.resets_after:
                v = body.node("MatMul", [fed, matrices[2]])
                v = body.node("Mul", [r, body.node("Add", [v, bias]) if bias else v])
            else:
                reset = work.round(body, "hidden", body.node("Mul", [r, states[0]]))
                v = body.node("MatMul", [reset, matrices[2]])
            n = squash(work, body, op.limit, candidate, body.node("Add", [given[2], v]))
            h = work.round(body, "state", blend(body, z, states[0], n))
            return h, [h]

        initial = [start(work, op.initial_state, d, x, op.hidden, "state")]
        y, final = scan(work, op.label, Loop(sequences, initial, op.is_reverse(d), live), step)
        outputs.append(y)
        finals.append(final)
    return gathered(work, outputs, finals, op.label)


def _sum(work: Exporter, op: nn.RnnOp | nn.GruOp, x: str, d: int, g: int) -> str:
    """Product and bias of one gate over the whole sequence."""
    u = product(work, x, op.weight, (d, g))
    return u if op.bias is None else work.graph.node("Add", [u, work.part(op.bias, (d, g))])


LOOPS: dict[type[Operation], Conversion] = {
    nn.RnnOp: rnn_loop,
    nn.GruOp: gru_loop,
    nn.LstmOp: lstm_loop,
}
"""Layers that the other forms write as an ONNX operator."""
