"""The step of a loop with what exporters moved in front of the loop put back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Operation, SSAValue

from mohaq.compiler.analysis.cells import Body
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.frontends.onnx.bodies import Step
from mohaq.compiler.network import Network


@dataclass(frozen=True)
class Shift:
    """A sequence moved by one step: x_{t-1} (`reverse`: x_{t+1}).

    Attributes:
        value: the moved sequence, [T, B, F].
        source: x.
        first: what stands where x has no step, [1, B, F]; None for zeros.
        reverse: which way it moved.
    """

    value: SSAValue
    source: SSAValue
    first: SSAValue | None
    reverse: bool


@dataclass(frozen=True)
class Joined:
    """A step and the sequence that it reads.

    Attributes:
        x: the sequence [T, B, F].
        shift: x moved by one step, where the step reads [moved x, x] side by side.
        body: the step.
    """

    x: SSAValue
    shift: Shift | None
    body: Body


def joined(net: Network, inner: Step, sequences: Sequence[SSAValue]) -> Joined:
    """Framewise operations between one common sequence and the loop's inputs join the step.

    Without a common sequence the step reads all inputs side by side. Every step counts: masks
    are for who asks what happens where they are false.

    Args:
        net: the network around the loop.
        inner: the loop's body.
        sequences: what the frames are taken from, [T, B, F].
    """
    region = _region(sequences)
    step = Network()
    shift = None
    if region is None:
        x = sequences[0] if len(sequences) == 1 else net.add(nn.ConcatOp(list(sequences), 2))
        arg = step.argument([DYNAMIC, shape_of(x)[2]])
        given = []
        first = 0
        for one in sequences:
            size = shape_of(one)[2]
            given.append(step.add(nn.SliceOp(arg, 1, first, first + size)))
            first += size
    else:
        x, shift, ops = region
        features = shape_of(x)[2]
        # One frame is a sequence of one step here, so that the operations fit as they are.
        arg = step.argument([DYNAMIC, DYNAMIC, features * (1 if shift is None else 2)])
        values: dict[SSAValue, SSAValue] = {x: arg}
        if shift is not None:
            values[shift.value] = step.add(nn.SliceOp(arg, 2, 0, features))
            values[x] = step.add(nn.SliceOp(arg, 2, features))
        for op in ops:
            _copy(net, step, op, values)
        given = [step.add(nn.SqueezeOp(values[s], [0])) for s in sequences]
    program = inner.program
    args = program.entry.args
    mapping: dict[SSAValue, SSAValue] = {
        args[n]: step.argument([DYNAMIC, shape_of(args[n])[1]]) for n in inner.states
    }
    mapping |= {args[n]: value for n, value in zip(inner.frames, given, strict=True)}
    mapping |= {args[n]: step.parameter("always", np.ones((1, 1))) for n in inner.live}
    end = program.entry.body.block.last_op
    assert isinstance(end, ReturnOp)
    for op in program.entry.body.block.ops:
        if isinstance(op, LoadOp):
            mapping[op.result] = step.parameter(f"body.{op.symbol}", program.parameters[op.symbol])
        elif op is not end:
            step.add(op.clone(value_mapper=mapping))
    return Joined(x, shift, Body(step.finish([mapping[v] for v in end.operands])))


def _copy(net: Network, step: Network, op: Operation, values: dict[SSAValue, SSAValue]) -> None:
    for value in op.operands:
        if isinstance(value.owner, LoadOp) and value not in values:
            symbol = value.owner.symbol
            values[value] = step.parameter(symbol, net.data(symbol))
    step.add(op.clone(value_mapper=values))


def _framewise(op: object) -> bool:
    """Whether an operation treats every frame of [T, B, F] by itself."""
    match op:
        case nn.LinearOp() | nn.UnaryOp():
            return True
        case nn.SliceOp() | nn.ConcatOp():
            return op.axis.value.data == 2
        case nn.BinaryOp():
            return all(
                len(shape_of(v)) <= 1 if isinstance(v.owner, LoadOp) else len(shape_of(v)) == 3
                for v in op.operands
            )
    return False


def _computed(op: Operation) -> Iterator[SSAValue]:
    return (v for v in op.operands if not isinstance(v.owner, LoadOp))


def _region(
    sequences: Sequence[SSAValue],
) -> tuple[SSAValue, Shift | None, list[Operation]] | None:
    """The nearest value that all sequences are computed from frame by frame.

    Returns:
        The value, its move by one step if that is read, too, and the operations in order; None
        when there is no such value.
    """
    barred: set[SSAValue] = set()
    while True:
        graph, shifts = _graph(sequences, barred)
        above = nx.immediate_dominators(graph, "loop")
        source: SSAValue | str = "end"
        while above[source] != "loop":
            source = above[source]
        if isinstance(source, str):
            return None
        reached = nx.descendants(graph.subgraph(set(graph) - {source}), "loop")
        inside = {v for v in reached if v != "end"}
        wrong = {v for v in inside if v in shifts and shifts[v].source is not source}
        found = [shifts[v] for v in inside if v in shifts]
        if not wrong and len(found) <= 1:
            break
        barred |= wrong or {s.value for s in found}
    ops = {v.owner for v in inside if v not in shifts}
    block = next(iter(ops)).parent if ops else None
    ordered = [] if block is None else [op for op in block.ops if op in ops]
    return source, found[0] if found else None, ordered


def _graph(
    sequences: Sequence[SSAValue], barred: set[SSAValue]
) -> tuple[nx.DiGraph, dict[SSAValue, Shift]]:
    """Who reads whom, from the loop over framewise operations and moves by a step to the end."""
    graph = nx.DiGraph()
    shifts: dict[SSAValue, Shift] = {}
    waiting = list(dict.fromkeys(sequences))
    graph.add_edges_from(("loop", s) for s in waiting)
    seen: set[SSAValue] = set()
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        read: list[SSAValue] = []
        shift = None if value in barred else shift_of(value)
        if shift is not None:
            shifts[value] = shift
            read = [shift.source]
        elif isinstance(value.owner, Operation) and _framewise(value.owner):
            read = list(_computed(value.owner))
        graph.add_edges_from((value, r) for r in read)
        if not read:
            graph.add_edge(value, "end")
        waiting += read
    return graph, shifts


def shift_of(value: SSAValue) -> Shift | None:
    """What a sequence is if it is another one moved by one step."""
    op = value.owner
    if isinstance(op, nn.PadOp) and op.axis.value.data == 0:
        pads = (op.before.value.data, op.after.value.data)
        if pads not in ((1, 0), (0, 1)) or op.mode.data != "constant" or op.value.value.data != 0:
            return None
        parts: list[SSAValue | None] = [None, op.input] if pads[0] else [op.input, None]
    elif isinstance(op, nn.ConcatOp) and op.axis.value.data == 0 and len(op.parts) == 2:
        parts = list(op.parts)
    else:
        return None
    for reverse, (first, rest) in enumerate((parts, parts[::-1])):
        cut = None if rest is None else rest.owner
        if not isinstance(cut, nn.SliceOp) or cut.axis.value.data != 0:
            continue
        wanted = slice(1, None, 1) if reverse else slice(0, -1, 1)
        if cut.range == wanted and (first is None or shape_of(first)[0] == 1):
            return Shift(value, cut.input, first, bool(reverse))
    return None
