"""`nn.batch_norm`, `nn.layer_norm` and `nn.embedding`: named layers that no search quantizes."""

from __future__ import annotations

from xdsl.dialects.builtin import FloatAttr, IntegerAttr, StringAttr, TensorType, f64, i64
from xdsl.ir import SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    attr_def,
    base,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from mohaq.compiler.dialects.nn.layer import LayerOp, require_shape, shape_text
from mohaq.compiler.dialects.types import (
    DYNAMIC,
    float_tensor,
    require_f32,
    require_index,
    shape_of,
)


@irdl_op_definition
class BatchNormOp(LayerOp):
    """Batch normalization at inference along one extent (`axis`, counted from 0).

    y = gamma (x - mean) / sqrt(var + epsilon) + beta; all four of shape [C], C the extent.
    """

    name = "nn.batch_norm"
    input = operand_def(base(TensorType))
    gamma = operand_def(base(TensorType))
    beta = operand_def(base(TensorType))
    mean = operand_def(base(TensorType))
    var = operand_def(base(TensorType))
    axis = attr_def(IntegerAttr)
    epsilon = attr_def(FloatAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = (
        "$op_name $input `,` $gamma `,` $beta `,` $mean `,` $var attr-dict "
        "`:` functional-type(operands, results)"
    )

    def __init__(
        self,
        label: str,
        x: SSAValue,
        gamma: SSAValue,
        beta: SSAValue,
        mean: SSAValue,
        var: SSAValue,
        *,
        axis: int = 1,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__(
            operands=[x, gamma, beta, mean, var],
            attributes={
                "op_name": StringAttr(label),
                "axis": IntegerAttr(axis, i64),
                "epsilon": FloatAttr(epsilon, f64),
            },
            result_types=[x.type],
        )

    def verify_(self) -> None:
        for value in self.operands:
            require_f32(value)
        shape, axis = shape_of(self.input), self.axis.value.data
        if not 0 <= axis < len(shape) or shape[axis] == DYNAMIC:
            raise VerifyException(f"axis {axis} of {shape_text(self.input)} has no known extent")
        for title, value in (
            ("gamma", self.gamma),
            ("beta", self.beta),
            ("mean", self.mean),
            ("var", self.var),
        ):
            require_shape(title, value, (shape[axis],))
        require_shape("result", self.result, shape)
        _check_epsilon(self.epsilon)
        self.verify_annotations()


@irdl_op_definition
class LayerNormOp(LayerOp):
    """Layer normalization over the last extents, from `axis` (counted from 0) on.

    y = gamma (x - mean) / sqrt(var + epsilon) + beta, mean and (biased) variance over those
    extents; gamma and beta, both optional, have their shape.
    """

    name = "nn.layer_norm"
    input = operand_def(base(TensorType))
    gamma = opt_operand_def(base(TensorType))
    beta = opt_operand_def(base(TensorType))
    axis = attr_def(IntegerAttr)
    epsilon = attr_def(FloatAttr)
    result = result_def(base(TensorType))

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure())
    assembly_format = (
        "$op_name $input "
        "(`gamma` `(` $gamma^ `:` type($gamma) `)`)? "
        "(`beta` `(` $beta^ `:` type($beta) `)`)? "
        "attr-dict `:` `(` type($input) `)` "
        "`->` type($result)"
    )

    def __init__(
        self,
        label: str,
        x: SSAValue,
        gamma: SSAValue | None = None,
        beta: SSAValue | None = None,
        *,
        axis: int | None = None,
        epsilon: float = 1e-5,
    ) -> None:
        chosen = len(shape_of(x)) - 1 if axis is None else axis
        super().__init__(
            operands=[x, gamma, beta],
            attributes={
                "op_name": StringAttr(label),
                "axis": IntegerAttr(chosen, i64),
                "epsilon": FloatAttr(epsilon, f64),
            },
            result_types=[x.type],
        )

    def verify_(self) -> None:
        for value in self.operands:
            require_f32(value)
        shape, axis = shape_of(self.input), self.axis.value.data
        if not 0 <= axis < len(shape):
            raise VerifyException(f"{shape_text(self.input)} has no axis {axis}")
        require_shape("gamma", self.gamma, shape[axis:])
        require_shape("beta", self.beta, shape[axis:])
        require_shape("result", self.result, shape)
        _check_epsilon(self.epsilon)
        self.verify_annotations()


@irdl_op_definition
class EmbeddingOp(LayerOp):
    """Rows of a table: indices [...] si64, table [N, E] -> [..., E]."""

    name = "nn.embedding"
    indices = operand_def(base(TensorType))
    table = operand_def(base(TensorType))
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = (
        "$op_name $indices `,` $table attr-dict `:` functional-type(operands, results)"
    )

    def __init__(self, label: str, indices: SSAValue, table: SSAValue) -> None:
        super().__init__(
            operands=[indices, table],
            attributes={"op_name": StringAttr(label)},
            result_types=[float_tensor([*shape_of(indices), shape_of(table)[1]])],
        )

    def verify_(self) -> None:
        require_index(self.indices)
        require_f32(self.table)
        if len(shape_of(self.table)) != 2:
            raise VerifyException(f"table {shape_text(self.table)} must be [N, E]")
        require_shape("result", self.result, (*shape_of(self.indices), shape_of(self.table)[1]))
        self.verify_annotations()


def _check_epsilon(epsilon: FloatAttr) -> None:
    if not float(epsilon.value.data) >= 0:
        raise VerifyException(f"epsilon must not be negative, got {epsilon.value.data}")
