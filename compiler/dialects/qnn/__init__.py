"""`qnn`: integer programs.

Their meaning is `compiler/interpreters/integer.py` and docs/semantics.md; every operation here
computes exactly in integers.

No value may need more than 63 bits and a sign; result widths make overflow impossible
(the verifier checks it), except where an op says `saturate`.
"""

from xdsl.ir import Dialect

from mohaq.compiler.dialects.qnn.elementwise import (
    AddOp,
    BiasOp,
    MulOp,
    RequantizeOp,
    RsubOp,
    SaturateOp,
    ShlOp,
    ShrOp,
)
from mohaq.compiler.dialects.qnn.matmul import AccAttr, MatmulOp, SplitOp
from mohaq.compiler.dialects.qnn.scan import (
    ConcatOp,
    ScanOp,
    SelectOp,
    SliceOp,
    StackOp,
    YieldOp,
)
from mohaq.compiler.dialects.qnn.table import LookupOp, PiecewiseOp, TableOp

Qnn = Dialect(
    "qnn",
    [
        AddOp,
        BiasOp,
        ConcatOp,
        LookupOp,
        MatmulOp,
        MulOp,
        PiecewiseOp,
        RequantizeOp,
        RsubOp,
        SaturateOp,
        ScanOp,
        SelectOp,
        ShlOp,
        ShrOp,
        SliceOp,
        SplitOp,
        StackOp,
        TableOp,
        YieldOp,
    ],
    [AccAttr],
)

__all__ = [
    "AccAttr",
    "AddOp",
    "BiasOp",
    "ConcatOp",
    "LookupOp",
    "MatmulOp",
    "MulOp",
    "PiecewiseOp",
    "Qnn",
    "RequantizeOp",
    "RsubOp",
    "SaturateOp",
    "ScanOp",
    "SelectOp",
    "ShlOp",
    "ShrOp",
    "SliceOp",
    "SplitOp",
    "StackOp",
    "TableOp",
    "YieldOp",
]
