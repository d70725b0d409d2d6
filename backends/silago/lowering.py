"""From a legalized program to phases: products, and runs of elementwise operations."""

from __future__ import annotations

from dataclasses import dataclass, field

from xdsl.dialects.builtin import DenseArrayBase, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from mohaq.backends.silago.dialect_phases import MatrixOp, VectorOp
from mohaq.backends.silago.isa.instructions import Mode
from mohaq.backends.silago.legalize.functions import SIGMOID, TANH
from mohaq.backends.silago.legalize.products import BANDS_KEY
from mohaq.backends.silago.schedule.passes import Pass
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.program import ENTRY, Program

VIEWS = (qnn.SliceOp, qnn.ConcatOp, qnn.SelectOp, qnn.StackOp)
INNER = (qnn.AddOp, qnn.MulOp, qnn.RsubOp, qnn.MatmulOp)
"""Operations that are read as parts of the one after them."""

FUNCTIONS = {SIGMOID: Mode.SIGM, TANH: Mode.TANHYP}
LARGEST_SHIFT = 15
"""The datapath takes four bits of a shift; 16-bit values shifted by more give the same."""


def lower_to_phases(program: Program) -> Program:
    """Phases of a legalized program; parameters stay.

    Raises:
        MohaqError: the program is not legalized.
    """
    entry = program.entry
    block = Block(arg_types=[a.type for a in entry.args])
    values: dict[SSAValue, SSAValue] = {}
    for old_arg, new_arg in zip(entry.args, block.args, strict=True):
        new_arg.name_hint = old_arg.name_hint
        values[old_arg] = new_arg
    results = _Lowering(block, values).run(entry.body.block)
    block.add_op(ReturnOp(*results))
    types = ([a.type for a in block.args], [r.type for r in results])
    function = FuncOp(
        ENTRY, types, Region(block), arg_attrs=entry.arg_attrs, res_attrs=entry.res_attrs
    )
    made = program.clone()
    old = made.entry
    parent = old.parent
    assert parent is not None
    parent.insert_op_before(function, old)
    parent.erase_op(old)
    for op in list(made.module.body.block.ops):
        if isinstance(op, (qnn.TableOp, qnn.PiecewiseOp)):
            made.module.body.block.erase_op(op)
    return made


@dataclass
class _Open:
    """A vector phase under construction: neutral numbers are given when it is closed."""

    extent: int
    mark: Attribute | None
    steps: list[tuple[Mode, SSAValue | int | str, SSAValue | int | str | None, SSAValue | str, int]]
    results: dict[SSAValue, Attribute] = field(default_factory=dict)


class _Lowering:
    def __init__(self, block: Block, values: dict[SSAValue, SSAValue]) -> None:
        self.block = block
        self.values = values
        self.open: _Open | None = None
        self.temporary = 0

    def run(self, old: Block) -> list[SSAValue]:
        """Lower a block; gives the operands of its terminator."""
        for op in old.ops:
            if isinstance(op, (ReturnOp, qnn.YieldOp)):
                self._close()
                return [self.values[v] for v in op.operands]
            self._operation(op)
        raise MohaqError("a block ends without a terminator")

    def _operation(self, op: Operation) -> None:
        if isinstance(op, LoadOp):
            made = op.clone()
            self.block.add_op(made)
            self.values[op.result] = made.result
        elif isinstance(op, INNER):
            return
        elif isinstance(op, (*VIEWS, qnn.ScanOp)):
            if any(self._pending(v) for v in op.operands) or isinstance(op, qnn.ScanOp):
                self._close()
            if isinstance(op, qnn.ScanOp):
                self._scan(op)
                return
            copy = op.clone({v: self.values[v] for v in op.operands})
            self.block.add_op(copy)
            self.values[op.results[0]] = copy.results[0]
        elif isinstance(op, qnn.ShrOp) and isinstance(op.input.owner, qnn.MatmulOp):
            self._matrix(op, op.input.owner)
        else:
            self._pass(op)

    def _pending(self, value: SSAValue) -> bool:
        return self.open is not None and value in self.open.results

    def _matrix(self, op: qnn.ShrOp, product: qnn.MatmulOp) -> None:
        if self._pending(product.input):
            self._close()
        amounts, found = op.amounts(), op.attributes.get(BANDS_KEY)
        bands = list(range(len(amounts)))
        if isinstance(found, DenseArrayBase):
            bands = [int(b) for b in found.get_values()]
        x, weight = self.values[product.input], self.values[product.weight]
        made = MatrixOp(x, weight, amounts, bands)
        _marked(made, op.attributes.get("layer"))
        self.block.add_op(made)
        self.values[op.result] = made.result

    def _scan(self, op: qnn.ScanOp) -> None:
        body = op.body.block
        block = Block(arg_types=[a.type for a in body.args])
        values = dict(self.values)
        values.update(zip(body.args, block.args, strict=True))
        yielded = _Lowering(block, values).run(body)
        block.add_op(qnn.YieldOp(yielded))
        made = qnn.ScanOp(
            [self.values[v] for v in op.inputs],
            [self.values[v] for v in op.init],
            block,
            [r.type for r in op.results],
            op.direction.data,
        )
        _marked(made, op.attributes.get("layer"))
        self.block.add_op(made)
        self.values.update(zip(op.results, made.results, strict=True))

    def _pass(self, op: Operation) -> None:
        """Append the passes of an elementwise operation to the open phase."""
        (result,) = op.results
        extent, mark = shape_of(result)[-1], op.attributes.get("layer")
        if self.open is not None and (self.open.extent != extent or self.open.mark != mark):
            self._close()
        if self.open is None:
            self.open = _Open(extent, mark, [])
        steps = self.open.steps
        match op:
            case qnn.SaturateOp(input=given) if isinstance(given.owner, qnn.AddOp):
                steps.append((Mode.ADD, given.owner.lhs, given.owner.rhs, result, 0))
            case qnn.SaturateOp(input=given) if isinstance(given.owner, qnn.RsubOp):
                inner = given.owner
                steps.append((Mode.SUBT, inner.constant.value.data, inner.input, result, 0))
            case qnn.ShrOp(input=given) if isinstance(given.owner, qnn.MulOp):
                (shift,) = op.amounts()
                steps.append((Mode.MULT, given.owner.lhs, given.owner.rhs, result, shift))
            case qnn.ShrOp():
                (shift,) = op.amounts()
                mode = Mode.SHIFT_R if shift >= 0 else Mode.SHIFT_L
                steps.append((mode, op.input, min(abs(shift), LARGEST_SHIFT), result, 0))
            case qnn.RequantizeOp() if op.scales()[0][0] == 1 and len(op.scales()) == 1:
                ((_, shift),) = op.scales()
                half = f"half{self.temporary}"
                self.temporary += 1
                steps.append((Mode.ADD, op.input, 1 << (shift - 1), half, 0))
                steps.append((Mode.SHIFT_R, half, shift, result, 0))
            case qnn.LookupOp():
                mode = FUNCTIONS[op.table.root_reference.data]
                steps.append((mode, op.input, None, result, 0))
            case _:
                raise MohaqError(
                    f"'{op.name}' is no pass of SiLago", hint="run legalize-for-silago first"
                )
        self.open.results[result] = result.type

    def _close(self) -> None:
        """End the open phase: number its values and emit it."""
        phase, self.open = self.open, None
        if phase is None:
            return
        inputs = list(
            dict.fromkeys(
                v
                for _, a, b, _, _ in phase.steps
                for v in (a, b)
                if isinstance(v, SSAValue) and v not in phase.results
            )
        )
        # A constant is shared where the form of the program shares it, not where numbers happen
        # to be equal: the cost model knows no numbers.
        keys = list(
            dict.fromkeys(
                _constant(i, mode, v)
                for i, (mode, a, b, _, _) in enumerate(phase.steps)
                for v in (a, b)
                if isinstance(v, int)
            )
        )
        numbers: dict[object, int] = {v: n for n, v in enumerate([*inputs, *keys])}
        constants = [value for _, value in keys]
        passes = []
        for i, (mode, a, b, result, shift) in enumerate(phase.steps):
            first, second = (
                None if v is None else numbers[_constant(i, mode, v) if isinstance(v, int) else v]
                for v in (a, b)
            )
            assert first is not None
            numbers[result] = len(numbers)
            passes.append(Pass(mode, first, second, numbers[result], shift))
        kept = [v for v in phase.results if _read_outside(v, phase.results)]
        if not kept:
            return
        made = VectorOp(
            [self.values[v] for v in inputs],
            constants,
            passes,
            [numbers[v] for v in kept],
            [phase.results[v] for v in kept],
        )
        _marked(made, phase.mark)
        self.block.add_op(made)
        self.values.update(zip(kept, made.outs, strict=True))


def _constant(step: int, mode: Mode, value: int) -> tuple[int, int]:
    """Name of a constant: those that gates are subtracted from are one."""
    return (-1 if mode is Mode.SUBT else step, value)


def _read_outside(value: SSAValue, inside: dict[SSAValue, Attribute]) -> bool:
    """Whether an operation that is no pass of the same phase reads a value."""
    for use in value.uses:
        user = use.operation
        if isinstance(user, INNER):
            readers = [u.operation for r in user.results for u in r.uses]
        else:
            readers = [user]
        for reader in readers:
            if not (reader.results and reader.results[0] in inside):
                return True
    return False


def _marked(op: Operation, mark: Attribute | None) -> None:
    if isinstance(mark, StringAttr):
        op.attributes["layer"] = mark
