"""Nodes whose inputs are all constant, evaluated by onnx's own reference implementation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from mohaq.compiler.frontends.refuse import refuse, shown

LIMIT = 1 << 26
"""Elements that a constant made at import may have."""

RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial"}
GROWING = {"ConstantOfShape", "Expand", "Tile", "Range", "OneHot", "Pad", "Resize", "EyeLike"}
"""Operators whose result may be far larger than their inputs, by values."""


def fold(
    node: onnx.NodeProto, inputs: Sequence[npt.NDArray[Any] | None], opset: int
) -> list[npt.NDArray[Any]]:
    """Results of a node with constant inputs (None: absent).

    Raises:
        MohaqError: random numbers, a huge result, or an evaluation that fails.
    """
    title = f"ONNX {node.op_type}"
    name = node.name or (node.output[0] if node.output else "")
    if node.op_type in RANDOM:
        raise refuse(title, name=name, why="it draws random numbers")
    model = _alone(node, inputs, opset)
    _check_size(title, name, node, inputs, model)
    try:
        feeds = {n: v for n, v in zip(node.input, inputs, strict=True) if n and v is not None}
        made = ReferenceEvaluator(model).run(None, feeds)
    except Exception as error:  # any failure of the evaluation is the model's
        why = f"its constant value cannot be computed: {shown(str(error))}"
        raise refuse(title, name=name, why=why) from error
    return [np.asarray(m) for m in made]


def _alone(
    node: onnx.NodeProto, inputs: Sequence[npt.NDArray[Any] | None], opset: int
) -> onnx.ModelProto:
    infos: Mapping[str, onnx.ValueInfoProto] = {
        n: helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for n, v in zip(node.input, inputs, strict=True)
        if n and v is not None
    }
    outputs = [helper.make_empty_tensor_value_info(n) for n in node.output if n]
    graph = helper.make_graph([node], "one", list(infos.values()), outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def _check_size(
    title: str,
    name: str,
    node: onnx.NodeProto,
    inputs: Sequence[npt.NDArray[Any] | None],
    model: onnx.ModelProto,
) -> None:
    known = onnx.ModelProto()
    known.CopyFrom(model)
    for tensor, value in zip(node.input, inputs, strict=True):
        if tensor and value is not None and value.size <= 64:
            known.graph.initializer.append(numpy_helper.from_array(value, tensor))
    try:
        inferred = shape_inference.infer_shapes(known, data_prop=True)
    except shape_inference.InferenceError as error:
        raise refuse(title, name=name, why=shown(str(error))) from error
    for output in inferred.graph.output:
        dims = output.type.tensor_type.shape.dim
        sizes = [d.dim_value for d in dims if d.HasField("dim_value")]
        if len(sizes) < len(dims) or not output.type.tensor_type.HasField("shape"):
            if node.op_type in GROWING:
                raise refuse(title, name=name, why="the size of its constant value is not known")
            continue
        total = 1
        for size in sizes:
            total *= size
        if total > LIMIT:
            why = f"its constant value would have {total} elements; the limit is {LIMIT}"
            raise refuse(title, name=name, why=why)
