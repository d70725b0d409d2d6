"""Why a condition is not known at import, and which input to fix so that it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from xdsl.dialects.builtin import IntegerType
from xdsl.ir import BlockArgument, Operation, SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import CompareOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import element_of, shape_of
from mohaq.compiler.frontends.onnx.convert import GraphImporter, Held, Node
from mohaq.compiler.frontends.refuse import shown

SIZE_MARK = "@"
"""Begins the names of symbolic sizes that the user can fix."""


def arguments_of(values: Iterable[SSAValue]) -> list[BlockArgument]:
    """The program inputs that values are computed from, in order."""
    found: dict[BlockArgument, None] = {}
    seen: set[SSAValue] = set()
    stack = list(values)
    while stack:
        value = stack.pop()
        if value in seen:
            continue
        seen.add(value)
        if isinstance(value, BlockArgument):
            found[value] = None
        elif isinstance(value.owner, Operation):
            stack.extend(value.owner.operands)
    return sorted(found, key=lambda a: a.index)


def undecided(work: GraphImporter, node: Node, held: Iterable[Held]) -> MohaqError:
    """The error for a condition that cannot be decided; raise it.

    Args:
        work: the importer.
        node: the comparison or the If.
        held: what it reads.
    """
    read = list(held)
    arguments = arguments_of(h for h in read if isinstance(h, SSAValue))
    names: dict[BlockArgument, str] = {}
    for name, value in work.values.items():
        if isinstance(value, BlockArgument):
            names.setdefault(value, name)
    what = "its condition" if node.kind == "If" else "its result"
    for argument in arguments:
        known = names.get(argument)
        single = all(n == 1 for n in shape_of(argument))
        if known is not None and (single or isinstance(element_of(argument), IntegerType)):
            example, name = _example(work, read), shown(known)
            return node.refuse(
                f"{what} is not known at import: it depends on the input '{name}'",
                f"fix this input: constants={{'{name}': {example}}}, or --set {name}={example}",
            )
    listed = ", ".join(f"'{shown(names[a])}'" for a in arguments if a in names)
    return node.refuse(
        f"{what} depends on data" + (f" (the input {listed})" if listed else ""),
        "an export whose control flow depends on sizes and settings alone",
    )


def undecided_size(node: Node, relations: Iterable[Any]) -> MohaqError:
    """The error for a comparison of sizes that differs from input to input; raise it.

    Args:
        node: the comparison.
        relations: sympy relations between the sizes.
    """
    symbols = {s for r in relations for s in getattr(r, "free_symbols", ())}
    names = sorted(str(s)[1:] for s in symbols if str(s).startswith(SIZE_MARK))
    why = "it depends on the length or the batch of the input"
    if not names:
        return node.refuse(why, "an export with fixed sizes")
    name = shown(names[0])
    return node.refuse(
        f"{why}: on the size '{name}'",
        f"fix it, e.g. to 576: constants={{'{name}': 576}}, or --set {name}=576",
    )


def _example(work: GraphImporter, held: Iterable[Held]) -> str:
    """The number that the input is compared with, if it is one."""
    for one in held:
        owner = one.owner if isinstance(one, SSAValue) else None
        sides = owner.operands if isinstance(owner, CompareOp) else ()
        loaded = [work.net.data(s.owner.symbol) for s in sides if isinstance(s.owner, LoadOp)]
        for array in (one, *loaded):
            if isinstance(array, np.ndarray) and array.dtype.kind in "iuf" and array.size == 1:
                return str(array.reshape(-1)[0].item())
    return "VALUE"
