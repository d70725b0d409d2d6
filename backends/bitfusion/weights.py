"""The parameters behind the weights of products."""

from __future__ import annotations

from xdsl.ir import SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.param import LoadOp


def parameter_of(value: SSAValue) -> str:
    """Name of the parameter that a value is.

    Raises:
        MohaqError: it is none.
    """
    if not isinstance(value.owner, LoadOp):
        raise MohaqError("Bit Fusion needs the weights of 'qnn.matmul' to be a parameter")
    return value.owner.symbol
