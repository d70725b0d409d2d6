"""If with a condition that is known at import."""

from __future__ import annotations

import numpy as np
from onnx import numpy_helper

from mohaq.compiler.frontends.onnx.convert import GraphImporter, Held, Node, converts

DEEPEST = 32
"""Levels of If within If."""


@converts("If", to="the branch that is taken")
def if_(work: GraphImporter, node: Node) -> list[Held]:
    """The nodes of the taken branch, as if they stood here."""
    condition = work.held(node, 0)
    if not isinstance(condition, np.ndarray) or condition.dtype == object:
        raise node.refuse(
            "its condition is not known at import",
            "fix the input that it depends on: constants={'sr': 16000}, or --set sr=16000",
        )
    taken = node.get("then_branch" if bool(condition.reshape(-1)[0]) else "else_branch")
    work.depth += 1
    if work.depth > DEEPEST:
        raise node.refuse(f"If is nested more than {DEEPEST} deep")
    around = dict(work.values)
    for tensor in taken.initializer:
        work.values[tensor.name] = numpy_helper.to_array(tensor)
    work.run(taken.node)
    results = [work.held_by_name(node, output.name) for output in taken.output]
    work.values = around  # names inside a branch mean nothing outside
    work.depth -= 1
    return results
