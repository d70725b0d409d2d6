"""Running a whole `nn` program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import IntegerType
from xdsl.interpreter import Interpreter
from xdsl.interpreters.func import FuncFunctions
from xdsl.ir import BlockArgument

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.types import DYNAMIC, element_of, shape_of
from mohaq.compiler.interpreters.float_nn.base import AnyArray, Tracer
from mohaq.compiler.interpreters.float_nn.choice import ChoiceFunctions
from mohaq.compiler.interpreters.float_nn.dense import DenseFunctions
from mohaq.compiler.interpreters.float_nn.elementwise import ElementwiseFunctions
from mohaq.compiler.interpreters.float_nn.recurrent import RecurrentFunctions
from mohaq.compiler.interpreters.float_nn.shape import ShapeFunctions
from mohaq.compiler.interpreters.float_nn.windows import WindowFunctions
from mohaq.compiler.program import Program

FAMILIES = (
    DenseFunctions,
    WindowFunctions,
    RecurrentFunctions,
    ElementwiseFunctions,
    ChoiceFunctions,
    ShapeFunctions,
)


def run_float(
    program: Program,
    inputs: Sequence[npt.ArrayLike],
    *,
    tracer: Tracer | None = None,
    wide: bool = False,
) -> tuple[AnyArray, ...]:
    """Run `main` of an `nn` program.

    Args:
        program: the program.
        inputs: one array for each argument: float (sequences as [T, B, F]), or whole numbers
            where the argument is si64.
        tracer: sees inputs, outputs and states of every layer.
        wide: sum in float64 and round once (linear layers, convolutions, products, means,
            softmax; recurrent layers go step by step anyway). Sums in float32 depend on how many
            steps come at once, since the order of additions does: a sequence cut in chunks
            would differ in last bits.

    Returns:
        One array for each result, float32.

    Raises:
        MohaqError: inputs of the wrong number or shape, NaN or infinity among them; sizes that
            do not fit each other.
    """
    entry = program.entry
    if len(inputs) != len(entry.args):
        raise MohaqError(f"the program takes {len(entry.args)} inputs, got {len(inputs)}")
    arrays = [
        _checked(number, value, arg)
        for number, (value, arg) in enumerate(zip(inputs, entry.args, strict=True))
    ]
    interpreter = Interpreter(program.module)
    interpreter.register_implementations(FuncFunctions())
    for family in FAMILIES:
        interpreter.register_implementations(family(program.parameters, tracer, wide=wide))
    with np.errstate(all="ignore"):  # what overflows is IEEE's, silently
        return tuple(interpreter.call_op(entry, tuple(arrays)))


def _checked(number: int, value: npt.ArrayLike, arg: BlockArgument) -> npt.NDArray[Any]:
    where = f"input {number}"
    whole = isinstance(element_of(arg), IntegerType)
    given = np.asarray(value)
    if whole and given.dtype.kind not in "iu" and not np.array_equal(given, np.rint(given)):
        raise MohaqError("the values must be whole numbers", where=where)
    array = np.asarray(given, dtype=np.int64 if whole else np.float32, order="C")
    shape = shape_of(arg)
    if len(shape) != array.ndim or any(
        want not in (DYNAMIC, got) for want, got in zip(shape, array.shape, strict=True)
    ):
        raise MohaqError(f"shape {array.shape} does not fit {arg.type}", where=where)
    if array.size == 0:
        raise MohaqError("there are no values", where=where)
    if not whole and not np.isfinite(array).all():
        raise MohaqError("the values hold NaN or infinity", where=where)
    return array
