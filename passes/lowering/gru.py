"""`nn.gru` in integers (docs/semantics.md, GRU layer)."""

from __future__ import annotations

import numpy as np
from xdsl.ir import SSAValue

from mohaq.compiler.analysis.storage import GATE_GRID, UNIT_GRID
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.nn import GruOp
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.passes.lowering.builder import Builder, Floats
from mohaq.passes.lowering.cell import (
    BITS,
    FRACTION,
    Applied,
    complement,
    mixed,
    open_grid,
    shift_right,
    squash,
)
from mohaq.passes.lowering.loop import (
    Loop,
    RecurrentProduct,
    Surroundings,
    input_streams,
    joined,
    stacked,
    symbol,
)


def lower_gru(op: GruOp, around: Surroundings) -> tuple[SSAValue, SSAValue]:
    """Emit the layer; gives (result, final h)."""
    build, state = around.build, around.grids["state"]
    bias = None if op.bias is None else around.floats(op.bias)
    targets = [
        [GATE_GRID, GATE_GRID, open_grid(op.functions(d)[1], state)] for d in range(op.directions)
    ]
    weight = around.rows(op.weight, "weight")
    u = input_streams(op, around, weight, symbol(op.weight), bias, targets)
    outputs, finals = [], []
    for d in range(op.directions):
        start = [around.start("state", d)]
        loop = Loop(build, u[d], [(op.hidden, BITS)])
        h = _step(op, d, around, loop, targets[d])
        out, last = loop.close(start, h, [h], reverse=op.is_reverse(d))
        outputs.append(out)
        finals.append(last)
    return joined(build, outputs), stacked(build, op.final_state, finals)


def _step(op: GruOp, d: int, around: Surroundings, loop: Loop, targets: list[GridAttr]) -> SSAValue:
    body, grids, limit = loop.body, around.grids, op.limit
    (before,) = loop.states
    u_r, u_z, u_n = loop.steps
    gate, candidate = op.functions(d)
    product = RecurrentProduct(grids["state"], grids["hidden"], grids["recurrent"])
    weight = around.rows(op.recurrent, "recurrent")[d]
    name = f"{symbol(op.recurrent)}.{d}"
    read = product.read(body, before)
    if op.resets_after:
        fed = product.gates(body, read, name, weight, targets, _bias(op, d, around))
    else:
        fed = product.gates(body, read, f"{name}.gates", weight[:2], targets[:2])

    def opened(u: SSAValue, r: SSAValue) -> SSAValue:
        return squash(body, body.add(qnn.AddOp(u, r)), gate, GATE_GRID, limit=limit).value

    reset, update = opened(u_r, fed[0]), opened(u_z, fed[1])
    if op.resets_after:
        # u and the reset product meet before the one rounding.
        total = body.add(
            qnn.AddOp(body.add(qnn.ShlOp(u_n, FRACTION)), body.add(qnn.MulOp(reset, fed[2])))
        )
        n = squash(body, total, candidate, targets[2], limit=limit, fraction=FRACTION)
    else:
        inner = _reset_state(body, reset, before, grids["state"], grids["hidden"])
        (r_n,) = product.gates(body, inner, f"{name}.candidate", weight[2:], targets[2:])
        total = body.add(qnn.AddOp(u_n, r_n))
        n = squash(body, total, candidate, targets[2], limit=limit)
    fresh = complement(body, update)
    return mixed(body, update, before, fresh, Applied(n.value, n.step), grids["state"])


def _reset_state(
    body: Builder, reset: SSAValue, before: SSAValue, state: GridAttr, hidden: GridAttr
) -> SSAValue:
    """r h' in the grid that the recurrent product reads, one rounding."""
    inner = body.add(qnn.MulOp(reset, before))
    if state == hidden:
        return shift_right(body, inner, FRACTION)
    return body.rescale(inner, [state.step * UNIT_GRID.step], [hidden])


def _bias(op: GruOp, d: int, around: Surroundings) -> tuple[str, Floats] | None:
    """The recurrent bias on the rows of n, zeros elsewhere."""
    if op.recurrent_bias is None:
        return None
    rows = np.zeros((3, op.hidden), dtype=np.float32)
    rows[2] = around.floats(op.recurrent_bias)[d]
    return f"{op.label}.recurrent_bias.{d}", rows
