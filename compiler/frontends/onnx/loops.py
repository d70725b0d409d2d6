"""Scan and Loop whose body is a step of one of our cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from xdsl.ir import SSAValue

from mohaq.compiler.analysis.cells import CLIPPED, SUPPORTED, build, recognize, two_taps
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.frontends.onnx.bodies import Reading, Step, StepImporter, batched, dead_step
from mohaq.compiler.frontends.onnx.convert import GraphImporter, Held, Node, Spread, converts
from mohaq.compiler.frontends.onnx.counters import Index, Mask
from mohaq.compiler.frontends.onnx.joining import joined
from mohaq.compiler.frontends.onnx.sizes import sizes_of

ZEROS = "outputs that are zero beyond a sequence's length"


@dataclass(frozen=True)
class Walk:
    """How a loop runs over its sequences.

    Attributes:
        states: which of the node's inputs are the states [B, n].
        sequences: [T, B, F], one for each frame of the step.
        reverse: from the last step to the first.
        lengths: steps of each sequence; None for all.
        count: of the outputs that are sequences.
    """

    states: Sequence[int]
    sequences: Sequence[SSAValue]
    reverse: bool
    lengths: SSAValue | None
    count: int


@converts("Scan", to="nn.rnn, nn.gru, nn.lstm, nn.ligru, nn.sru, nn.qrnn")
def scan(work: GraphImporter, node: Node) -> list[Held]:
    """A loop over the first extent of its inputs, [T, B, F]; states [B, n].

    The Scan of opset 8 has the batch first, and the lengths of the sequences as first input.
    """
    graph = onnx.GraphProto()
    graph.CopyFrom(node.get("body"))
    old = work.opset < 9
    number = int(node.get("num_scan_inputs"))
    states = list(range(int(old), len(node.inputs) - number))
    if not states:
        raise node.refuse("it carries no state", "the same operations on the whole sequence")
    if number < 1:
        raise node.refuse("it has no sequence")
    _check_axes(node)
    held = [work.held(node, n) for n in range(states[-1] + 1, len(node.inputs))]
    names = [i.name for i in graph.input]
    if len(names) != len(states) + number:
        raise node.refuse(f"its body has {len(names)} inputs, not {len(states) + number}")
    lengths = None
    if old:
        batched(node, graph)
        values = [
            work.as_value(node, h, n) for h, n in zip(held, node.inputs[-number:], strict=True)
        ]
        held = [
            work.add(node, nn.TransposeOp(v, (1, 0, 2))) if len(shape_of(v)) == 3 else v
            for v in values
        ]
        lengths = work.tensor(node, 0) if node.given(0) else None
    inner = StepImporter(work)
    places = [
        inner.state(name, _size(work, node, n)) for name, n in zip(names, states, strict=False)
    ]
    frames, sequences = [], []
    for name, one, given in zip(names[len(states) :], held, node.inputs[-number:], strict=True):
        followed = isinstance(one, (Index, Mask)) and one.axes[:1] == (0,)
        value = one if followed else work.as_value(node, one, given)
        if not followed and len(shape_of(value)) != 3:
            raise node.refuse("its inputs are no sequences [T, B, F]")
        place = inner.frame(name, value)
        if place is not None:
            frames.append(place)
            sequences.append(value)
    step = inner.step(graph, places, frames)
    if inner.readings or not sequences:
        raise node.refuse("its body picks steps of a sequence by number", "a scanned input")
    if inner.masks:
        lengths = _lengths(work, node, inner, (0, 1), lengths)
    reverse = _direction(node, number)
    if old and reverse and lengths is not None:
        raise node.refuse(
            "it walks backwards over sequences of different lengths, and shows the last step first",
            "the Scan of opset 9 with scan_output_directions",
        )
    walk = Walk(states, sequences, reverse, lengths, len(node.outputs) - len(states))
    finals, results = _layer(work, node, step, walk)
    if old:  # it has no scan_output_directions: results stand in the order of the steps
        if reverse:
            results = _backwards(work, node, results)
        results = [work.add(node, nn.TransposeOp(r, (1, 0, 2))) for r in results]
    return [*finals, *results]


@converts("Loop", to="nn.rnn, nn.gru, nn.lstm, nn.ligru, nn.sru, nn.qrnn")
def loop(work: GraphImporter, node: Node) -> list[Held]:
    """As many steps as a sequence has, each reading Gather(sequence, i), or T - 1 - i."""
    graph = onnx.GraphProto()
    graph.CopyFrom(node.get("body"))
    if node.given(1):
        held = work.held(node, 1)
        if not (isinstance(held, np.ndarray) and held.dtype == bool and held.all()):
            raise node.refuse("its condition is computed", "a condition that is always true")
    _check_condition(node, graph, graph.input[1].name)
    if not node.given(0):
        raise node.refuse("it has no trip count")
    trips = work.held(node, 0)
    if not isinstance(trips, np.ndarray) or trips.size != 1:
        raise node.refuse("its trip count is computed from data", "the length of a sequence")
    total = trips.reshape(-1)[0]
    del graph.output[:1]
    _prune(graph)
    given = list(range(2, len(node.inputs)))
    counters = [n for n in given if _is_number(work.held(node, n))]
    states = [n for n in given if n not in counters]
    if not states:
        raise node.refuse("it carries no state", "the same operations on the whole sequence")
    for ways in product((1, -1), repeat=len(counters)):
        inner, step, ok = _counted(work, node, graph, dict(zip(counters, ways, strict=True)))
        if ok:
            break
    else:
        raise node.refuse("it carries a number that does not count by one")
    position = _position(node, inner, total)
    reverse = position[1] == -1
    sequences = [_time_first(work, node, r, total) for r in inner.readings]
    lengths = _lengths(work, node, inner, position, None) if inner.masks else None
    walk = Walk(states, sequences, reverse, lengths, len(node.outputs) - len(given))
    finals, results = _layer(work, node, step, walk)
    made: list[Held] = []
    for n in given:
        if n in counters:
            first = work.held(node, n)
            made.append(np.asarray(first + ways[counters.index(n)] * total, dtype=object))
        else:
            made.append(finals[states.index(n)])
    if reverse:  # results stand in the order of the steps
        results = _backwards(work, node, results)
    return [*made, *results]


def _is_number(held: Held) -> bool:
    return isinstance(held, np.ndarray) and held.size == 1 and held.dtype.kind in "iuO"


def _counted(
    work: GraphImporter, node: Node, graph: onnx.GraphProto, ways: dict[int, int]
) -> tuple[StepImporter, Step, bool]:
    """The body where numbers that it carries go up or down; whether they do so."""
    inner = StepImporter(work)
    body = onnx.GraphProto()
    body.CopyFrom(graph)
    names = [i.name for i in body.input]
    inner.values[names[0]] = Index(0, (), 0, 1)
    inner.values[names[1]] = np.array(True)
    places = []
    nexts = {}
    for n, name in zip(range(2, len(node.inputs)), names[2:], strict=True):
        if n in ways:
            held = work.held(node, n)
            inner.values[name] = Index(np.ndim(held), (), held.reshape(-1)[0], ways[n])
            nexts[body.output[n - 2].name] = (inner.values[name], ways[n])
        else:
            places.append(inner.state(name, _size(work, node, n)))
    kept = [o for o in body.output if o.name not in nexts]
    copies = [onnx.ValueInfoProto.FromString(o.SerializeToString()) for o in kept]
    del body.output[:]
    body.output.extend(copies)
    step = inner.step(body, places, [])
    ok = True
    for name, (before, by) in nexts.items():
        after = inner.values.get(name)
        ok = (
            ok
            and isinstance(after, Index)
            and after.step == by
            and after.start == before.start + by
        )
    return inner, step, ok


def _position(node: Node, inner: StepImporter, total: Any) -> tuple[Any, int]:
    """First position and direction of what the steps read.

    Raises:
        MohaqError: not all of T steps in order, for all sequences the same.
    """
    found = {(r.start, r.step) for r in inner.readings}
    if not found:
        raise node.refuse("its body reads no sequence by the loop's counter")
    if len(found) > 1:
        raise node.refuse("its body reads sequences at different positions in one step")
    start, step = found.pop()
    if start != (0 if step == 1 else total - 1):
        raise node.refuse("it does not read a sequence from end to end", "x[i] or x[T - 1 - i]")
    return start, step


def _time_first(work: GraphImporter, node: Node, reading: Reading, total: Any) -> SSAValue:
    if work.extents.of(reading.value)[reading.axis] != total:
        raise node.refuse("its trip count is not the length of the sequences that it reads")
    if reading.axis == 0:
        return reading.value
    return work.add(node, nn.TransposeOp(reading.value, (1, 0, 2)))


def _lengths(
    work: GraphImporter,
    node: Node,
    inner: StepImporter,
    position: tuple[Any, int],
    given: SSAValue | None,
) -> SSAValue:
    """The lengths [B] that the body's mask compares the position with."""
    mask, *others = inner.masks
    if others or given is not None:
        raise node.refuse("its body has two masks of sequence lengths", "one mask")
    if (mask.start, mask.step) != position:
        raise node.refuse("its mask does not compare lengths with the position that is read")
    if isinstance(mask.lengths, np.ndarray):
        return work.parameter(f"{node.name}.lengths", mask.lengths.astype(np.int64))
    found: SSAValue = mask.lengths
    return found


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
    work: GraphImporter, node: Node, step: Step, walk: Walk
) -> tuple[list[SSAValue | None], list[SSAValue]]:
    """The layer that a body is a step of: its final states [B, n] and its results [T, B, n].

    Raises:
        MohaqError: the body is no step of a cell that we know.
    """
    initial = [_state(work, node, n) for n in walk.states]
    whole = joined(work.net, step, walk.sequences)
    found = recognize(whole.body)
    if found is None:
        raise node.refuse("its body is no recurrent cell that we know", f"a step of {SUPPORTED}")
    direction = "reverse" if walk.reverse else "forward"
    if walk.lengths is not None:
        _check_lengths(node, step, found.kind)
    label = work.label(node, found.kind)
    given = [initial[n] for n in found.states]
    x, shift = whole.x, whole.shift
    if shift is not None and found.kind == "qrnn" and shift.reverse == walk.reverse:
        found, given = two_taps(found), [*given, shift.first]
    elif shift is not None:
        x = work.add(node, nn.ConcatOp([shift.value, x], 2))
    op = build(work.net.parameter, label, found, x, given, direction, walk.lengths)
    result = work.add(node, op)
    finals: list[SSAValue | None] = [None] * len(walk.states)
    for place, final in zip(found.states, op.results[1:], strict=False):
        if node.outputs[place]:
            finals[place] = work.add(node, nn.SqueezeOp(final, [0]))
    return finals, [result] * walk.count


def _backwards(work: GraphImporter, node: Node, results: list[SSAValue]) -> list[SSAValue]:
    """Results in the order of the steps; all are the same one."""
    return [work.add(node, nn.FlipOp(r, 0)) for r in results[:1]] * len(results)


def _check_lengths(node: Node, step: Step, kind: str) -> None:
    """A layer with lengths keeps its states and gives zeros where a step does not count."""
    if kind not in CLIPPED:
        raise node.refuse(f"its {kind.upper()} masks steps by sequence lengths", "full length")
    stays, zero = dead_step(step) if step.live else (True, True)
    if not stays:
        raise node.refuse(
            "its states change beyond a sequence's length", "Where(t < len, new, old)"
        )
    if not zero:
        raise node.refuse("beyond a sequence's length it shows something else than zero", ZEROS)


def _check_axes(node: Node) -> None:
    for name in ("scan_input_axes", "scan_output_axes"):
        if any(int(a) != 0 for a in node.get(name) or []):
            raise node.refuse("it walks along another extent than the first", "time-first inputs")


def _direction(node: Node, count: int) -> bool:
    """Whether it walks backwards.

    Raises:
        MohaqError: some inputs or outputs go one way, some the other.
    """
    said = node.get("scan_input_directions") or node.get("directions") or [0] * count
    given = [int(d) for d in said]
    if "directions" not in node:  # opset 8
        said = node.get("scan_output_directions")
        outputs = len(node.outputs) - (len(node.inputs) - count)
        given += [int(d) for d in said or [0] * outputs]
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
