"""An ONNX graph under construction: nodes, constants and unique names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper
from xdsl.ir import SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.types import DYNAMIC, shape_of

OPSET = 21
"""QuantizeLinear of 4 and 16 bits came with opset 21."""

OPSET_INT2 = 25
"""DequantizeLinear of 2 bits came with opset 25."""

IR_VERSIONS = {OPSET: 10, OPSET_INT2: 13}
"""Opset -> the oldest IR version that allows it and metadata of nodes."""


class OnnxGraph:
    """Nodes and constants in order; every value has a name of its own.

    A body (of Scan) shares the names of the graph around it, whose values it may use.
    """

    def __init__(self, outer: OnnxGraph | None = None) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, npt.NDArray[Any]] = {}
        self._taken: set[str] = outer._taken if outer is not None else set()

    def name(self, hint: str) -> str:
        """A name that nothing has yet."""
        found, number = hint or "value", 0
        while found in self._taken:
            number += 1
            found = f"{hint}_{number}"
        self._taken.add(found)
        return found

    def constant(self, values: npt.ArrayLike, hint: str = "constant") -> str:
        """A constant tensor; equal small ones are shared."""
        array = np.asarray(values)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        if array.size <= 16:
            for held, other in self.constants.items():
                if (
                    other.dtype == array.dtype
                    and other.shape == array.shape
                    and np.array_equal(other, array)
                ):
                    return held
        name = self.name(hint)
        self.constants[name] = array
        return name

    def double(self, value: float, hint: str = "constant") -> str:
        """A constant of 64 bits, which `constant` would round to 32."""
        name = self.name(hint)
        self.constants[name] = np.asarray(value, dtype=np.float64)
        return name

    def node(self, kind: str, inputs: Sequence[str], hint: str = "", **attributes: Any) -> str:
        """A node with one result; gives its name."""
        return self.nodes_with(kind, inputs, [hint or kind.lower()], **attributes)[0]

    def nodes_with(
        self, kind: str, inputs: Sequence[str], hints: Sequence[str], **attributes: Any
    ) -> list[str]:
        """A node with several results; gives their names."""
        outputs = [self.name(h) for h in hints]
        used = list(inputs)
        while used and not used[-1]:  # absent optional inputs at the end
            used.pop()
        given = {k: v for k, v in attributes.items() if v is not None}
        self.nodes.append(helper.make_node(kind, used, outputs, name=outputs[0], **given))
        return outputs

    def initializers(self) -> list[onnx.TensorProto]:
        """The constants as tensors."""
        return [numpy_helper.from_array(a, name) for name, a in self.constants.items()]

    # Small idioms that several operations use.

    def integers(self, values: Sequence[int]) -> str:
        """A vector of 64-bit integers."""
        return self.constant(np.asarray(values, dtype=np.int64))

    def squeeze(self, x: str, axis: int) -> str:
        """Without an extent of 1."""
        return self.node("Squeeze", [x, self.integers([axis])])

    def unsqueeze(self, x: str, axis: int) -> str:
        """With a new extent of 1."""
        return self.node("Unsqueeze", [x, self.integers([axis])])

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """New extents, 0 and -1 as in ONNX."""
        return self.node("Reshape", [x, self.integers(shape)])

    def slice(
        self, x: str, axis: int, start: int, stop: int | None = None, step: int = 1, hint: str = ""
    ) -> str:
        """Part of one extent."""
        limits = np.iinfo(np.int64)
        end = (limits.max if step > 0 else limits.min) if stop is None else stop
        numbers = [self.integers([n]) for n in (start, end, axis, step)]
        return self.node("Slice", [x, *numbers], hint)

    def extent(self, x: str, axis: int) -> str:
        """An extent as a vector of one integer."""
        return self.node("Shape", [x], "extent", start=axis, end=axis + 1)


def describe(node: onnx.NodeProto, facts: Mapping[str, str]) -> None:
    """Add entries to a node's metadata."""
    for key, text in facts.items():
        entry = node.metadata_props.add()
        entry.key, entry.value = key, text


def info(name: str, value: SSAValue, kind: int) -> onnx.ValueInfoProto:
    """Name, type and shape of an input or output.

    Every symbolic extent has a name of its own: equal names would promise equal sizes.
    """
    dims = [f"{name}.{i}" if n == DYNAMIC else n for i, n in enumerate(shape_of(value))]
    return helper.make_tensor_value_info(name, kind, dims)


def finished(
    graph: OnnxGraph,
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    opset: int = OPSET,
) -> onnx.ModelProto:
    """The checked model.

    Raises:
        MohaqError: it is not valid.
    """
    model = helper.make_model(
        helper.make_graph(graph.nodes, "main", inputs, outputs, graph.initializers()),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=IR_VERSIONS[opset],
        producer_name="mohaq",
    )
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:  # pragma: no cover  a bug of ours
        raise MohaqError("the exported ONNX model is not valid", why=str(error)) from error
    return model
