"""`nn.qrnn` in integers (docs/semantics.md, QRNN layer)."""

from __future__ import annotations

from xdsl.ir import SSAValue

from mohaq.compiler.analysis.storage import GATE_GRID
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.nn import FunctionAttr, QrnnOp
from mohaq.compiler.dialects.types import shape_of
from mohaq.passes.lowering.cell import BITS, FRACTION, complement, mixed, shift_right, squash
from mohaq.passes.lowering.loop import (
    Loop,
    Surroundings,
    input_streams,
    joined,
    stacked,
    symbol,
)


def lower_qrnn(op: QrnnOp, around: Surroundings) -> tuple[SSAValue, SSAValue, SSAValue]:
    """Emit the layer; gives (result, final c, last input).

    Window 2: a scan that only carries the input gives the previous one, and one product reads
    both side by side, so nothing is rounded between the taps.
    """
    build = around.build
    name = symbol(op.weight)
    count, gates, hidden, window, features = shape_of(op.weight)
    weight = around.rows(op.weight, "weight", (count, gates, hidden, window * features))
    bias = None if op.bias is None else around.floats(op.bias)
    lasts: list[SSAValue] = []
    if window == 1:
        targets = [[GATE_GRID] * gates] * count
        u = input_streams(op, around, weight, name, bias, targets)
    else:
        u = []
        read = around.read()
        for d in range(count):
            before, last = _shifted(op, d, around, read)
            u += input_streams(
                op,
                around,
                weight[d : d + 1],
                f"{name}.{d}",
                None if bias is None else bias[d : d + 1],
                [[GATE_GRID] * gates],
                read=build.add(qnn.ConcatOp([before, read])),
                title=f"bias.{d}",
            )
            lasts.append(last)
    outputs, finals = [], []
    for d in range(count):
        start = [around.start("state", d)]
        loop = Loop(build, u[d], [(hidden, BITS)])
        h, c = _step(op, around, loop)
        out, final = loop.close(start, h, [c], reverse=op.is_reverse(d))
        outputs.append(out)
        finals.append(final)
    if list(op.final_input.uses) and not lasts:
        read = around.read()
        lasts = [_shifted(op, d, around, read)[1] for d in range(count)]
    last = stacked(build, op.final_input, lasts) if lasts else around.x
    return joined(build, outputs), stacked(build, op.final_state, finals), last


def _shifted(op: QrnnOp, d: int, around: Surroundings, read: SSAValue) -> tuple[SSAValue, SSAValue]:
    """The input one step before (in walking order), and the last input."""
    features, bits = shape_of(read)[-1], around.grids["input"].bits
    start = [around.start("input", d)]
    loop = Loop(around.build, [read], [(features, bits)])
    before, last = loop.close(start, loop.states[0], loop.steps, reverse=op.is_reverse(d))
    return before, last


def _step(op: QrnnOp, around: Surroundings, loop: Loop) -> tuple[SSAValue, SSAValue]:
    """(h, c) of a step."""
    body, state = loop.body, around.grids["state"]
    (before,) = loop.states
    sigmoid, tanh = FunctionAttr.of("sigmoid"), FunctionAttr.of("tanh")
    z = squash(body, loop.steps[0], tanh, GATE_GRID)
    f, *rest = (squash(body, u, sigmoid, GATE_GRID).value for u in loop.steps[1:])
    fresh = rest[1] if op.pooling.data == "ifo" else complement(body, f)
    c = mixed(body, f, before, fresh, z, state)
    if op.pooling.data == "f":
        return c, c
    return shift_right(body, body.add(qnn.MulOp(rest[0], c)), FRACTION), c
