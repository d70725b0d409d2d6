"""Cells that a model writes out, over all steps: which layer they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy
from torch.fx import Node
from xdsl.ir import SSAValue

from mohaq.compiler.analysis.cells import SUPPORTED, Body, build, recognize
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.frontends.pytorch.chains import TIME, WRITTEN, WrittenCell
from mohaq.compiler.frontends.pytorch.importer import Array, Call, Held, Importer, handles
from mohaq.compiler.frontends.pytorch.recurrent import cell_states
from mohaq.compiler.program import Program


@handles(WRITTEN, to="nn.rnn, nn.gru, nn.lstm, nn.ligru")
def written(work: Importer, call: Call) -> Held:
    """The layer whose step the body is, over a sequence [T, B, I]: final states, then the output."""
    cell = call.node.target
    assert isinstance(cell, WrittenCell)
    x_node, states, constants = call.node.args
    direction = call.node.meta.get(TIME)
    if direction is None:
        raise call.refuse("its steps are no loop over a sequence", "torch.nn.LSTM, GRU or RNN")
    x = work.as_value(call, work.resolve(x_node), "x")
    program = _step(work, call, cell, x, constants)  # type: ignore[arg-type]
    found = recognize(Body(program))
    if found is None:
        raise call.refuse("it is none of the cells that we know", f"a step of {SUPPORTED}")
    initial = cell_states(call, work.resolve(states))
    label = call.label()

    def parameter(name: str, array: Array) -> SSAValue:
        return work.named(name, np.asarray(array, dtype=np.float32))

    op = build(parameter, label, found, x, [initial[n] for n in found.states], direction)
    call.add(op)
    finals: list[SSAValue | None] = [None] * cell.count
    for place, final in zip(found.states, op.results[1:], strict=True):
        finals[place] = call.add(nn.SqueezeOp(final, [0]))
    return (*finals, op.results[0])


def _step(
    work: Importer, call: Call, cell: WrittenCell, x: SSAValue, constants: Sequence[Node]
) -> Program:
    """The body as a program from x [B, I] and the states to the states and the output."""
    inner = Importer(work.sizes)
    rows = work.extents.of(x)[1]
    name = rows.name.removeprefix("@") if isinstance(rows, sympy.Symbol) else "B"

    def argument(features: int) -> SSAValue:
        made = inner.net.argument([DYNAMIC, features])
        inner.extents.name(made, [name, None])
        return made

    given = [n for n in cell.body.nodes if n.op == "placeholder"]
    whole = argument(shape_of(x)[-1])
    first = 0
    for node, features in zip(given, cell.features, strict=False):
        part = whole
        if len(cell.features) > 1:
            part = inner.net.add(nn.SliceOp(whole, 1, first, first + features))
        inner.values[node.name] = part
        first += features
    rest = given[len(cell.features) :]
    for node in rest[: cell.count]:
        inner.values[node.name] = argument(int(node.meta["val"].shape[1]))
    for node, outer in zip(rest[cell.count :], constants, strict=True):
        held = work.held(outer)
        if isinstance(held, SSAValue):
            raise call.refuse("it reads a value of the model that is no parameter", "a parameter")
        inner.values[node.name] = held
    result: Node | None = None
    for node in cell.body.nodes:
        if node.op == "call_function":
            inner.run(node)
        elif node.op == "output":
            result = node
    assert result is not None
    nodes: Any = result.args[0]
    ends = [inner.as_value(Call(inner, n), inner.held(n), "state") for n in nodes]
    return inner.net.finish([*ends, ends[cell.shown]])
