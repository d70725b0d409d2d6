"""Reading and exchanging the parameters that a layer takes as operands."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import DenseArrayBase, i32
from xdsl.ir import SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.program import Program

SEGMENTS = "operandSegmentSizes"


def parameter_of(program: Program, op: LayerOp, operand: str) -> npt.NDArray[Any] | None:
    """The data of an operand; None when it is absent or computed."""
    value = getattr(op, operand, None)
    if not isinstance(value, SSAValue) or not isinstance(value.owner, LoadOp):
        return None
    return program.parameters[value.owner.symbol]


def give_parameter(
    program: Program, op: LayerOp, operand: str, values: npt.NDArray[Any], name: str
) -> LayerOp:
    """Let an operand of a layer read a new parameter `name`; others keep reading the old one.

    Args:
        program: changed in place.
        op: the layer.
        operand: its name in the definition of the op; it may be absent if it is optional.
        values: of the shape that the op asks for; stored as float32.
        name: of the parameter, numbered when it is taken.

    Returns:
        The layer: another operation when the operand was absent.
    """
    load = LoadOp(*program.declare(name, np.asarray(values, dtype=np.float32)))
    Rewriter.insert_op(load, InsertPoint.before(op))
    definitions = [n for n, _ in type(op).get_irdl_definition().operands]
    before = definitions[: definitions.index(operand)]
    place = sum(isinstance(getattr(op, n), SSAValue) for n in before)
    if isinstance(getattr(op, operand), SSAValue):
        old = op.operands[place].owner
        op.operands[place] = load.result
        if isinstance(old, LoadOp) and not list(old.result.uses):
            Rewriter.erase_op(old)
        return op
    properties = dict(op.properties)
    segments = properties.get(SEGMENTS)
    if isinstance(segments, DenseArrayBase):
        sizes = [int(n) for n in segments.get_values()]
        sizes[len(before)] = 1
        properties[SEGMENTS] = DenseArrayBase.from_list(i32, sizes)
    made = type(op).create(
        operands=[*op.operands[:place], load.result, *op.operands[place:]],
        result_types=[r.type for r in op.results],
        attributes=dict(op.attributes),
        properties=properties,
    )
    Rewriter.replace_op(op, made)
    return made
