"""The operations of a block, one after the other."""

from __future__ import annotations

from xdsl.dialects.builtin import StringAttr
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Block

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.qnn.canonicalization import MARK
from mohaq.compiler.dialects.types import int_width
from mohaq.compiler.onnx_export.graph import describe
from mohaq.compiler.onnx_export.integer.work import INTEGER_CONVERSIONS, IntegerWork


def convert_block(work: IntegerWork, block: Block) -> list[str]:
    """Emit all operations; gives the names of what the block returns or yields.

    Raises:
        MohaqError: an operation of no `qnn` program.
    """
    for op in block.ops:
        if isinstance(op, (ReturnOp, qnn.YieldOp)):
            return [work.value(v) for v in op.operands]
        if isinstance(op, LoadOp):
            continue
        conversion = INTEGER_CONVERSIONS.get(type(op))
        if conversion is None:
            raise MohaqError(
                f"'{op.name}' has no integer ONNX form",
                hint="lower the program first (lower-to-qnn), or choose another form",
            )
        if op.results and all(work.array(r) is not None for r in op.results):
            continue  # a view of parameters: its readers take it from there
        before = len(work.graph.nodes)
        work.values.update(zip(op.results, conversion(work, op), strict=True))
        facts = {}
        if isinstance(mark := op.attributes.get(MARK), StringAttr):
            facts["mohaq.layer"] = mark.data
        if isinstance(op, qnn.MatmulOp):
            widths = (int_width(op.input)[0], int_width(op.weight)[0])
            facts["mohaq.widths"] = "{} x {} bits".format(*widths)
        for node in work.graph.nodes[before:]:
            describe(node, facts)
    raise AssertionError("a block without an end")
