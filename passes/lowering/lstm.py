"""`nn.lstm` in integers (docs/semantics.md, LSTM layer)."""

from __future__ import annotations

import numpy as np
from xdsl.ir import SSAValue

from mohaq.compiler.analysis.storage import GATE_GRID, UNIT_GRID
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.nn import LstmOp
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.quantizer import quantize
from mohaq.passes.lowering.builder import Builder, Matrix, Rows
from mohaq.passes.lowering.cell import (
    BITS,
    FRACTION,
    complement,
    gated,
    mixed,
    of_state,
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


def lower_lstm(op: LstmOp, around: Surroundings) -> tuple[SSAValue, SSAValue, SSAValue]:
    """Emit the layer; gives (result, final h, final c)."""
    build, grids = around.build, around.grids
    rows = [0, 2, 3] if op.is_coupled else [0, 1, 2, 3]
    weight = around.rows(op.weight, "weight")[:, rows]
    bias = None if op.bias is None else around.floats(op.bias)[:, rows]
    targets = [
        [open_grid(op.functions(d)[1], grids["state"]) if row == 2 else GATE_GRID for row in rows]
        for d in range(op.directions)
    ]
    u = input_streams(op, around, weight, symbol(op.weight), bias, targets)
    outputs, finals_h, finals_c = [], [], []
    for d in range(op.directions):
        start = [around.start(slot, d) for slot in ("output", "state")]
        loop = Loop(build, u[d], [(op.outputs, BITS), (op.hidden, BITS)])
        cell = _Cell(op, d, around, loop, rows, targets[d])
        h, c = cell.emit()
        out, last_h, last_c = loop.close(start, h, [h, c], reverse=op.is_reverse(d))
        outputs.append(out)
        finals_h.append(last_h)
        finals_c.append(last_c)
    return (
        joined(build, outputs),
        stacked(build, op.final_h, finals_h),
        stacked(build, op.final_c, finals_c),
    )


class _Cell:
    """One step of one direction."""

    def __init__(
        self,
        op: LstmOp,
        d: int,
        around: Surroundings,
        loop: Loop,
        rows: list[int],
        targets: list[GridAttr],
    ) -> None:
        self._op, self._d, self._around = op, d, around
        self._body: Builder = loop.body
        self._h, self._c = loop.states
        self._u = dict(zip(rows, loop.steps, strict=True))
        self._rows, self._targets = rows, targets

    def emit(self) -> tuple[SSAValue, SSAValue]:
        """(h, c) of the step."""
        op, body, grids, limit = self._op, self._body, self._around.grids, self._op.limit
        gate, cell, shown = op.functions(self._d)
        state = grids["state"]
        product = RecurrentProduct(grids["output"], grids["hidden"], grids["recurrent"])
        weight = self._around.rows(op.recurrent, "recurrent")[self._d, self._rows]
        name = f"{symbol(op.recurrent)}.{self._d}"
        r = product.gates(body, product.read(body, self._h), name, weight, self._targets)
        sums = {
            row: body.add(qnn.AddOp(self._u[row], one))
            for row, one in zip(self._rows, r, strict=True)
        }
        i = squash(body, self._peep(sums[0], 0, self._c), gate, GATE_GRID, limit=limit).value
        if op.is_coupled:
            f = complement(body, i)
        else:
            f = squash(body, self._peep(sums[1], 1, self._c), gate, GATE_GRID, limit=limit).value
        pre = self._targets[self._rows.index(2)]
        g = squash(body, sums[2], cell, pre, limit=limit)
        c = mixed(body, f, self._c, i, g, state)
        o = squash(body, self._peep(sums[3], 2, c), gate, GATE_GRID, limit=limit).value
        visible = of_state(body, c, state, shown)
        if op.projection is None:
            return gated(body, o, visible, grids["output"]), c
        wide = shift_right(body, body.add(qnn.MulOp(o, visible.value)), FRACTION)
        return self._project(wide, visible.step), c

    def _peep(self, total: SSAValue, row: int, c: SSAValue) -> SSAValue:
        """total + p c, the product rounded to the gate grid."""
        if self._op.peephole is None:
            return total
        body, grids, name = self._body, self._around.grids, symbol(self._op.peephole)
        vectors = quantize(self._around.floats(self._op.peephole), grids["peephole"])
        p = body.parameter(f"{name}.{'ifo'[row]}{self._d}.q", vectors[self._d, row], BITS)
        scale = grids["peephole"].step * grids["state"].step
        term = body.rescale(body.add(qnn.MulOp(p, c)), [scale], [GATE_GRID])
        return body.add(qnn.AddOp(total, term))

    def _project(self, wide: SSAValue, step: float) -> SSAValue:
        """P times the 16-bit o f3(c), rounded to the output grid."""
        assert self._op.projection is not None
        grids = self._around.grids
        rows = np.asarray(self._around.floats(self._op.projection)[self._d])
        name = f"{symbol(self._op.projection)}.{self._d}"
        matrix: Matrix = self._body.matrix(name, Rows(rows), grids["projection"])
        sums = self._body.times(wide, GridAttr.of(UNIT_GRID.bits, step), matrix)
        return self._body.rescale(sums.value, sums.steps, [grids["output"]])
