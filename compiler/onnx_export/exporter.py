"""What the conversion of every operation works with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.ir import Operation, SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FunctionAttr, LayerOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.onnx_export.functions import apply
from mohaq.compiler.onnx_export.graph import OPSET, OnnxGraph
from mohaq.compiler.program import Program

Array = npt.NDArray[Any]


class Exporter:
    """An ONNX graph under construction for a program.

    graph: where nodes go. values: name of the ONNX value of every value of the program.
    """

    def __init__(self, program: Program, graph: OnnxGraph | None = None) -> None:
        self.program = program
        self.graph = graph or OnnxGraph()
        self.values: dict[SSAValue, str] = {}

    opset = OPSET

    def conversion(self, op: Operation) -> Conversion | None:
        """What emits the operation's nodes, None if nothing does."""
        return CONVERSIONS.get(type(op))

    def enter(self, op: LayerOp) -> None:
        """The layer whose operands are asked for from now on."""

    def leave(self) -> None:
        """Its nodes are there."""

    def unrounded(self, op: LayerOp) -> str:
        """The layer's input as it is held, before the layer rounds it."""
        return self.value(op.operands[0])

    def round(self, graph: OnnxGraph, slot: str, x: str) -> str:  # noqa: ARG002
        """x in the grid of a slot of the present layer, where the form has one."""
        return x

    def result(self, op: nn.LinearOp, x: str) -> str:  # noqa: ARG002
        """The result of a linear layer as it is held."""
        return x

    def gate(self, graph: OnnxGraph, function: FunctionAttr, x: str) -> str:
        """The function of a sum in a recurrent cell."""
        return apply(graph, function, x)

    def value(self, value: SSAValue) -> str:
        """Name of a value; parameters become initializers on first use."""
        if value not in self.values:
            assert isinstance(value.owner, LoadOp)
            symbol = value.owner.symbol
            self.values[value] = self.graph.constant(self.program.parameters[symbol], symbol)
        return self.values[value]

    def array(self, value: SSAValue) -> Array | None:
        """Data of a parameter, None for a computed value."""
        if isinstance(value.owner, LoadOp):
            return self.program.parameters[value.owner.symbol]
        return None

    def held(self, value: SSAValue, choose: Callable[[Array], Array], hint: str) -> str | None:
        """What `choose` takes from a parameter, as a constant; None for a computed value."""
        data = self.array(value)
        if data is None:
            return None
        return self.graph.constant(np.ascontiguousarray(choose(data)), hint)

    def transposed(self, value: SSAValue) -> str:
        """A matrix the other way round."""
        made = self.held(value, lambda a: a.T, f"{_symbol(value)}.T")
        return made or self.graph.node("Transpose", [self.value(value)])

    def part(self, value: SSAValue, index: tuple[int, ...], *, transpose: bool = False) -> str:
        """One element of the leading extents, e.g. matrix (d, gate) of a weight."""
        text = ".".join((_symbol(value), *(str(n) for n in index)))
        made = self.held(value, lambda a: a[index].T if transpose else a[index], text)
        if made is not None:
            return made
        name = self.value(value)
        for n in index:
            name = self.graph.squeeze(self.graph.slice(name, 0, n, n + 1), 0)
        return self.graph.node("Transpose", [name]) if transpose else name

    def gates(self, value: SSAValue, order: tuple[int, ...]) -> str:
        """[D, G, H, ...] with the gates in another order, as [D, G*H, ...]."""
        shape = shape_of(value)
        flat = (shape[0], len(order) * shape[2], *shape[3:])
        made = self.held(value, lambda a: a[:, list(order)].reshape(flat), _symbol(value))
        if made is not None:
            return made
        chosen = self.graph.node("Gather", [self.value(value), self.graph.integers(order)], axis=1)
        return self.graph.reshape(chosen, flat)


def _symbol(value: SSAValue) -> str:
    return value.owner.symbol if isinstance(value.owner, LoadOp) else ""


Conversion = Callable[[Exporter, Any], "list[str]"]
CONVERSIONS: dict[type[Operation], Conversion] = {}
"""Operation -> function that emits its nodes and gives the names of its results."""


def exports(kind: type[Operation]) -> Callable[[Conversion], Conversion]:
    """Register the conversion of an operation."""

    def register(function: Conversion) -> Conversion:
        CONVERSIONS[kind] = function
        return function

    return register


def cannot(op: Operation, why: str) -> MohaqError:
    """The error for an operation without an ONNX form."""
    where = f"layer '{op.label}'" if isinstance(op, LayerOp) else f"'{op.name}'"
    return MohaqError(f"'{op.name}' has no ONNX form here", where=where, why=why)
