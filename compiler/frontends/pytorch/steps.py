"""Operations on one step of a sequence that mean the same on all steps at once.

With the steps stacked along a new first extent, operations on elements and on the last extent
stay as they are, and extents that are counted from the front move by one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

aten = torch.ops.aten

ELEMENTWISE = {
    getattr(packet, overload)
    for packet, overloads in (
        *((getattr(aten, name), ("default",)) for name in (
            "relu", "sigmoid", "tanh", "abs", "neg", "exp", "log", "sqrt", "square", "reciprocal",
            "silu", "hardswish", "hardsigmoid", "hardtanh", "leaky_relu", "elu", "gelu",
            "softplus", "clamp", "relu6", "maximum", "minimum", "rsqrt", "erf", "sin", "cos",
            "relu_", "leaky_relu_", "hardtanh_",
        )),
        *((getattr(aten, name), ("Tensor", "Scalar")) for name in ("add", "sub", "mul", "div")),
        (aten.pow, ("Tensor_Scalar", "Tensor_Tensor")),
        (aten.rsub, ("Scalar", "Tensor")),
    )
    for overload in overloads
}  # fmt: skip
"""Every tensor may be a step; all steps have one rank, other tensors no higher one."""

FIRST_ONLY = {
    aten.linear.default,
    aten.matmul.default,
    aten.mm.default,
    aten.layer_norm.default,
    operator.getitem,
}
"""Only the first argument may be a step."""

COUNTED: dict[Any, int] = {
    aten.softmax.int: 1,
    aten.log_softmax.int: 1,
    aten.unsqueeze.default: 1,
    aten.squeeze.dim: 1,
    aten.select.int: 1,
    aten.slice.Tensor: 1,
    aten.chunk.default: 2,
    aten.split.Tensor: 2,
    aten.split_with_sizes.default: 2,
    aten.cat.default: 1,
}
"""Place of the extent among the arguments; only the first argument may be steps."""


@dataclass(frozen=True)
class Step:
    """What a node is: one of the steps of a group."""

    group: int
    time: int


def rank_of(node: Node) -> int:
    """Rank of what a node gives; -1 for tuples."""
    value = node.meta.get("val")
    return value.dim() if isinstance(value, torch.Tensor) else -1


def step_of(node: Node, steps: dict[Node, Step]) -> tuple[tuple[Any, ...], int] | None:
    """The form of an operation on one step, with groups in place of steps, and the time.

    None if it is not the same operation on all steps at once.
    """
    target = node.target
    known = target in ELEMENTWISE or target in FIRST_ONLY or target in COUNTED
    if not known and target is not aten.embedding.default:
        return None
    found: list[Node] = []
    other: list[Node] = []

    def visit(argument: Any) -> Any:
        if isinstance(argument, Node):
            step = steps.get(argument)
            if step is None:
                other.append(argument)
                return ("node", argument)
            found.append(argument)
            return ("step", step.group)
        if isinstance(argument, (list, tuple)):
            return ("list", *(visit(a) for a in argument))
        return (type(argument), argument)

    form = (
        target,
        *(visit(a) for a in node.args),
        *((k, visit(v)) for k, v in sorted(node.kwargs.items())),
    )
    times = {steps[n].time for n in found}
    if len(times) != 1:
        return None
    ranks = {rank_of(n) for n in found}
    if target in ELEMENTWISE:
        if len(ranks) != 1 or any(rank_of(n) > max(ranks) for n in other):
            return None
    elif target is aten.embedding.default:
        if form[2][0] != "step" or form[1][0] != "node":
            return None
    elif form[1][0] == "list":
        if other or len(ranks) != 1:
            return None
    elif (
        form[1][0] != "step"
        or len(found) != 1
        or (target in FIRST_ONLY and any(rank_of(n) > 2 for n in other))
        or (target is aten.layer_norm.default and rank_of(found[0]) < 1)
    ):
        return None
    return form, times.pop()


def stacked_arguments(node: Node, stack: Callable[[Node], Node]) -> tuple[Any, ...]:
    """The arguments of the operation on all steps at once."""

    def replace(argument: Any) -> Any:
        if isinstance(argument, Node):
            return stack(argument)
        if isinstance(argument, (list, tuple)):
            return [replace(a) for a in argument]
        return argument

    arguments = [replace(a) for a in node.args]
    place = COUNTED.get(node.target)
    if place is not None:
        if len(arguments) <= place:
            arguments += [0] * (place + 1 - len(arguments))
        if arguments[place] >= 0:
            arguments[place] += 1
    return tuple(arguments)


def element_of_step(node: Node) -> tuple[Node, int, int, bool] | None:
    """(tensor, extent, index, whether the extent stays with size 1) of a part of size 1."""
    target = node.target
    arguments: list[Any] = list(node.args)
    if target is aten.select.int:
        x, axis, index = arguments
        keeps = False
    elif target is aten.slice.Tensor:
        defaults: list[Any] = [0, None, None, 1]
        x, axis, start, end, step = arguments + defaults[len(arguments) - 1 :]
        if not (type(start) is int and type(end) is int and end - start == 1 and step == 1):
            return None
        index, keeps = start, True
    elif target is aten.narrow.default:
        x, axis, index, length = arguments
        keeps = True
        if length != 1:
            return None
    elif target is operator.getitem and arguments[0].target in (
        aten.unbind.int,
        aten.split.Tensor,
        aten.chunk.default,
    ):
        source, index = arguments
        given = [*source.args]
        keeps = source.target is not aten.unbind.int
        x = given[0]
        axis = given[2 if keeps else 1] if len(given) > (2 if keeps else 1) else 0
        size = x.meta["val"].shape[axis]
        if keeps and given[1] != (1 if source.target is aten.split.Tensor else size):
            return None
    else:
        return None
    rank = rank_of(x)
    if rank < 1 or type(index) is not int or type(x.meta["val"].shape[axis]) is not int:
        return None
    return x, axis % rank, index, keeps
