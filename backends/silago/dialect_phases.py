"""The dialect `phase`: a legalized program as phases of the fabric.

Between phases values lie with the host, in 16-bit words. `qnn.scan` and the views of `qnn` stay:
they say what the host repeats and where it finds its words.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import DenseArrayBase, TensorType, i64
from xdsl.ir import Attribute, Dialect, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    attr_def,
    base,
    irdl_op_definition,
    operand_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from mohaq.backends.silago.isa.instructions import Mode
from mohaq.backends.silago.schedule.passes import Pass
from mohaq.backends.silago.schedule.tasks import Band
from mohaq.compiler.dialects.types import int_tensor, int_width, shape_of

PASS_NUMBERS = 5
NONE = -1
TWO_OPERANDS = frozenset({Mode.ADD, Mode.SUBT, Mode.MULT, Mode.SHIFT_L, Mode.SHIFT_R})
ONE_OPERAND = frozenset({Mode.SIGM, Mode.TANHYP})


@irdl_op_definition
class MatrixOp(IRDLOperation):
    """clamp16(floor((x W^T) / 2^s)) for every vector of x, on packed lanes.

    x [..., K] and W [N, K] have one width of 4, 8 or 16 bits. Sums saturate at 32 bits after
    every addition, k = 0 first. With G shifts, run g of N/G rows uses shifts[g].
    """

    name = "phase.matrix"
    input = operand_def(base(TensorType))
    weight = operand_def(base(TensorType))
    shifts = attr_def(DenseArrayBase)
    bands = attr_def(DenseArrayBase)
    result = result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = "$input `,` $weight attr-dict `:` functional-type(operands, results)"

    def __init__(
        self, x: SSAValue, weight: SSAValue, shifts: Sequence[int], bands: Sequence[int]
    ) -> None:
        shape = [*shape_of(x)[:-1], shape_of(weight)[0]]
        super().__init__(
            operands=[x, weight],
            attributes={
                "shifts": DenseArrayBase.from_list(i64, list(shifts)),
                "bands": DenseArrayBase.from_list(i64, list(bands)),
            },
            result_types=[int_tensor(shape, 16)],
        )

    def amounts(self) -> tuple[int, ...]:
        """The shift of each run of rows."""
        return tuple(int(s) for s in self.shifts.get_values())

    def grouped(self) -> tuple[Band, ...]:
        """The bands."""
        amounts, found = self.amounts(), [int(b) for b in self.bands.get_values()]
        run = shape_of(self.weight)[0] // len(amounts)
        return tuple(
            Band(
                amounts[found.index(band)],
                tuple((g * run, run) for g, b in enumerate(found) if b == band),
            )
            for band in range(max(found) + 1)
        )

    def verify_(self) -> None:
        x, w, y = shape_of(self.input), shape_of(self.weight), shape_of(self.result)
        if len(w) != 2 or not x or x[-1] != w[1] or y != (*x[:-1], w[0]):
            raise VerifyException(f"shapes do not fit: {x} times {w} transposed gives {y}")
        bits = int_width(self.input)
        if bits != int_width(self.weight) or bits[0] not in {4, 8, 16} or not bits[1]:
            raise VerifyException("operands have one signed width of 4, 8 or 16 bits")
        if int_width(self.result) != (16, True):
            raise VerifyException("the result has 16 bits")
        amounts = self.amounts()
        if not amounts or w[0] % len(amounts):
            raise VerifyException(f"{len(amounts)} shifts do not divide {w[0]} rows")
        if not all(-32 <= s <= 31 for s in amounts):
            raise VerifyException("shifts must be in -32..31")
        bands = [int(b) for b in self.bands.get_values()]
        if len(bands) != len(amounts) or set(bands) != set(range(max(bands) + 1)):
            raise VerifyException("every run needs a band; bands are numbered from 0")
        if len(set(zip(bands, amounts, strict=True))) != len(set(bands)):
            raise VerifyException("runs of one band have one shift")


@irdl_op_definition
class VectorOp(IRDLOperation):
    """Passes over the elements of its operands.

    Values are numbered: operands, constants, then the results of passes. `passes` holds five
    numbers each: DPU mode, first operand, second operand or -1, result, shift of a product.
    `kept` are the numbers of the op's results.
    """

    name = "phase.vector"
    inputs = var_operand_def(base(TensorType))
    constants = attr_def(DenseArrayBase)
    passes = attr_def(DenseArrayBase)
    kept = attr_def(DenseArrayBase)
    outs = var_result_def(base(TensorType))

    traits = traits_def(Pure())
    assembly_format = "$inputs attr-dict `:` functional-type(operands, results)"

    def __init__(
        self,
        inputs: Sequence[SSAValue],
        constants: Sequence[int],
        passes: Sequence[Pass],
        kept: Sequence[int],
        results: Sequence[Attribute],
    ) -> None:
        numbers = [
            n
            for p in passes
            for n in (int(p.mode), p.a, NONE if p.b is None else p.b, p.result, p.shift)
        ]
        super().__init__(
            operands=[inputs],
            attributes={
                "constants": DenseArrayBase.from_list(i64, list(constants)),
                "passes": DenseArrayBase.from_list(i64, numbers),
                "kept": DenseArrayBase.from_list(i64, list(kept)),
            },
            result_types=[results],
        )

    def code(self) -> tuple[Pass, ...]:
        """The passes."""
        numbers = [int(n) for n in self.passes.get_values()]
        rows = [numbers[i : i + PASS_NUMBERS] for i in range(0, len(numbers), PASS_NUMBERS)]
        return tuple(
            Pass(Mode(mode), a, None if b == NONE else b, result, shift)
            for mode, a, b, result, shift in rows
        )

    def constant_values(self) -> tuple[int, ...]:
        """The constants."""
        return tuple(int(n) for n in self.constants.get_values())

    def results_kept(self) -> tuple[int, ...]:
        """Numbers of the values that are the results."""
        return tuple(int(n) for n in self.kept.get_values())

    @property
    def extent(self) -> int:
        """Elements of every value."""
        return shape_of(self.outs[0])[-1]

    def verify_(self) -> None:
        if not self.outs or len(self.passes.get_values()) % PASS_NUMBERS:
            raise VerifyException("results and five numbers a pass are needed")
        if any(shape_of(v)[-1] != self.extent for v in (*self.inputs, *self.outs)):
            raise VerifyException("all values have one extent")
        if any(not -(1 << 15) <= c < 1 << 15 for c in self.constant_values()):
            raise VerifyException("constants have 16 bits")
        known = set(range(len(self.inputs) + len(self.constant_values())))
        made: set[int] = set()
        for p in self.code():
            if p.mode not in TWO_OPERANDS | ONE_OPERAND:
                raise VerifyException(f"mode {int(p.mode)} is no elementwise pass")
            if (p.b is None) != (p.mode in ONE_OPERAND):
                raise VerifyException(f"{p.mode.name} has another number of operands")
            if not set(p.reads) <= known or p.result in known:
                raise VerifyException("a pass reads what is not made yet, or makes it twice")
            known.add(p.result)
            made.add(p.result)
        kept = self.results_kept()
        if len(kept) != len(self.outs) or not set(kept) <= made:
            raise VerifyException("every result is made by a pass")


Phase = Dialect("phase", [MatrixOp, VectorOp], [])
