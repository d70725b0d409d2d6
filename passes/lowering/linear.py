"""`nn.linear` in integers: product, aligned bias, one rounding to where the result is held."""

from __future__ import annotations

from xdsl.ir import SSAValue

from mohaq.compiler.dialects.nn import LinearOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.passes.lowering.builder import Builder


def lower_linear(
    op: LinearOp,
    x: SSAValue,
    grids: dict[str, GridAttr],
    stored_input: GridAttr,
    stored_output: GridAttr,
    build: Builder,
) -> SSAValue:
    """Emit the layer; gives its result in `stored_output`."""
    assert isinstance(op.weight.owner, LoadOp)
    x = build.convert(x, stored_input, grids["input"])
    name, bias = op.weight.owner.symbol, None
    weight = build.rows(name, grids["weight"])
    sums = build.product(x, grids["input"], name, weight, grids["weight"])
    if op.bias is not None:
        assert isinstance(op.bias.owner, LoadOp)
        bias = build.floats[op.bias.owner.symbol]
    sums = build.biased(sums, f"{op.label}.bias", bias)
    return build.rescale(sums.value, sums.steps, [stored_output])
