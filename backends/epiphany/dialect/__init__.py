"""The dialect `epiphany`: the schedule of a legalized program, beside the program itself.

`epiphany.program` holds one `epiphany.stage` for each pass over the time steps. Its operations
say what the generated code does: tiles, kernels, places in the banks, transfers, exchanges. The
arithmetic stays in `qnn`.
"""

from xdsl.ir import Dialect

from mohaq.backends.epiphany.dialect.ops import (
    ElementsOp,
    ExchangeOp,
    FieldOp,
    OperandOp,
    ProductOp,
    ProgramOp,
    StageOp,
    TransferOp,
)

Epiphany = Dialect(
    "epiphany",
    [ElementsOp, ExchangeOp, FieldOp, OperandOp, ProductOp, ProgramOp, StageOp, TransferOp],
    [],
)

__all__ = [
    "ElementsOp",
    "Epiphany",
    "ExchangeOp",
    "FieldOp",
    "OperandOp",
    "ProductOp",
    "ProgramOp",
    "StageOp",
    "TransferOp",
]
