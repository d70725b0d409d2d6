"""Nodes whose inputs are all constant, evaluated by onnx's own reference implementation."""

from __future__ import annotations

import math
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

BUDGET = 1 << 30
"""Bytes that all constants made at one import may have."""

WORK = 1 << 34
"""Multiplications that a constant matrix product may need."""

RANDOM = {
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
}
GROWING = {"ConstantOfShape", "Expand", "Tile", "Range", "OneHot", "Pad", "Resize"}
"""Operators whose result may be far larger than their inputs, by values."""

PRODUCTS = {"MatMul", "Gemm"}

CHEAP = {
    *("Constant", "Identity", "Cast", "CastLike", "Shape", "Size", "Reshape", "Flatten", "Dropout"),
    *("Squeeze", "Unsqueeze", "Transpose", "Concat", "Split", "Slice", "Gather", "GatherElements"),
    *("GatherND", "Scatter", "ScatterElements", "ScatterND", "EyeLike", "Trilu", "NonZero"),
    *("Compress", "Where", "CumSum", "TopK", "ArgMax", "ArgMin", "ReverseSequence"),
    *("DepthToSpace", "SpaceToDepth", "HannWindow", "HammingWindow", "BlackmanWindow"),
    *("Abs", "Neg", "Sign", "Floor", "Ceil", "Round", "Sqrt", "Exp", "Log", "Reciprocal", "Erf"),
    *("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh"),
    *("Sigmoid", "HardSigmoid", "Tanh", "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Softplus"),
    *("Softsign", "Clip", "Softmax", "LogSoftmax", "Add", "Sub", "Mul", "Div", "Mod", "Pow"),
    *("Min", "Max", "Sum", "Mean", "And", "Or", "Xor", "Not", "Equal", "Greater", "Less"),
    *("GreaterOrEqual", "LessOrEqual", "IsNaN", "IsInf", "BitShift", "BitwiseAnd", "BitwiseOr"),
    *("BitwiseXor", "BitwiseNot", "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"),
    *("ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"),
    *("QuantizeLinear", "BatchNormalization", "LayerNormalization", "InstanceNormalization"),
}
"""Operators whose time and memory follow the sizes of their operands and results."""


class Folder:
    """Evaluates constant nodes of one model within bounds of memory and time."""

    def __init__(self, opset: int) -> None:
        self._opset = opset
        self._left = BUDGET

    def __call__(
        self, node: onnx.NodeProto, inputs: Sequence[npt.NDArray[Any] | None]
    ) -> list[npt.NDArray[Any]] | None:
        """Results of a node with constant inputs (None: absent).

        None if it is of a kind that is not evaluated here; it then becomes part of the program.

        Raises:
            MohaqError: random numbers, a huge result, or an evaluation that fails.
        """
        title = f"ONNX {node.op_type}"
        name = node.name or (node.output[0] if node.output else "")
        if node.op_type in RANDOM:
            raise refuse(title, name=name, why="it draws random numbers")
        if node.op_type not in CHEAP | GROWING | PRODUCTS:
            return None
        model = self._alone(node, inputs)
        size = _size(title, name, node, inputs, model)
        if node.op_type in PRODUCTS and not _affordable(inputs, size):
            return None
        try:
            feeds = {n: v for n, v in zip(node.input, inputs, strict=True) if n and v is not None}
            with np.errstate(all="ignore"):  # NaN and infinity are refused where they matter
                made = [np.asarray(m) for m in ReferenceEvaluator(model).run(None, feeds)]
        except Exception as error:  # any failure of the evaluation is the model's
            why = f"its constant value cannot be computed: {shown(str(error))}"
            raise refuse(title, name=name, why=why) from error
        self._left -= sum(m.nbytes for m in made)
        if self._left < 0:
            why = f"the constants made at import are larger than {BUDGET >> 20} MiB in all"
            raise refuse(title, name=name, why=why)
        if any(m.dtype.kind in "USO" for m in made):
            raise refuse(title, name=name, why="its constant value is text or a sequence")
        return made

    def _alone(
        self, node: onnx.NodeProto, inputs: Sequence[npt.NDArray[Any] | None]
    ) -> onnx.ModelProto:
        infos: Mapping[str, onnx.ValueInfoProto] = {
            n: helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
            for n, v in zip(node.input, inputs, strict=True)
            if n and v is not None
        }
        outputs = [helper.make_empty_tensor_value_info(n) for n in node.output if n]
        graph = helper.make_graph([node], "one", list(infos.values()), outputs)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self._opset)])


def _size(
    title: str,
    name: str,
    node: onnx.NodeProto,
    inputs: Sequence[npt.NDArray[Any] | None],
    model: onnx.ModelProto,
) -> int:
    """Elements of the largest result, told by onnx's shape inference before anything is made."""
    known = onnx.ModelProto()
    known.CopyFrom(model)
    for tensor, value in zip(node.input, inputs, strict=True):
        if tensor and value is not None and value.size <= 64:
            known.graph.initializer.append(numpy_helper.from_array(value, tensor))
    try:
        inferred = shape_inference.infer_shapes(known, data_prop=True)
    except (shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise refuse(title, name=name, why=shown(str(error))) from error
    largest = 0
    for output in inferred.graph.output:
        dims = output.type.tensor_type.shape.dim
        sizes = [d.dim_value for d in dims if d.HasField("dim_value")]
        if len(sizes) < len(dims) or not output.type.tensor_type.HasField("shape"):
            if node.op_type in GROWING:
                raise refuse(title, name=name, why="the size of its constant value is not known")
            continue
        largest = max(largest, math.prod(sizes))
    if largest > LIMIT:
        why = f"its constant value would have {largest} elements; the limit is {LIMIT}"
        raise refuse(title, name=name, why=why)
    return largest


def _affordable(inputs: Sequence[npt.NDArray[Any] | None], size: int) -> bool:
    first = inputs[0]
    return first is not None and size * max(first.shape, default=1) <= WORK
