"""`qnn.scan` as Scan."""

from __future__ import annotations

import onnx
from onnx import helper
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.onnx_export.graph import OnnxGraph
from mohaq.compiler.onnx_export.integer.convert import convert_block
from mohaq.compiler.onnx_export.integer.work import INT64, IntegerWork, converts


@converts(qnn.ScanOp)
def scan(work: IntegerWork, op: qnn.ScanOp) -> list[str]:
    """A loop over time; states that are not given start at zero."""
    outer, count = work.graph, len(op.inputs)
    sequences = [work.value(v) for v in op.inputs]
    steps, states = op.body.block.args[:count], op.body.block.args[count:]
    init = [work.value(v) for v in op.init] or [_zeros(work, sequences[0], s) for s in states]
    body = OnnxGraph(outer)
    for kind, held in (("step", steps), ("state", states)):
        for arg in held:
            work.values[arg] = body.name(kind)
    work.graph = body
    yielded = convert_block(work, op.body.block)
    work.graph = outer
    outs, following = yielded[: op.output_count], yielded[op.output_count :]
    results = [body.node("Identity", [v], "next") for v in (*following, *outs)]
    graph = helper.make_graph(
        body.nodes,
        work.top.name("body"),
        [_info(work.values[a], a) for a in (*states, *steps)],
        [helper.make_tensor_value_info(r, INT64, None) for r in results],
        body.initializers(),
    )
    walk = int(op.direction.data == "reverse")
    made = outer.nodes_with(
        "Scan",
        [*init, *sequences],
        ["final"] * len(states) + ["outputs"] * len(outs),
        body=graph,
        num_scan_inputs=count,
        scan_input_directions=[walk] * count,
        scan_output_directions=[walk] * len(outs) or None,
    )
    return [*made[len(states) :], *made[: len(states)]]


def _info(name: str, value: SSAValue) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, INT64, [None, *shape_of(value)[1:]])


def _zeros(work: IntegerWork, x: str, state: SSAValue) -> str:
    """[B, H] zeros for the sequence x [T, B, F]."""
    graph = work.graph
    extents = [graph.extent(x, 1), work.constant([shape_of(state)[-1]])]
    zero = helper.make_tensor("zero", INT64, [1], [0])
    return graph.node("ConstantOfShape", [graph.node("Concat", extents, axis=0)], value=zero)
