"""`nn.sru` in integers: one product for all gates, then a recurrence loop a direction.

The order of operations in the cell is part of the semantics (docs/semantics.md).
"""

from __future__ import annotations

import numpy as np
from xdsl.dialects.builtin import TensorType
from xdsl.ir import Block, SSAValue

from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.nn import FunctionAttr, SruOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.dialects.types import DYNAMIC, element_of, int_tensor, shape_of
from mohaq.compiler.quantizer import quantize
from mohaq.passes.lowering.builder import Builder
from mohaq.passes.lowering.cell import Applied, aligned, of_state
from mohaq.passes.lowering.tables import ONE, SIGMOID

STATE_BITS = 16
FRACTION = 15


def lower_sru(
    op: SruOp,
    x: SSAValue,
    initial_state: SSAValue | None,
    grids: dict[str, GridAttr],
    stored_input: GridAttr,
    build: Builder,
) -> tuple[SSAValue, SSAValue]:
    """Emit the layer; gives (result, final state), both in the state grid."""
    weight, vector, bias = (_symbol(v) for v in (op.weight, op.vector, op.bias))
    count, gates, hidden, _ = shape_of(op.weight)
    state, gate = grids["state"], grids["gate"]

    read = build.convert(x, stored_input, grids["input"])
    rows = build.rows(weight, grids["weight"])
    sums = build.product(read, grids["input"], weight, rows, grids["weight"])
    aligned = np.zeros((count, gates, hidden), dtype=np.float32)
    aligned[:, 1:3] = build.floats[bias]
    sums = build.biased(sums, f"{op.label}.bias", aligned.reshape(-1))
    skip_scale = float(op.skip_scale.value.data)
    factors = np.repeat(np.array([1, 1, 1, skip_scale])[:gates], hidden)
    steps = sums.steps * np.tile(factors, count)
    if len(sums.steps) == 1:
        steps = steps[::hidden]
    u = build.rescale(sums.value, steps, [state, gate, gate, state][:gates] * count)
    skip: SSAValue | None = None
    if op.skip.data == "identity":
        centred = build.minus(x, stored_input.zero)
        skip = build.rescale(centred, [stored_input.step * skip_scale], [state])

    outputs: list[SSAValue] = []
    finals: list[SSAValue] = []
    vectors = quantize(build.floats[vector], grids["vector"])
    for d in range(count):
        streams = [
            build.add(qnn.SliceOp(u, (d * gates + g) * hidden, hidden)) for g in range(gates)
        ]
        if skip is not None:
            streams.append(build.add(qnn.SliceOp(skip, d * hidden, hidden)))
        init = [] if initial_state is None else [build.add(qnn.SelectOp(initial_state, d))]
        v_f, v_r = (
            build.parameter(f"{vector}.{title}{d}.q", vectors[d, row], STATE_BITS)
            for row, title in enumerate("fr")
        )
        reverse = op.direction.data == "reverse" or d == 1
        shown = FunctionAttr.of(op.activation.data)
        scan = _scan(streams, init, v_f, v_r, grids, build, shown, reverse=reverse)
        outputs.append(build.add(scan))
        finals.append(scan.results[1])
    result = outputs[0] if count == 1 else build.add(qnn.ConcatOp(outputs))
    final = build.add(qnn.StackOp(finals)) if list(op.final_state.uses) else finals[0]
    return result, final


def _symbol(value: SSAValue) -> str:
    assert isinstance(value.owner, LoadOp)
    return value.owner.symbol


def _scan(
    streams: list[SSAValue],
    init: list[SSAValue],
    v_f: SSAValue,
    v_r: SSAValue,
    grids: dict[str, GridAttr],
    build: Builder,
    shown: FunctionAttr,
    *,
    reverse: bool,
) -> qnn.ScanOp:
    """One direction: streams are u_x, u_f, u_r (, skip), each [T, B, H] in 16 bits."""
    hidden = shape_of(v_f)[0]
    step = int_tensor([DYNAMIC, hidden], STATE_BITS)
    block = Block(
        arg_types=[TensorType(element_of(s), [DYNAMIC, hidden]) for s in streams] + [step]
    )
    u_x, u_f, u_r, *rest = block.args
    skip, before = (rest[0], rest[1]) if len(rest) == 2 else (None, rest[0])
    body = Builder(build.module, block, build.floats, build.integers, build.tables, build.form)
    table = build.table(FunctionAttr.of(SIGMOID))

    def squash(u: SSAValue, v: SSAValue) -> SSAValue:
        """sigmoid(u + v c'): the product goes to the gate grid, the sum saturates."""
        product = body.add(qnn.MulOp(v, before))
        scale = grids["vector"].step * grids["state"].step
        term = body.rescale(product, [scale], [grids["gate"]])
        total = body.add(qnn.SaturateOp(body.add(qnn.AddOp(u, term)), STATE_BITS))
        return body.add(qnn.LookupOp(total, table))

    def blend(gate: SSAValue, on: Applied, off: SSAValue | None) -> SSAValue:
        """gate * on + (1 - gate) * off, one rounding of Q0.15 products."""
        total = body.add(qnn.MulOp(gate, on.value))
        total = aligned(body, total, on.step / grids["state"].step)
        if off is not None:
            rest = body.add(qnn.MulOp(body.add(qnn.RsubOp(gate, ONE)), off))
            total = body.add(qnn.AddOp(total, rest))
        return body.add(qnn.RequantizeOp(total, [1], [FRACTION], STATE_BITS))

    forget = squash(u_f, v_f)
    reset = squash(u_r, v_r)
    state = blend(forget, Applied(before, grids["state"].step), u_x)
    output = blend(reset, of_state(body, state, grids["state"], shown), skip)
    block.add_op(qnn.YieldOp([output, state]))
    sequence = int_tensor([DYNAMIC, DYNAMIC, hidden], STATE_BITS)
    return qnn.ScanOp(streams, init, block, [sequence, step], "reverse" if reverse else "forward")
