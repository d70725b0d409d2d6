"""Scan and Loop whose body is a step of one of our cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import numpy_helper
from xdsl.ir import SSAValue

from mohaq.compiler.analysis.cells import SUPPORTED, build, recognize, two_taps
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.frontends.onnx.convert import (
    GraphImporter,
    Held,
    Node,
    Spread,
    body_program,
    converts,
)
from mohaq.compiler.frontends.onnx.joining import joined
from mohaq.compiler.frontends.onnx.sizes import sizes_of
from mohaq.compiler.frontends.refuse import shown


@converts("Scan", to="nn.rnn, nn.gru, nn.lstm, nn.ligru, nn.sru, nn.qrnn")
def scan(work: GraphImporter, node: Node) -> list[Held]:
    """A loop over the first extent of its inputs, [T, B, F]; states [B, n]."""
    if work.opset < 9:
        raise node.refuse("the Scan of opset 8 is not supported", "opset 9 or newer")
    graph = node.get("body")
    count = int(node.get("num_scan_inputs"))
    state_count = len(node.inputs) - count
    if state_count == 0:
        raise node.refuse("it carries no state", "the same operations on the whole sequence")
    _check_axes(node, count)
    reverse = _direction(node, count)
    sequences = [work.tensor(node, state_count + n) for n in range(count)]
    states = list(range(state_count))
    return _layer(work, node, graph, states, sequences, reverse=reverse)


@converts("Loop", to="nn.rnn, nn.gru, nn.lstm, nn.ligru, nn.sru, nn.qrnn")
def loop(work: GraphImporter, node: Node) -> list[Held]:
    """As many steps as a sequence has, each reading Gather(sequence, i) along the first extent."""
    graph = onnx.GraphProto()
    graph.CopyFrom(node.get("body"))
    counter, condition = graph.input[0].name, graph.input[1].name
    if node.given(1):
        held = work.held(node, 1)
        if not (isinstance(held, np.ndarray) and held.dtype == bool and held.all()):
            raise node.refuse("its condition is computed", "a condition that is always true")
    _check_condition(node, graph, condition)
    if not node.given(0):
        raise node.refuse("it has no trip count")
    names = _steps(graph, counter)
    if not names:
        raise node.refuse("its body reads no sequence by the loop's counter")
    sequences = []
    for name in names:
        if name not in work.values:
            raise node.refuse(f"its sequence '{shown(name)}' is computed by no node")
        sequences.append(work.as_value(node, work.values[name], name))
    trips = work.held(node, 0)
    extents = {work.extents.of(s)[0] for s in sequences}
    if not isinstance(trips, np.ndarray) or {trips.reshape(-1).tolist()[0]} != extents:
        raise node.refuse("its trip count is not the length of the sequences that it reads")
    states = list(range(2, len(node.inputs)))
    if not states:
        raise node.refuse("it carries no state", "the same operations on the whole sequence")
    del graph.input[:2], graph.output[:1]
    _prune(graph)
    for name in names:
        graph.input.append(onnx.ValueInfoProto(name=f"{name}/step"))
    return _layer(work, node, graph, states, sequences, reverse=False)


def _check_condition(node: Node, graph: onnx.GraphProto, given: str) -> None:
    """The body's condition must be the one that it was given, or constant true."""
    name = graph.output[0].name
    for one in graph.node:
        if name in one.output and one.op_type == "Identity":
            name = one.input[0]
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for one in graph.node:
        if one.op_type == "Constant" and one.output[0] == name:
            value = Node(one).get("value")
            if isinstance(value, np.ndarray):
                constants[name] = value
    if name != given and not (name in constants and np.all(constants[name])):
        raise node.refuse("its body decides when it ends", "a condition that is always true")


def _steps(graph: onnx.GraphProto, counter: str) -> list[str]:
    """Sequences that are read by the counter; their Gather nodes become the step's inputs."""
    found: dict[str, None] = {}
    kept = []
    for one in graph.node:
        axis = next((a.i for a in one.attribute if a.name == "axis"), 0)
        if one.op_type == "Gather" and one.input[1] == counter and axis == 0:
            found[one.input[0]] = None
            made = onnx.NodeProto(op_type="Identity", name=one.name)
            made.input.append(f"{one.input[0]}/step")
            made.output.append(one.output[0])
            kept.append(made)
        else:
            kept.append(one)
    copies = [onnx.NodeProto.FromString(k.SerializeToString()) for k in kept]
    del graph.node[:]
    graph.node.extend(copies)
    return list(found)


def _prune(graph: onnx.GraphProto) -> None:
    """Drop nodes that no output needs, as those of the condition."""
    needed = {o.name for o in graph.output}
    kept = []
    for one in reversed(graph.node):
        if needed & set(one.output):
            needed.update(one.input)
            kept.append(onnx.NodeProto.FromString(one.SerializeToString()))
    del graph.node[:]
    graph.node.extend(reversed(kept))


def _layer(
    work: GraphImporter,
    node: Node,
    graph: onnx.GraphProto,
    states: Sequence[int],
    sequences: Sequence[SSAValue],
    *,
    reverse: bool,
) -> list[Held]:
    """The layer that a body is a step of.

    Args:
        work: the importer.
        node: the loop.
        graph: the body: inputs the states, then the steps; outputs the states, then what is shown.
        states: inputs of the node that are initial states.
        sequences: [T, B, F] that the steps are taken from.
        reverse: walk backwards.

    Raises:
        MohaqError: the body is no step of a cell that we know.
    """
    if any(len(shape_of(s)) != 3 for s in sequences):
        raise node.refuse("its inputs are no sequences [T, B, F]")
    count = len(states)
    initial = [_state(work, node, n) for n in states]
    shapes = [[DYNAMIC, _size(work, node, n)] for n in states]
    shapes += [[DYNAMIC, shape_of(s)[-1]] for s in sequences]
    inner = body_program(work, graph, shapes)
    step = joined(work.net, inner, sequences, count)
    found = recognize(step.body)
    if found is None:
        raise node.refuse("its body is no recurrent cell that we know", f"a step of {SUPPORTED}")
    label = work.label(node, found.kind)
    given = [initial[n] for n in found.states]
    x, shift = step.x, step.shift
    if shift is not None and found.kind == "qrnn" and shift.reverse == reverse:
        found, given = two_taps(found), [*given, shift.first]
    elif shift is not None:
        x = work.add(node, nn.ConcatOp([shift.value, x], 2))
    op = build(work.net.parameter, label, found, x, given, "reverse" if reverse else "forward")
    result = work.add(node, op)
    finals: dict[int, SSAValue] = {}
    for place, final in zip(found.states, op.results[1:], strict=False):
        if node.outputs[place]:
            finals[place] = work.add(node, nn.SqueezeOp(final, [0]))
    outputs: list[Held] = [finals.get(n) for n in range(count)]
    return [*outputs, *[result] * (len(node.outputs) - count)]


def _check_axes(node: Node, count: int) -> None:
    for name in ("scan_input_axes", "scan_output_axes"):
        if any(int(a) != 0 for a in node.get(name) or []):
            raise node.refuse("it walks along another extent than the first", "time-first inputs")
    if count < 1:
        raise node.refuse("it has no sequence")


def _direction(node: Node, count: int) -> bool:
    """Whether it walks backwards.

    Raises:
        MohaqError: some inputs or outputs go one way, some the other.
    """
    given = [int(d) for d in node.get("scan_input_directions") or [0] * count]
    outputs = len(node.outputs) - (len(node.inputs) - count)
    given += [int(d) for d in node.get("scan_output_directions") or [0] * outputs]
    if len(set(given)) != 1:
        raise node.refuse("its inputs and outputs go both ways", "one direction for all")
    return given[0] == 1


def _size(work: GraphImporter, node: Node, position: int) -> int:
    held = work.held(node, position)
    shape = sizes_of(work, node, held)
    if len(shape) != 2 or not isinstance(shape[1], int):
        raise node.refuse("its states are not [B, n] with a known n")
    return shape[1]


def _state(work: GraphImporter, node: Node, position: int) -> SSAValue | None:
    """An initial state as [1, B, n]; zeros are left out."""
    held = work.held(node, position)
    if isinstance(held, Spread):
        value = held.value
        if not isinstance(value, SSAValue) and not value.any():
            return None
        held = value
    if not isinstance(held, SSAValue) and not held.any():
        return None
    return work.add(node, nn.UnsqueezeOp(work.as_value(node, held, node.inputs[position]), [0]))
