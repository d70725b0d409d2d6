"""From the nodes of an exported graph to `nn` operations."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
import sympy
import torch
from torch.fx import Node
from xdsl.ir import Operation, SSAValue
from xdsl.utils.exceptions import VerifyException

from mohaq.compiler.analysis.extents import Extents
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.frontends.extents import spread_to
from mohaq.compiler.frontends.pytorch.nodes import (
    arguments_by_name,
    layer_path,
    operation_name,
    source_of,
)
from mohaq.compiler.frontends.refuse import refuse
from mohaq.compiler.network import Network

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Filled:
    """One number repeated; extents may be symbolic."""

    value: float
    extents: tuple[Any, ...]


@dataclass(frozen=True)
class Repeated:
    """A value whose extents of 1 stand for all of the symbolic `extents`."""

    value: SSAValue
    extents: tuple[Any, ...]


@dataclass(frozen=True)
class NotKnown:
    """A result that the program does not compute."""

    what: str


Held = Any
"""SSAValue, torch.Tensor (constant), Filled, Repeated, number or sympy expression, or a tuple of these."""

Handler = Callable[["Importer", "Call"], Held]
HANDLERS: dict[str, Handler] = {}
BECOMES: dict[str, str] = {}


def handles(*names: str, to: str) -> Callable[[Handler], Handler]:
    """Register the handler of operations (`aten.linear` stands for all its overloads)."""

    def register(function: Handler) -> Handler:
        for name in names:
            HANDLERS[name] = function
            BECOMES[name] = to
        return function

    return register


@dataclass(frozen=True)
class Sizes:
    """What the numbers in a graph mean.

    symbols: a number that stands for a symbolic size (or a part of one) wherever it appears, and
    its multiples (modules are exported at sizes that appear nowhere else). hints: sizes that were frozen at
    export, which mean the symbol only where a tensor has that extent at the same place.
    """

    symbols: Mapping[int, sympy.Expr] = field(default_factory=dict)
    hints: dict[sympy.Symbol, int] = field(default_factory=dict)

    def lift(self, number: Any) -> Any:
        """A number of the graph as a number or an expression of sizes."""
        if not isinstance(number, int) or isinstance(number, bool) or number <= 0:
            return number
        factor = sympy.Integer(1)
        for size, symbol in self.symbols.items():
            if number % size == 0:
                number //= size
                factor *= symbol
        return number if factor == 1 else number * factor

    def same(self, extent: Any, number: Any) -> bool:
        """Whether a number stands for an extent, e.g. 48 for (T + 1) // 2 at T = 95."""
        if bool(extent == number) or (
            isinstance(extent, sympy.Symbol) and self.hints.get(extent) == number
        ):
            return True
        if not isinstance(extent, sympy.Expr) or not isinstance(number, int) or not self.symbols:
            return False
        return bool(extent.subs({symbol: size for size, symbol in self.symbols.items()}) == number)


class Call:
    """An operation of the graph: positional and named arguments by the schema's names."""

    def __init__(self, work: Importer, node: Node) -> None:
        self.work, self.node = work, node
        self.name = operation_name(node)
        self._arguments = arguments_by_name(node)

    def __contains__(self, name: str) -> bool:
        return self._arguments.get(name) is not None

    def argument(self, name: str) -> Any:
        """An argument as it stands in the graph."""
        return self._arguments.get(name)

    def raw(self, name: str, default: Any = None) -> Any:
        """An argument with nodes replaced by what they hold."""
        found = self._arguments.get(name)
        return default if found is None else self.work.resolve(found)

    def number(self, name: str, default: int | None = None) -> int:
        """A whole number that must be known.

        Raises:
            MohaqError: it is a size of the input.
        """
        found = self.raw(name, default)
        if isinstance(found, (int, sympy.Integer)):
            return int(found)
        raise self.refuse(f"'{name}' depends on the size of the input")

    def real(self, name: str, default: float) -> float:
        """A number."""
        found = self.raw(name, default)
        if isinstance(found, (int, float)):
            return float(found)
        raise self.refuse(f"'{name}' is computed")

    def numbers(self, name: str) -> list[Any]:
        """A list of numbers, which may be expressions of sizes; one number makes a list of one."""
        found = self.raw(name, [])
        return list(found) if isinstance(found, (list, tuple)) else [found]

    def tensor(self, name: str) -> SSAValue:
        """A tensor as a value of the program; constants become parameters."""
        return self.work.as_value(self, self.raw(name), self._title(name))

    def constant(self, name: str, what: str) -> Array:
        """A tensor that must be a parameter."""
        found = self.raw(name)
        if isinstance(found, torch.Tensor):
            return array_of(found)
        raise self.refuse(f"its {what} is not a parameter")

    def _title(self, name: str) -> str:
        held = self._arguments.get(name)
        return self.work.titles.get(held.name, held.name) if isinstance(held, Node) else "constant"

    def add(self, op: Operation) -> SSAValue:
        """Append an operation.

        Raises:
            MohaqError: its sizes do not fit.
        """
        try:
            return self.work.net.add(op)
        except MohaqError as error:
            raise self.refuse(error.why or error.what) from None

    def label(self) -> str:
        """Name of the layer: the path of its module."""
        return self.work.label(self.node)

    def refuse(self, why: str | None = None, instead: str | None = None) -> MohaqError:
        """The error that says why this operation cannot be imported."""
        return refuse(
            self.name, name=self.node.name, why=why, source=source_of(self.node), instead=instead
        )


class Importer:
    """The program under construction and what is known of every node."""

    def __init__(self, sizes: Sizes) -> None:
        self.net = Network()
        self.sizes = sizes
        self.extents = Extents()
        self.values: dict[str, Held] = {}
        self.titles: dict[str, str] = {}
        self._labels: set[str] = set()
        self._parameters: dict[int, tuple[SSAValue, torch.Tensor]] = {}

    def resolve(self, argument: Any) -> Any:
        """An argument with nodes replaced by what they hold and numbers by sizes."""
        if isinstance(argument, Node):
            return self.held(argument)
        if isinstance(argument, (list, tuple)):
            return [self.resolve(a) for a in argument]
        return self.sizes.lift(argument)

    def held(self, node: Node) -> Held:
        """What a node gave."""
        return self.values[node.name]

    def as_value(self, call: Call, found: Held, title: str) -> SSAValue:
        """Anything as a value of the program."""
        if isinstance(found, SSAValue):
            return found
        if isinstance(found, torch.Tensor):
            return self.parameter(title, found)
        if isinstance(found, Filled) and all(isinstance(n, int) for n in found.extents):
            if math.prod(found.extents) > LARGEST:
                raise call.refuse("a constant of more elements than memory holds")
            return self.parameter(title, torch.full(found.extents, found.value))
        if isinstance(found, Filled):
            some = [n if isinstance(n, int) else 1 for n in found.extents]
            if math.prod(some) > LARGEST:
                raise call.refuse("a constant of more elements than memory holds")
            whole = self.parameter(title, torch.full(some, found.value))
            found = Repeated(whole, found.extents)
        if isinstance(found, Repeated):
            made = spread_to(
                found.value,
                found.extents,
                self.extents,
                self.net.arguments,
                self.sizes.same,
                call.add,
            )
            if made is None:
                raise call.refuse("its input is repeated to a size that no input of the model has")
            return made
        if isinstance(found, NotKnown):
            raise call.refuse(f"it uses {found.what}, which the program does not compute")
        if isinstance(found, sympy.Expr):
            raise call.refuse("it uses the size of the input as a number")
        raise call.refuse("its input is no tensor")

    def parameter(self, title: str, tensor: torch.Tensor) -> SSAValue:
        """A parameter; the same tensor gives the same parameter."""
        if id(tensor) not in self._parameters:
            value = self.named(title, array_of(tensor))
            self._parameters[id(tensor)] = (value, tensor)  # kept, so that the id stays its own
        return self._parameters[id(tensor)][0]

    def named(self, title: str, array: Array) -> SSAValue:
        """A parameter of a readable name.

        Raises:
            MohaqError: no elements, NaN or infinity.
        """
        label = self.unique(title)
        if array.size == 0:
            raise MohaqError("a tensor has no elements", where=f"parameter '{label}'")
        if array.dtype.kind in "iub":
            return self.net.indices(label, array)
        return self.net.parameter(label, array)

    def unique(self, title: str) -> str:
        """A short printable name that nothing has yet."""
        plain = re.sub(r"[^A-Za-z0-9_.]+", "_", title).strip("._")[-60:] or "value"
        found, number = plain, 1
        while found in self._labels:
            number += 1
            found = f"{plain}_{number}"
        self._labels.add(found)
        return found

    def label(self, node: Node) -> str:
        """Name of a layer: module path, or the node's name."""
        return self.unique(layer_path(node) or node.name)

    def run(self, node: Node) -> None:
        """Convert one `call_function` node.

        Raises:
            MohaqError: it cannot be imported.
        """
        if node.target is operator.getitem:
            source, place = node.args
            self.values[node.name] = self.resolve(source)[place]
            return
        folded = self._folded(node)
        if folded is not None:
            self.values[node.name] = folded
            return
        call = Call(self, node)
        handler = HANDLERS.get(call.name)
        if handler is None:
            raise call.refuse()
        try:
            self.values[node.name] = handler(self, call)
        except VerifyException as error:
            raise call.refuse(str(error)) from None

    def _folded(self, node: Node) -> Held | None:
        """The result of arithmetic on sizes or constant tensors alone, else None."""
        arguments = [self.resolve(a) for a in (*node.args, *node.kwargs.values())]
        flat = _flat(arguments)
        if node.target in SIZE_ARITHMETIC:
            if any(isinstance(a, (SSAValue, torch.Tensor)) for a in flat):
                return None
            return SIZE_ARITHMETIC[node.target](*arguments)
        tensors = [a for a in flat if isinstance(a, torch.Tensor)]
        known = all(
            isinstance(a, (torch.Tensor, int, float, str, torch.dtype, torch.device, torch.layout))
            or a is None
            for a in flat
        )
        if not tensors or not known or not _may_fold(node):
            return None
        target: Any = node.target
        positional = [self.resolve(a) for a in node.args]
        named = {k: self.resolve(v) for k, v in node.kwargs.items()}
        try:
            with torch.no_grad():
                if _elements(target(*_on_meta(positional), **named)) > LARGEST:
                    raise Call(self, node).refuse("a constant of more elements than memory holds")
                made = target(*positional, **named)
        except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError) as error:
            why = str(error).strip().partition("\n")[0]
            raise Call(self, node).refuse(f"its constants do not fit: {why}") from None
        return made if isinstance(made, torch.Tensor) else tuple(made)


NEVER_FOLDED = {"aten.dropout", "aten.rand", "aten.randn", "aten.bernoulli", "aten.rand_like"}

LARGEST = 1 << 28
"""Elements of a constant that is computed at import."""


def _may_fold(node: Node) -> Any:
    """Operations of torch whose result depends on their arguments alone."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    return node.target.namespace == "aten" and operation_name(node) not in NEVER_FOLDED


def _on_meta(arguments: Any) -> Any:
    """Tensors without data, to learn the size of a result."""
    if isinstance(arguments, torch.Tensor):
        return arguments.to("meta")
    if isinstance(arguments, (list, tuple)):
        return [_on_meta(a) for a in arguments]
    return arguments


def _elements(made: Any) -> int:
    if isinstance(made, torch.Tensor):
        return made.numel()
    return sum(_elements(m) for m in made) if isinstance(made, (list, tuple)) else 0


SIZE_ARITHMETIC: dict[Any, Callable[..., Any]] = {
    operator.add: lambda a, b: a + b,
    operator.sub: lambda a, b: a - b,
    operator.mul: lambda a, b: a * b,
    operator.floordiv: lambda a, b: sympy.floor(sympy.sympify(a) / b),
    operator.neg: lambda a: -a,
}


def _flat(arguments: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for one in arguments:
        found += _flat(one) if isinstance(one, (list, tuple)) else [one]
    return found


def array_of(tensor: torch.Tensor) -> Array:
    """Data of a parameter: float32 for every kind of float, else integers."""
    held = tensor.detach().cpu()
    if held.is_floating_point():
        held = held.to(torch.float32)
    array: Array = held.contiguous().numpy()
    return array
