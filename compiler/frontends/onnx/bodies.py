"""Bodies of Scan and Loop as programs of one step."""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from xdsl.ir import Attribute, SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.frontends.onnx.convert import (
    FOLLOWERS,
    Followed,
    GraphImporter,
    GridConstant,
    Held,
    Node,
    finish,
)
from mohaq.compiler.frontends.onnx.counters import Index, Mask, Outer
from mohaq.compiler.program import Program


@dataclass(frozen=True)
class Reading:
    """What a step takes from a sequence around the loop: extent `axis` at start + step n."""

    value: SSAValue[Attribute]
    axis: int
    start: Any
    step: int


@dataclass(frozen=True)
class Step:
    """A body as a program.

    Attributes:
        program: its results are the next states, then what is shown.
        states: which arguments are the states.
        frames: which are one step of a sequence; in the order of the importer's readings, after
            the given ones.
        live: which say whether the step counts.
    """

    program: Program
    states: list[int]
    frames: list[int]
    live: list[int]


class StepImporter(GraphImporter):
    """Imports a body; constants around it are known in it, and what it reads by its counter.

    Attributes:
        readings: sequences around the loop that it reads by an index.
        masks: masks that it reads; they differ in their lengths or positions.
    """

    def __init__(self, outer: GraphImporter) -> None:
        super().__init__(outer.opset)
        self.fold = outer.fold  # one budget for all graphs of the model
        self.outer = outer
        self.values = {
            name: held if isinstance(held, (np.ndarray, GridConstant, Followed)) else Outer(held)
            for name, held in outer.values.items()
        }
        self.readings: dict[Reading, SSAValue] = {}
        self.masks: list[Mask] = []
        self._live: list[SSAValue] = []

    def state(self, name: str, size: int) -> int:
        """A state [B, size]; gives the number of the argument."""
        return self._argument(name, self._named([DYNAMIC, size]))

    def frame(self, name: str, sequence: Held) -> int | None:
        """One step of a scanned sequence; None if it is followed instead of computed."""
        if isinstance(sequence, (Index, Mask)):
            assert sequence.axes[0] == 0
            rest = tuple(a - 1 for a in sequence.axes[1:])
            kind: Any = Index if isinstance(sequence, Index) else Mask
            facts = {k: v for k, v in vars(sequence).items() if k not in {"rank", "axes"}}
            self.values[name] = kind(sequence.rank - 1, rest, **facts)
            return None
        return self._argument(name, self._named([DYNAMIC, *shape_of(sequence)[2:]]))

    def _named(self, shape: list[int]) -> SSAValue:
        value = self.net.argument(shape)
        self.extents.name(value, ["B" if n == DYNAMIC else None for n in shape])
        return value

    def _argument(self, name: str, value: SSAValue) -> int:
        self.values[name] = value
        return len(self.net.arguments) - 1

    def convert(self, node: Node) -> None:
        """As the base; what only reads values from around the loop is computed there."""
        held = [self.values.get(name) for name in node.inputs if name]
        if any(isinstance(h, Outer) for h in held) and all(
            isinstance(h, (Outer, np.ndarray, GridConstant)) for h in held
        ):
            self._hoist(node)
        else:
            super().convert(node)

    def _hoist(self, node: Node) -> None:
        around = self.outer.values
        mine = {
            name: held.value if isinstance(held, Outer) else held
            for name in node.inputs
            if (held := self.values.get(name)) is not None
        }
        self.outer.values = ChainMap(mine, around)
        try:
            self.outer.convert(node)
            made = {name: self.outer.values[name] for name in node.outputs if name}
        finally:
            self.outer.values = around
        for name, value in made.items():
            plain = isinstance(value, (np.ndarray, GridConstant, Followed))
            self.values[name] = value if plain else Outer(value)

    def read(self, node: Node, outer: Outer, axis: int, index: Index) -> SSAValue:
        """A sequence [T, B, F] (or [B, T, F]) around the loop at one position: [B, F]."""
        sequence = outer.value
        if not isinstance(sequence, SSAValue) or len(shape_of(sequence)) != 3 or axis > 1:
            raise node.refuse("its body reads something else than a sequence [T, B, F] by number")
        reading = Reading(sequence, axis, index.start, index.step)
        if reading not in self.readings:
            self.readings[reading] = self._named([DYNAMIC, shape_of(sequence)[2]])
        return self.readings[reading]

    def as_value(self, node: Node, found: Held, name: str) -> SSAValue:
        """As the base; masks are arguments of the step, 1 where it counts."""
        if not isinstance(found, Mask) or len(found.axes) != 1:
            return super().as_value(node, found, name)
        live = self._live_of(found)
        before, after = found.axes[0], found.rank - found.axes[0] - 1
        if after == 0:
            live = self.add(node, nn.SqueezeOp(live, [1]))
        elif after > 1:
            live = self.add(node, nn.UnsqueezeOp(live, list(range(2, after + 1))))
        if before:
            live = self.add(node, nn.UnsqueezeOp(live, list(range(before))))
        if found.inverted:
            live = self.add(node, nn.UnaryOp(FunctionAttr.of("affine", -1.0, 1.0), live))
        return live

    def _live_of(self, mask: Mask) -> SSAValue:
        for known, live in zip(self.masks, self._live, strict=True):
            if known.lengths is mask.lengths and (known.start, known.step) == (
                mask.start,
                mask.step,
            ):
                return live
        self.masks.append(mask)
        self._live.append(self._named([DYNAMIC, 1]))
        return self._live[-1]

    def step(self, graph: onnx.GraphProto, states: list[int], frames: list[int]) -> Step:
        """Import the body's nodes.

        Args:
            graph: the body, its inputs known.
            states: arguments that are states.
            frames: arguments that are steps of scanned sequences.
        """
        program = finish(self, graph)
        number: dict[SSAValue, int] = {v: n for n, v in enumerate(program.entry.args)}
        read = [number[v] for v in self.readings.values()]
        return Step(program, states, [*frames, *read], [number[v] for v in self._live])


def _gather(work: GraphImporter, node: Node) -> list[Held] | None:
    """A sequence around the loop at the loop's position."""
    index = work.held(node, 1)
    if not isinstance(work, StepImporter) or not isinstance(index, Index) or index.axes:
        return None
    outer = work.held(node, 0)
    if not isinstance(outer, Outer) or index.rank > 1:
        return None
    axis = int(node.get("axis", 0)) % max(len(shape_of(outer.value)), 1)
    frame = work.read(node, outer, axis, index)
    return [work.add(node, nn.UnsqueezeOp(frame, [axis])) if index.rank else frame]


FOLLOWERS["Gather"] = _gather


def batched(node: Node, graph: onnx.GraphProto) -> None:
    """A body of opset 8, which sees one sequence at a time, for a batch: every axis one later.

    Raises:
        MohaqError: it holds an operator for which that is not enough.
    """
    for one in graph.node:
        if one.op_type not in AXES | EVERYWHERE:
            raise node.refuse(f"its body of opset 8 holds {one.op_type}", "opset 9 or newer")
        if one.op_type in {"Concat", "Split"} and not any(a.name == "axis" for a in one.attribute):
            one.attribute.append(onnx.helper.make_attribute("axis", 0))
        for attribute in one.attribute:
            if attribute.name == "axis" and attribute.i >= 0:
                attribute.i += 1
            elif attribute.name == "axes":
                attribute.ints[:] = [a + 1 if a >= 0 else a for a in attribute.ints]


AXES = {"Concat", "Split", "Unsqueeze", "Squeeze"}
EVERYWHERE = {
    *("Identity", "MatMul", "Add", "Sub", "Mul", "Div", "Sum", "Neg", "Max", "Min"),
    *("Tanh", "Sigmoid", "Relu", "HardSigmoid", "Softsign", "Softplus", "Elu", "LeakyRelu"),
    *("ThresholdedRelu", "Clip", "Constant", "Dropout", "Cast"),
}
"""Operators of a body of opset 8: with axes, and without."""


def dead_step(step: Step, seed: int = 3) -> tuple[bool, bool]:
    """What a step does that does not count: (states stay, what is shown is zero).

    Raises:
        MohaqError: the body cannot be run.
    """
    from mohaq.compiler.interpreters.float_nn import run_float

    rng = np.random.default_rng(seed)
    given = []
    for n, value in enumerate(step.program.entry.args):
        size = shape_of(value)[-1]
        data = rng.normal(size=(2, size)).astype(np.float32)
        given.append(np.zeros_like(data) if n in step.live else data)
    made = run_float(step.program, given)
    count = len(step.states)
    stays = all(np.array_equal(m, given[n]) for m, n in zip(made, step.states, strict=False))
    return stays, not any(np.any(m) for m in made[count:])
