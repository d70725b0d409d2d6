"""Sizes of tensors: numbers and expressions that Shape and what follows it compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.frontends.onnx.conditions import undecided_size
from mohaq.compiler.frontends.onnx.convert import (
    Array,
    GraphImporter,
    GridConstant,
    Held,
    Node,
    Spread,
    converts,
    whole,
)


def rank_of(held: Held) -> int:
    """Number of extents of anything."""
    if isinstance(held, SSAValue):
        return len(shape_of(held))
    if isinstance(held, Spread):
        return len(held.extents)
    return int(np.ndim(held.array if isinstance(held, GridConstant) else held))


def sizes_of(work: GraphImporter, node: Node, held: Held) -> tuple[Any, ...]:
    """Extents of anything, numbers or expressions."""
    if isinstance(held, SSAValue):
        return work.extents.of(held)
    if isinstance(held, Spread):
        return held.extents
    if isinstance(held, GridConstant):
        return tuple(held.array.shape)
    if isinstance(held, np.ndarray):
        return tuple(held.shape)
    raise node.refuse("the size of an integer tensor is asked for")


def numbers(work: GraphImporter, node: Node, name: str, position: int) -> list[int] | None:
    """Whole numbers from an attribute or, in newer opsets, an input; None when there are none."""
    if name in node:
        return [int(n) for n in node.get(name)]
    return work.numbers(node, position, name) if node.given(position) else None


@converts("Shape", to="sizes at import")
def shape(work: GraphImporter, node: Node) -> Held:
    """Sizes, with names for T and B."""
    sizes = list(sizes_of(work, node, work.held(node, 0)))
    stop = node.get("end")
    return as_sizes(sizes[slice(node.get("start", 0), stop)])


@converts("Size", to="sizes at import")
def size(work: GraphImporter, node: Node) -> Held:
    """Number of elements."""
    total: Any = 1
    for one in sizes_of(work, node, work.held(node, 0)):
        total = total * one
    return as_sizes(total)


def as_sizes(values: Any) -> Array:
    """An array of numbers if all are known, of expressions otherwise."""
    array = np.array(values, dtype=object)
    known = [whole(v) for v in array.reshape(-1).tolist()]
    if None in known:
        return array
    return np.array(known, dtype=np.int64).reshape(array.shape)


RELATIONS = {
    "Equal": sympy.Eq,
    "Greater": sympy.Gt,
    "Less": sympy.Lt,
    "GreaterOrEqual": sympy.Ge,
    "LessOrEqual": sympy.Le,
}


def compare_sizes(node: Node, held: Sequence[Array]) -> Array:
    """Comparisons of sizes.

    Raises:
        MohaqError: the result differs from input to input.
    """
    relation = RELATIONS[node.kind]
    made = np.frompyfunc(lambda a, b: relation(sympy.sympify(a), sympy.sympify(b)), 2, 1)(*held)
    flat = [bool(v) if v in (sympy.true, sympy.false) else None for v in np.ravel(made).tolist()]
    if None in flat:
        raise undecided_size(node, np.ravel(made).tolist())
    return np.array(flat, dtype=bool).reshape(np.shape(made))


@converts("Expand", to="broadcasting")
def expand(work: GraphImporter, node: Node) -> Held:
    """Nothing where the size is the same; else repeated by whoever reads it."""
    held = work.held(node, 0)
    target = work.held(node, 1)
    if not isinstance(target, np.ndarray):
        raise node.refuse("its sizes are computed from data")
    have = sizes_of(work, node, held)
    wanted = list(target.reshape(-1).tolist())
    size = max(len(have), len(wanted))
    have = (*([1] * (size - len(have))), *have)
    wanted = [1] * (size - len(wanted)) + wanted
    after = tuple(h if w == 1 else w for h, w in zip(have, wanted, strict=True))
    after = tuple(s if whole(s) is None else whole(s) for s in after)
    if after == sizes_of(work, node, held):
        return held
    if isinstance(held, np.ndarray) and all(isinstance(s, int) for s in after):
        return np.broadcast_to(held, after)
    missing = size - rank_of(held)
    if isinstance(held, np.ndarray):
        small: Any = held.reshape([1] * missing + list(held.shape))
    else:
        small = work.tensor(node, 0)
        if missing:
            small = work.add(node, nn.UnsqueezeOp(small, list(range(missing))))
        if all(isinstance(s, int) for s in after):
            ones = work.parameter("ones", np.ones(after, dtype=np.float32))
            return work.add(node, nn.BinaryOp("mul", small, ones))
    return Spread(small, after)


@converts("ConstantOfShape", to="a constant")
def constant_of_shape(work: GraphImporter, node: Node) -> Held:
    """One value, repeated to sizes taken from tensors."""
    target = work.held(node, 0)
    if not isinstance(target, np.ndarray):
        raise node.refuse("its sizes are computed from data")
    sizes = tuple(s if whole(s) is None else whole(s) for s in target.reshape(-1).tolist())
    value = node.get("value")
    filled = np.zeros(1, dtype=np.float32) if value is None else np.asarray(value)
    return Spread(filled.reshape([1] * len(sizes)), sizes)
