"""The recurrence loop of `qnn`, and the channel views that feed it."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import IntegerAttr, StringAttr, TensorType
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    attr_def,
    base,
    irdl_op_definition,
    operand_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import IsTerminator, Pure
from xdsl.utils.exceptions import VerifyException

from mohaq.compiler.dialects.qnn.canonicalization import ViewTrait
from mohaq.compiler.dialects.qnn.elementwise import i64_attr
from mohaq.compiler.dialects.types import element_of, int_tensor, int_width, shape_of


@irdl_op_definition
class YieldOp(IRDLOperation):
    """Ends a scan body: the outputs of this step, then the next states."""

    name = "qnn.yield"
    values = var_operand_def(base(TensorType))

    traits = traits_def(IsTerminator())
    assembly_format = "attr-dict ($values^ `:` type($values))?"

    def __init__(self, values: Sequence[SSAValue]) -> None:
        super().__init__(operands=[values])


@irdl_op_definition
class ScanOp(IRDLOperation):
    """Runs its body once for each time step.

    inputs: sequences [T, B, F_i]; init: initial states [B, H_j], or none at all, which means
    zero states. The body gets one step [B, F_i] of each input, then the states, and yields the
    outputs of the step and the next states. Results: output sequences [T, B, G_k], then the
    final states. `reverse` walks from t = T-1 down to 0; outputs stay at their own t.
    The body may use values from outside that do not vary in time.
    """

    name = "qnn.scan"
    inputs = var_operand_def(base(TensorType))
    init = var_operand_def(base(TensorType))
    direction = prop_def(StringAttr)
    outs = var_result_def(base(TensorType))
    body = region_def("single_block")

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure())
    assembly_format = (
        "$direction `iter` `(` $inputs `:` type($inputs) `)` "
        "(`init` `(` $init^ `:` type($init) `)`)? `->` `(` type($outs) `)` $body attr-dict"
    )

    def __init__(
        self,
        inputs: Sequence[SSAValue],
        init: Sequence[SSAValue],
        body: Region | Block,
        results: Sequence[Attribute],
        direction: str = "forward",
    ) -> None:
        super().__init__(
            operands=[inputs, init],
            properties={"direction": StringAttr(direction)},
            regions=[body if isinstance(body, Region) else Region(body)],
            result_types=[results],
        )

    @property
    def state_count(self) -> int:
        """Number of carried states."""
        return len(self.body.block.args) - len(self.inputs)

    @property
    def output_count(self) -> int:
        """Number of output sequences."""
        return len(self.outs) - self.state_count

    def verify_(self) -> None:
        if self.direction.data not in {"forward", "reverse"}:
            raise VerifyException(f"direction '{self.direction.data}' is not forward or reverse")
        if not self.inputs:
            raise VerifyException("a scan needs at least one input sequence")
        lead = {shape_of(v)[:2] for v in self.inputs}
        if len(lead) != 1 or any(len(shape_of(v)) != 3 for v in self.inputs):
            raise VerifyException("inputs must be [T, B, F] with one T and one B")
        ((steps, batch),) = lead
        args = self.body.block.args
        states = self.state_count
        if states < 0 or (self.init and len(self.init) != states):
            raise VerifyException("the body takes one step of each input, then one of each state")
        for arg, value in zip(args, self.inputs, strict=False):
            if arg.type != TensorType(element_of(value), list(shape_of(value)[1:])):
                raise VerifyException(f"step argument {arg.type} does not fit {value.type}")
        for arg, value in zip(args[len(self.inputs) :], self.init, strict=False):
            if arg.type != value.type:
                raise VerifyException(f"state argument {arg.type} differs from {value.type}")
        end = self.body.block.last_op
        if not isinstance(end, YieldOp):
            raise VerifyException("the body must end in qnn.yield")
        if len(end.values) != len(self.outs) or self.output_count < 0:
            raise VerifyException("as many yielded values as results are needed")
        for number, (given, result) in enumerate(zip(end.values, self.outs, strict=True)):
            if number < self.output_count:
                expected = TensorType(element_of(given), [steps, *shape_of(given)])
                if shape_of(given)[0] != batch:
                    raise VerifyException("a step's output must be [B, G]")
            else:
                expected = TensorType(element_of(given), list(shape_of(given)))
                if given.type != args[len(self.inputs) + number - self.output_count].type:
                    raise VerifyException("a next state must have the type of the state")
            if result.type != expected:
                raise VerifyException(f"result {result.type} should be {expected}")


@irdl_op_definition
class SliceOp(IRDLOperation):
    """Channels [offset, offset + size) of the last extent."""

    name = "qnn.slice"
    input = operand_def(base(TensorType))
    offset = attr_def(IntegerAttr)
    size = attr_def(IntegerAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure(), ViewTrait())
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(self, x: SSAValue, offset: int, size: int) -> None:
        super().__init__(
            operands=[x],
            attributes={"offset": i64_attr(offset), "size": i64_attr(size)},
            result_types=[TensorType(element_of(x), [*shape_of(x)[:-1], size])],
        )

    def verify_(self) -> None:
        start, size, shape = self.offset.value.data, self.size.value.data, shape_of(self.input)
        if start < 0 or size < 1 or start + size > shape[-1]:
            raise VerifyException(f"channels {start}..{start + size} of {shape[-1]}")
        if self.result.type != TensorType(element_of(self.input), [*shape[:-1], size]):
            raise VerifyException("result type is wrong")


@irdl_op_definition
class ConcatOp(IRDLOperation):
    """Joins tensors along the last extent."""

    name = "qnn.concat"
    parts = var_operand_def(base(TensorType))
    result = result_def(base(TensorType))

    traits = traits_def(Pure(), ViewTrait())
    assembly_format = "$parts attr-dict `:` functional-type(operands, results)"

    def __init__(self, parts: Sequence[SSAValue]) -> None:
        width, signed = int_width(parts[0])
        total = sum(shape_of(p)[-1] for p in parts)
        super().__init__(
            operands=[parts],
            result_types=[int_tensor([*shape_of(parts[0])[:-1], total], width, signed=signed)],
        )

    def verify_(self) -> None:
        if not self.parts:
            raise VerifyException("nothing to join")
        if len({(element_of(p), shape_of(p)[:-1]) for p in self.parts}) != 1:
            raise VerifyException("parts must agree in all but the last extent")
        total = sum(shape_of(p)[-1] for p in self.parts)
        lead = shape_of(self.parts[0])[:-1]
        if self.result.type != TensorType(element_of(self.parts[0]), [*lead, total]):
            raise VerifyException("result type is wrong")


@irdl_op_definition
class SelectOp(IRDLOperation):
    """Entry `index` of the first extent: [D, B, H] -> [B, H]."""

    name = "qnn.select"
    input = operand_def(base(TensorType))
    index = attr_def(IntegerAttr)
    result = result_def(base(TensorType))

    traits = traits_def(Pure(), ViewTrait())
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(self, x: SSAValue, index: int) -> None:
        super().__init__(
            operands=[x],
            attributes={"index": i64_attr(index)},
            result_types=[TensorType(element_of(x), list(shape_of(x)[1:]))],
        )

    def verify_(self) -> None:
        shape, index = shape_of(self.input), self.index.value.data
        if len(shape) < 2 or shape[0] < 0 or not 0 <= index < shape[0]:
            raise VerifyException(f"entry {index} of {shape}")
        if self.result.type != TensorType(element_of(self.input), list(shape[1:])):
            raise VerifyException("result type is wrong")


@irdl_op_definition
class StackOp(IRDLOperation):
    """Tensors of one type as entries of a new first extent: D x [B, H] -> [D, B, H]."""

    name = "qnn.stack"
    parts = var_operand_def(base(TensorType))
    result = result_def(base(TensorType))

    traits = traits_def(Pure(), ViewTrait())
    assembly_format = "$parts attr-dict `:` functional-type(operands, results)"

    def __init__(self, parts: Sequence[SSAValue]) -> None:
        shape = [len(parts), *shape_of(parts[0])]
        super().__init__(operands=[parts], result_types=[TensorType(element_of(parts[0]), shape)])

    def verify_(self) -> None:
        if not self.parts or len({p.type for p in self.parts}) != 1:
            raise VerifyException("parts must have one type")
        shape = [len(self.parts), *shape_of(self.parts[0])]
        if self.result.type != TensorType(element_of(self.parts[0]), shape):
            raise VerifyException("result type is wrong")
