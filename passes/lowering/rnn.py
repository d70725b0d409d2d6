"""`nn.rnn` and `nn.ligru` in integers (docs/semantics.md)."""

from __future__ import annotations

from xdsl.ir import SSAValue

from mohaq.compiler.analysis.storage import GATE_GRID
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.nn import LiGruOp, RnnOp
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.passes.lowering.cell import BITS, complement, mixed, open_grid, squash, stored
from mohaq.passes.lowering.loop import (
    Loop,
    RecurrentProduct,
    Surroundings,
    input_streams,
    joined,
    stacked,
    symbol,
)


def lower_rnn(op: RnnOp | LiGruOp, around: Surroundings) -> tuple[SSAValue, SSAValue]:
    """Emit the layer; gives (result, final h)."""
    build, state = around.build, around.grids["state"]
    bias = None if op.bias is None else around.floats(op.bias)
    gates = [GATE_GRID] if isinstance(op, LiGruOp) else []
    targets = [[*gates, open_grid(op.functions(d)[-1], state)] for d in range(op.directions)]
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


def _step(
    op: RnnOp | LiGruOp, d: int, around: Surroundings, loop: Loop, targets: list[GridAttr]
) -> SSAValue:
    body, grids, limit = loop.body, around.grids, op.limit
    (before,) = loop.states
    product = RecurrentProduct(grids["state"], grids["hidden"], grids["recurrent"])
    weight = around.rows(op.recurrent, "recurrent")[d]
    name = f"{symbol(op.recurrent)}.{d}"
    fed = product.gates(body, product.read(body, before), name, weight, targets)
    sums = [body.add(qnn.AddOp(u, r)) for u, r in zip(loop.steps, fed, strict=True)]
    *gate, last = op.functions(d)
    if not gate:
        made = squash(body, sums[0], last, targets[0], limit=limit)
        return stored(body, made, grids["state"])
    update = squash(body, sums[0], gate[0], targets[0], limit=limit).value
    made = squash(body, sums[1], last, targets[1], limit=limit)
    return mixed(body, update, before, complement(body, update), made, grids["state"])
