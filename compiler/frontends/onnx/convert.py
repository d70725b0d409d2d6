"""From ONNX nodes to `nn` operations, one after the other.

Every ONNX value is one of three things here: an array (constant, folded by onnx's reference
evaluator), an object array of sympy expressions (numbers that depend on T or B, from Shape and
what follows it), or a value of the program under construction.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx
import sympy
from onnx import helper, numpy_helper
from xdsl.ir import Operation, SSAValue

from mohaq.compiler.analysis.extents import Extents
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.frontends.extents import spread_to
from mohaq.compiler.frontends.onnx.domains import check_domain
from mohaq.compiler.frontends.onnx.folding import Folder
from mohaq.compiler.frontends.refuse import refuse, shown
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program

Array = npt.NDArray[Any]

FLOATS = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
}
LARGEST = 1 << 29
"""Elements of a parameter: 2 GiB of real values."""

INTEGERS = {onnx.TensorProto.INT64, onnx.TensorProto.INT32}


@dataclass(frozen=True)
class Grid:
    """How an integer tensor stands for real values: scale and zero point, one or one a channel."""

    scale: Array
    zero: Array
    width: int
    signed: bool
    axis: int


@dataclass(frozen=True)
class Quantized:
    """Result of QuantizeLinear: the real value before it and the grid."""

    value: SSAValue | Array
    grid: Grid


@dataclass(frozen=True)
class GridConstant:
    """A constant that came from integers: its real values and the grid."""

    array: Array
    grid: Grid


@dataclass(frozen=True)
class Spread:
    """A tensor repeated to a symbolic size: extents of 1 of `value` stand for all of `extents`."""

    value: SSAValue | Array
    extents: tuple[Any, ...]


class Followed:
    """Something that is no tensor of the program, only followed to where it is used."""

    refusal: ClassVar[str]
    """Why it cannot be used like a tensor."""


Held = Any
"""SSAValue, Array (numbers or sympy objects), Quantized, GridConstant, Spread or Followed."""

Converter = Callable[["GraphImporter", "Node"], "list[Held] | Held"]
CONVERTERS: dict[str, Converter] = {}
BECOMES: dict[str, str] = {}
"""ONNX operator -> the nn operation it becomes, or what happens to it."""


FOLLOWERS: dict[str, Callable[[GraphImporter, Node], list[Held] | None]] = {}
"""ONNX operator -> what it makes of something followed; None where it reads nothing such."""

REFUSED: dict[str, tuple[str, str]] = {}
"""ONNX operator that can never be imported -> why, and what to use instead."""

MOVES = {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Split"}
"""Operators that only move elements, so that one grid for the whole tensor passes through."""


def converts(*kinds: str, to: str) -> Callable[[Converter], Converter]:
    """Register the converter of operators; `to` is what they become, for the support page."""

    def register(function: Converter) -> Converter:
        for kind in kinds:
            CONVERTERS[kind] = function
            BECOMES[kind] = to
        return function

    return register


class Node:
    """A node of the graph with its attributes as Python values."""

    def __init__(self, proto: onnx.NodeProto) -> None:
        self.proto = proto
        self.kind = proto.op_type
        self.name = proto.name or next((o for o in proto.output if o), proto.op_type)
        self.inputs = list(proto.input)
        self.outputs = list(proto.output)
        self._attributes = {a.name: a for a in proto.attribute}

    def __contains__(self, name: str) -> bool:
        return name in self._attributes

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute; strings as str, tensors as arrays."""
        if name not in self._attributes:
            return default
        value = helper.get_attribute_value(self._attributes[name])
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, onnx.TensorProto):
            return numpy_helper.to_array(value)
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], bytes):
            return [v.decode("utf-8", "replace") for v in value]
        return value

    def given(self, position: int) -> bool:
        """Whether an input is there (optional ones may be left out or empty)."""
        return position < len(self.inputs) and bool(self.inputs[position])

    def refuse(self, why: str, instead: str | None = None) -> MohaqError:
        """The error that says why this node cannot be imported."""
        return refuse(f"ONNX {self.kind}", name=self.name, why=why, instead=instead)


class GraphImporter:
    """The program under construction and what is known of every ONNX value."""

    def __init__(self, opset: int) -> None:
        self.net = Network()
        self.extents = Extents()
        self.opset = opset
        self.fold = Folder(opset)
        self.values: MutableMapping[str, Held] = {}
        self.labels: set[str] = set()
        self._parameters: dict[tuple[str, int], SSAValue] = {}
        self._kept: list[Array] = []
        self.depth = 0

    # Reading values.

    def held(self, node: Node, position: int) -> Held:
        """What an input is.

        Raises:
            MohaqError: it is computed by nothing.
        """
        return self.held_by_name(node, node.inputs[position])

    def held_by_name(self, node: Node, name: str) -> Held:
        """What a value is, by its ONNX name."""
        if name not in self.values:
            raise node.refuse(f"its input '{shown(name)}' is computed by no node")
        return self.values[name]

    def constant(self, node: Node, position: int, what: str) -> Array:
        """An input that must be constant.

        Raises:
            MohaqError: it is not.
        """
        found = self.held(node, position)
        if isinstance(found, GridConstant):
            return found.array
        if isinstance(found, np.ndarray) and found.dtype != object:
            return found
        raise node.refuse(f"its {what} is not constant")

    def numbers(self, node: Node, position: int, what: str) -> list[int]:
        """An input of constant whole numbers."""
        found = self.held(node, position)
        if isinstance(found, np.ndarray):
            flat = found.reshape(-1).tolist()
            if all(isinstance(f, int) or getattr(f, "is_Integer", False) for f in flat):
                return [int(f) for f in flat]
        raise node.refuse(f"its {what} are not constant")

    def tensor(self, node: Node, position: int) -> SSAValue:
        """An input as a value of the program; constants become parameters."""
        found = self.held(node, position)
        return self.as_value(node, found, node.inputs[position])

    def as_value(self, node: Node, found: Held, name: str) -> SSAValue:
        """A held thing as a value of the program."""
        if isinstance(found, SSAValue):
            return found
        if isinstance(found, GridConstant):
            from mohaq.compiler.frontends.onnx.quantized import quantized_parameter

            return quantized_parameter(self, node, name, found, found.array, found.grid.axis)
        if isinstance(found, np.ndarray) and found.dtype == object:
            raise node.refuse("it computes with the sizes of a tensor")
        if isinstance(found, np.ndarray):
            return self.parameter(name, found)
        if isinstance(found, Spread):
            one = found.value
            if isinstance(one, np.ndarray):
                known = [n if isinstance(n, int) else 1 for n in found.extents]
                if math.prod(known) > LARGEST:
                    raise node.refuse("a constant of more elements than memory holds")
                one = self.parameter(name, np.ascontiguousarray(np.broadcast_to(one, known)))
            made = spread_to(
                one,
                found.extents,
                self.extents,
                self.net.arguments,
                lambda a, b: bool(a == b),
                lambda op: self.add(node, op),
            )
            if made is None:
                raise node.refuse("its input is a tensor repeated to a size that no input has")
            return made
        if isinstance(found, Followed):
            raise node.refuse(found.refusal)
        raise node.refuse("its input is an integer tensor (QuantizeLinear without its counterpart)")

    def parameter(self, name: str, array: Array) -> SSAValue:
        """A parameter under a readable name; the same array gives the same parameter.

        Raises:
            MohaqError: NaN or infinity in it, or zero-size extents.
        """
        key = (name, id(array))
        if key not in self._parameters:
            if array.size == 0:
                raise MohaqError("a tensor has no elements", where=f"tensor '{shown(name)}'")
            if array.size > LARGEST:
                raise MohaqError(
                    "a tensor is too large", where=f"tensor '{shown(name)}'", why=f"{array.shape}"
                )
            label = self.unique(name)
            if array.dtype.kind in "iu":
                self._parameters[key] = self.net.indices(label, array)
            else:
                self._parameters[key] = self.net.parameter(label, array.astype(np.float32))
            self._kept.append(array)  # so that no other array gets its id
        return self._parameters[key]

    # Writing values.

    def unique(self, name: str) -> str:
        """A short printable name that nothing has yet."""
        plain = re.sub(r"[^A-Za-z0-9_.]+", ".", name).strip(".")[-60:].strip(".") or "value"
        found, number = plain, 1
        while found in self.labels:
            number += 1
            found = f"{plain}_{number}"
        self.labels.add(found)
        return found

    def label(self, node: Node, kind: str) -> str:
        """Name of a layer: the node's, or the kind of layer with a number."""
        plain = re.sub(r"[^A-Za-z0-9_.]+", ".", node.proto.name).strip(".")
        return self.unique(plain or kind)

    def add(self, node: Node, op: Operation) -> SSAValue:
        """Append an operation.

        Raises:
            MohaqError: its sizes do not fit; the message names the node.
        """
        try:
            return self.net.add(op)
        except MohaqError as error:
            raise node.refuse(error.why or error.what) from None

    # Running over a graph.

    def run(self, nodes: Iterable[onnx.NodeProto]) -> None:
        """Convert nodes in order.

        Raises:
            MohaqError: one cannot be imported.
        """
        for proto in nodes:
            self.convert(Node(proto))

    def convert(self, node: Node) -> None:
        """Convert one node: fold it, follow sizes through it, or make operations of it."""
        check_domain(node.proto.domain, node.kind, node.name)
        made = self._folded(node)
        if made is None:
            converter = CONVERTERS.get(node.kind)
            if converter is None:
                why, instead = REFUSED.get(node.kind, (None, None))
                raise refuse(f"ONNX {node.kind}", name=node.name, why=why, instead=instead)
            from xdsl.utils.exceptions import VerifyException

            try:
                follow = FOLLOWERS.get(node.kind)
                found = follow(self, node) if follow else None
                found = found or self._moved(node, converter) or converter(self, node)
            except VerifyException as error:
                raise node.refuse(str(error)) from None
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                # A damaged node: inputs left out, ranks that do not fit, wrong kinds of attributes.
                why = f"its inputs or attributes do not fit each other: {shown(str(error))}"
                raise node.refuse(why) from error
            made = found if isinstance(found, list) else [found]
        for name, value in zip(node.outputs, made, strict=False):
            if name:
                self.values[name] = _known(value)

    def _moved(self, node: Node, converter: Converter) -> list[Held] | None:
        """Integers that only move: the real values move, and the grid stays with them."""
        if node.kind not in MOVES:
            return None
        held = self.held(node, 0)
        if not isinstance(held, Quantized) or held.grid.scale.size > 1:
            return None
        name = node.inputs[0]
        self.values[name] = held.value
        try:
            found = converter(self, node)
        finally:
            self.values[name] = held
        parts = found if isinstance(found, list) else [found]
        return [Quantized(part, held.grid) for part in parts]

    def _folded(self, node: Node) -> list[Held] | None:
        """Results if all inputs are constant numbers, else None."""
        if any(
            a.type in {onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS}
            for a in node.proto.attribute
        ):
            return None
        if node.kind == "DequantizeLinear":  # it remembers the grid
            return None
        inputs: list[Array | None] = []
        for position, name in enumerate(node.inputs):
            if not name:
                inputs.append(None)
                continue
            found = self.held(node, position)
            if isinstance(found, GridConstant) or not isinstance(found, np.ndarray):
                return None
            if found.dtype == object:
                return None
            inputs.append(found)
        return self.fold(node.proto, inputs)


def _known(value: Held) -> Held:
    """Sizes that turned out to be numbers as numbers."""
    if not isinstance(value, np.ndarray) or value.dtype != object:
        return value
    numbers = [whole(v) for v in value.reshape(-1).tolist()]
    if None in numbers:
        return value
    return np.array(numbers, dtype=np.int64).reshape(value.shape)


def whole(value: Any) -> int | None:
    """A number of an object array as int, None for a symbolic one."""
    if isinstance(value, (int, np.integer)):
        return int(value)
    return int(value) if isinstance(value, sympy.Expr) and value.is_Integer else None


def finish(work: GraphImporter, graph: onnx.GraphProto) -> Program:
    """Convert a graph whose inputs are known; gives the program."""
    for tensor in graph.initializer:
        work.values.setdefault(tensor.name, numpy_helper.to_array(tensor))
    work.run(graph.node)
    results = []
    for number, info in enumerate(graph.output):
        found = work.values.get(info.name)
        if found is None:
            raise MohaqError(f"result '{shown(info.name)}' is computed by no node")
        if isinstance(found, Quantized):
            raise refuse(
                "ONNX QuantizeLinear",
                name=info.name,
                why="a result of the model is an integer tensor",
                instead="end the model in DequantizeLinear",
            )
        holder = Node(onnx.NodeProto(name=info.name, op_type=f"result {number}"))
        results.append(work.as_value(holder, found, info.name))
    return work.net.finish(results, [o.name for o in graph.output])
