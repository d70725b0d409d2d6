"""Units: runs of channels that must stay together on a core."""

from __future__ import annotations

from collections.abc import Callable
from math import gcd

import networkx as nx
from xdsl.dialects.builtin import TensorType
from xdsl.ir import Operation, SSAValue
from xdsl.utils.hints import isa

from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import shape_of


class Units:
    """Number of units of the values of one stage.

    Values that are combined element by element, and slices and joins of them, have the same
    units: the greatest common divisor of their extents and of the offsets of their slices. A
    product ends a class: its operand needs all channels anyway.
    """

    def __init__(self) -> None:
        self._graph = nx.Graph()
        self._found: dict[SSAValue, int] = {}

    def join(self, a: SSAValue, b: SSAValue) -> None:
        """Say that two values have the same units."""
        self._graph.add_edge(a, b)

    def walk(self, value: SSAValue, is_leaf: Callable[[SSAValue], bool]) -> None:
        """Follow a value to where it comes from."""
        if value in self._graph and self._graph.nodes[value].get("walked"):
            return
        self._graph.add_node(value, walked=True)
        op = value.owner
        if is_leaf(value) or not isinstance(op, Operation) or isinstance(op, (LoadOp, qnn.ScanOp)):
            return
        if isinstance(op, qnn.MatmulOp):
            return
        if isinstance(op, qnn.SliceOp):
            for key in ("sizes",):
                self._graph.nodes[value].setdefault(key, []).extend(
                    (op.offset.value.data, op.size.value.data)
                )
        for operand in op.operands:
            if isa(operand.type, TensorType):
                self.walk(operand, is_leaf)
                self._graph.add_edge(value, operand)

    def settle(self) -> None:
        """Compute the units of all classes."""
        for group in nx.connected_components(self._graph):
            found = 0
            for value in group:
                found = gcd(found, shape_of(value)[-1])
                for size in self._graph.nodes[value].get("sizes", ()):
                    found = gcd(found, size)
            self._found.update(dict.fromkeys(group, found))

    def __getitem__(self, value: SSAValue) -> int:
        return self._found[value]
