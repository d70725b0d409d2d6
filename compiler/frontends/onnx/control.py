"""If with a condition that is known at import."""

from __future__ import annotations

from collections import ChainMap

import numpy as np
from onnx import numpy_helper

from mohaq.compiler.frontends.onnx.conditions import undecided
from mohaq.compiler.frontends.onnx.convert import GraphImporter, Held, Node, converts

DEEPEST = 32
"""Levels of If within If."""


@converts("If", to="the branch that is taken")
def if_(work: GraphImporter, node: Node) -> list[Held]:
    """The nodes of the taken branch, as if they stood here."""
    condition = work.held(node, 0)
    if not isinstance(condition, np.ndarray) or condition.dtype == object:
        raise undecided(work, node, [condition])
    taken = node.get("then_branch" if bool(condition.reshape(-1)[0]) else "else_branch")
    work.depth += 1
    if work.depth > DEEPEST:
        raise node.refuse(f"If is nested more than {DEEPEST} deep")
    outer = work.values
    work.values = ChainMap({}, outer)  # names inside a branch mean nothing outside
    try:
        for tensor in taken.initializer:
            work.values[tensor.name] = numpy_helper.to_array(tensor)
        work.run(taken.node)
        results = [work.held_by_name(node, output.name) for output in taken.output]
    finally:
        work.values = outer
    work.depth -= 1
    return results
