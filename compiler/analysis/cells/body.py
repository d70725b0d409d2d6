"""One step of a recurrence as a program, taken apart at its nonlinear functions.

Between its functions a cell is affine in each of its inputs. So matrices are found by asking:
the program from the inputs (and the functions' results) to a function's argument is run by the
float interpreter on unit vectors. How the model spells the sums does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects.func import ReturnOp
from xdsl.ir import BlockArgument, Operation, SSAValue

from mohaq.compiler.dialects.nn import CELL_FUNCTIONS, FunctionAttr, UnaryOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.partition import extract
from mohaq.compiler.program import Program

Array = npt.NDArray[Any]

AFFINE = {"identity", "affine"}
"""Functions that are part of the sums."""


@dataclass(frozen=True)
class Chunk:
    """H neighbouring channels of a function: its argument, its result, where they begin."""

    function: FunctionAttr
    argument: SSAValue
    result: SSAValue
    first: int
    size: int

    def of(self, values: Array) -> Array:
        """The chunk's channels."""
        return values[..., self.first : self.first + self.size]


class Body:
    """A step: arguments x [B, I] (or [1, B, I]) and the states [B, n]; results the next states, then outputs."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.x, *states = program.entry.args
        self.states = tuple(states)
        end = program.entry.body.block.last_op
        assert isinstance(end, ReturnOp)
        self.nexts = tuple(end.operands[: len(states)])
        self.outputs = tuple(end.operands[len(states) :])
        self._programs: dict[SSAValue, tuple[Program, list[SSAValue]]] = {}

    @property
    def features(self) -> int:
        """I."""
        return shape_of(self.x)[-1]

    def sizes(self) -> tuple[int, ...]:
        """Channels of the states."""
        return tuple(shape_of(s)[-1] for s in self.states)

    def atoms(self) -> list[UnaryOp]:
        """The nonlinear functions of the step."""
        return [
            op
            for op in self.program.entry.body.block.ops
            if isinstance(op, UnaryOp)
            and op.function.kind in CELL_FUNCTIONS
            and op.function.kind not in AFFINE
        ]

    def chunks(self, size: int) -> list[Chunk] | None:
        """All functions in runs of `size` channels; None if they do not divide so."""
        found: list[Chunk] = []
        for op in self.atoms():
            channels = shape_of(op.result)[-1]
            if channels % size:
                return None
            found += [
                Chunk(op.function, op.input, op.result, first, size)
                for first in range(0, channels, size)
            ]
        return found

    def reads(self, value: SSAValue) -> list[SSAValue]:
        """Inputs and functions' results that a value is computed from."""
        return self._cut(value)[1]

    def is_first_level(self, chunk: Chunk) -> bool:
        """Whether the function's argument is affine in x and the states alone."""
        return all(isinstance(v, BlockArgument) for v in self.reads(chunk.argument))

    def _cut(self, value: SSAValue) -> tuple[Program, list[SSAValue]]:
        if value not in self._programs:
            stops = {self.x, *self.states, *(a.result for a in self.atoms())}
            ops: list[Operation] = []
            given: dict[SSAValue, None] = {}

            def visit(one: SSAValue) -> None:
                if one in stops:
                    given[one] = None
                    return
                op = one.owner
                assert isinstance(op, Operation)
                if op in ops or isinstance(op, LoadOp):
                    return
                for operand in op.operands:
                    visit(operand)
                ops.append(op)

            visit(value)
            arguments = list(given)
            self._programs[value] = (
                extract(self.program, ops, arguments, [value]),
                arguments,
            )
        return self._programs[value]

    def ask(self, value: SSAValue, given: Mapping[SSAValue, Array], rows: int) -> Array:
        """A value [rows, n] for given inputs [rows, .]; those not given are zero."""
        program, arguments = self._cut(value)
        inputs = []
        for argument in arguments:
            shape = shape_of(argument)
            held = given.get(argument)
            if held is None:
                held = np.zeros((rows, shape[-1]))
            lead = (1,) * (len(shape) - 2)
            inputs.append(held.reshape(*lead, rows, shape[-1]).astype(np.float32))
        (made,) = run_float(program, inputs)
        found: Array = made.reshape(rows, made.shape[-1]).astype(np.float64)
        return found

    def constant(self, value: SSAValue, given: Mapping[SSAValue, Array] | None = None) -> Array:
        """A value [n] where everything else is zero."""
        found: Array = self.ask(value, {k: v[None] for k, v in (given or {}).items()}, 1)[0]
        return found

    def matrix(
        self, value: SSAValue, source: SSAValue, given: Mapping[SSAValue, Array] | None = None
    ) -> Array:
        """[n, m]: how a value depends on a source of m channels, with others fixed."""
        size = shape_of(source)[-1]
        fixed = {k: np.broadcast_to(v, (size + 1, len(v))) for k, v in (given or {}).items()}
        basis = np.concatenate([np.zeros((1, size)), np.eye(size)])
        made = self.ask(value, {**fixed, source: basis}, size + 1)
        found: Array = (made[1:] - made[0]).T
        return found

    def limits(self) -> set[tuple[float, ...]]:
        """(low, high) of the clips in the step."""
        return {op.function.values for op in self._clips(self.program)}

    def unclipped(self) -> Body:
        """The same step without its clips."""
        end = self.program.entry.body.block.last_op
        assert isinstance(end, ReturnOp)
        ops = [
            o for o in self.program.entry.body.block.ops if not isinstance(o, (LoadOp, ReturnOp))
        ]
        made = extract(self.program, ops, list(self.program.entry.args), list(end.operands))
        for op in self._clips(made):
            op.result.replace_all_uses_with(op.input)
            made.entry.body.block.erase_op(op)
        return Body(made)

    @staticmethod
    def _clips(program: Program) -> list[UnaryOp]:
        return [
            op
            for op in program.entry.body.block.ops
            if isinstance(op, UnaryOp) and op.function.kind == "clip"
        ]

    def run(self, x: Array, states: Sequence[Array]) -> tuple[list[Array], list[Array]]:
        """One step on x [B, I]: next states and outputs."""
        lead = (1,) * (len(shape_of(self.x)) - 2)
        made = run_float(self.program, [x.reshape(*lead, *x.shape), *states])
        return list(made[: len(states)]), list(made[len(states) :])


def ones(chunks: Iterable[tuple[Chunk, float]]) -> dict[SSAValue, Array]:
    """Results of functions with chosen values in chunks, zero elsewhere."""
    found: dict[SSAValue, Array] = {}
    for chunk, value in chunks:
        held = found.setdefault(chunk.result, np.zeros(shape_of(chunk.result)[-1]))
        held[chunk.first : chunk.first + chunk.size] = value
    return found
