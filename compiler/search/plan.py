"""Compiles a legalized `qnn` program into steps over ragged batches.

All utterances lie one after the other as frames [N, C]. Runs of framewise operations become one
`FrameStep`, executed over blocks of rows so that sums stay in the cache; every scan becomes a
`ScanStep`. Values between steps are integers in the smallest of int16 and int64.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Operation, SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.qnn.table import functions_of
from mohaq.compiler.dialects.types import int_width, shape_of
from mohaq.compiler.program import Program
from mohaq.compiler.search import frame_code, frames, kernels
from mohaq.compiler.search.frames import FrameOp, Frames, Ragged
from mohaq.compiler.search.gemm import ByteWeights
from mohaq.compiler.search.products import join_products
from mohaq.compiler.search.scan_code import (
    COMPILE_AFTER,
    ScanCode,
    body_for,
    run_body,
    scan_code,
)
from mohaq.compiler.search.tape import Tape, TapeBuilder

Constant = npt.NDArray[np.int64]


def held_dtype(value: SSAValue) -> np.dtype[Any]:
    """How a value between steps is held."""
    width, signed = int_width(value)
    return np.dtype(np.int16 if width + (not signed) <= 16 else np.int64)


@dataclass(frozen=True)
class View:
    """Channels [first, first + size) of a held value."""

    register: int
    first: int
    size: int


@dataclass(frozen=True)
class FrameStep:
    """Framewise operations; `sources` are read, `kept` are written in full."""

    sources: tuple[tuple[int, View], ...]
    ops: tuple[FrameOp, ...]
    kept: tuple[tuple[int, int, int, np.dtype[Any]], ...]
    """(local number, register, channels, dtype)."""
    locals_count: int

    def run(self, registers: list[Frames | None], batch: Ragged) -> None:
        """Execute over blocks of rows."""
        outs = [np.empty((batch.frames, size), dtype=kind) for _, _, size, kind in self.kept]
        given = [(n, _columns(registers, view)) for n, view in self.sources]
        for start in range(0, batch.frames, frames.BLOCK):
            rows = slice(start, min(start + frames.BLOCK, batch.frames))
            values: list[Frames | None] = [None] * self.locals_count
            for number, array in given:
                values[number] = array[rows]
            # The operation that makes a kept value writes it where it stays, when it can.
            goals = {n: out[rows] for (n, *_), out in zip(self.kept, outs, strict=True)}
            for op in self.ops:
                op.run(values, goals.get(op.result))
            for number, goal in goals.items():
                made = values[number]
                assert made is not None
                if made is not goal:
                    np.copyto(goal, made, casting="unsafe")
        for (_, register, _, _), out in zip(self.kept, outs, strict=True):
            registers[register] = out


@dataclass(frozen=True)
class ScanStep:
    """One recurrence."""

    inputs: tuple[View, ...]
    tape: Tape
    outputs: tuple[tuple[int, int, np.dtype[Any]], ...]
    """(register, channels, dtype)."""
    code: ScanCode | None = None
    """For scans that can be compiled."""
    compile_after: int = COMPILE_AFTER

    def run(self, registers: list[Frames | None], batch: Ragged) -> None:
        """Execute over all utterances."""
        if self._run_compiled(registers, batch):
            return
        bases = sorted({view.register for view in self.inputs})
        arrays = [_columns(registers, View(b, 0, -1)) for b in bases]
        kind = np.dtype(np.int16 if all(a.dtype == np.int16 for a in arrays) else np.int64)
        fetch = [
            (bases.index(view.register), view.first, place, size)
            for view, (place, size) in zip(self.inputs, self.tape.arguments, strict=True)
        ]
        outs = tuple(np.empty((batch.frames, size), dtype=dtype) for _, size, dtype in self.outputs)
        kernels.scan(
            self.tape.rows,
            self.tape.buffer,
            self.tape.tables,
            tuple(np.ascontiguousarray(a, dtype=kind) for a in arrays),
            np.array(fetch, dtype=np.int64),
            outs,
            self.tape.emit,
            self.tape.states,
            batch.ends,
            self.tape.reverse,
        )
        for (register, _, _), out in zip(self.outputs, outs, strict=True):
            registers[register] = out

    def _run_compiled(self, registers: list[Frames | None], batch: Ragged) -> bool:
        if self.code is None:
            return False
        held = [_columns(registers, View(v.register, 0, -1)) for v in self.inputs]
        if any(a.dtype != np.int16 for a in held) or any(
            kind != np.int16 for _, _, kind in self.outputs
        ):
            return False
        body = body_for(self.code, batch.frames, self.compile_after)
        if body is None:
            return False
        outs = tuple(np.empty((batch.frames, size), dtype=dtype) for _, size, dtype in self.outputs)
        run_body(
            body,
            self.code,
            tuple(held),
            np.array([v.first for v in self.inputs], dtype=np.int64),
            self.tape.tables,
            outs,
            batch.ends,
            self.tape.reverse,
        )
        for (register, _, _), out in zip(self.outputs, outs, strict=True):
            registers[register] = out
        return True


def _columns(registers: list[Frames | None], view: View) -> Frames:
    held = registers[view.register]
    assert held is not None
    if view.size < 0 or (view.first == 0 and view.size == held.shape[1]):
        return held
    return held[:, view.first : view.first + view.size]


@dataclass(frozen=True)
class Plan:
    """A compiled program with one sequence in and its first result out."""

    steps: tuple[FrameStep | ScanStep, ...]
    registers: int
    result: View

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all arrays: weights, scales, tables."""
        return sum(_array_bytes(step) for step in self.steps)

    def run(self, frames_in: Frames, batch: Ragged) -> Frames:
        """Result frames [N, C] of input frames [N, F]."""
        registers: list[Frames | None] = [None] * self.registers
        registers[0] = frames_in
        for step in self.steps:
            step.run(registers, batch)
        return np.ascontiguousarray(_columns(registers, self.result))


def _array_bytes(held: object) -> int:
    """Bytes of the arrays inside dataclasses and tuples."""
    if isinstance(held, (np.ndarray, ByteWeights)):
        return int(held.nbytes)
    if isinstance(held, tuple):
        return sum(map(_array_bytes, held))
    if is_dataclass(held):
        return sum(_array_bytes(getattr(held, f.name)) for f in fields(held))
    return 0


def compile_plan(program: Program, *, compile_after: int = COMPILE_AFTER) -> Plan:
    """Compile a `qnn` program.

    Args:
        program: with one sequence input.
        compile_after: unit steps that scans of one structure run before they get code of their own.

    Raises:
        MohaqError: it takes initial states, or holds what the evaluator does not run.
    """
    return _Compiler(program, compile_after).compile()


class _Compiler:
    """State of one compilation."""

    def __init__(self, program: Program, compile_after: int) -> None:
        self._program = program
        self._compile_after = compile_after
        self._tables = functions_of(program.module.body.block.ops)
        self._constants: dict[SSAValue, Constant] = {}
        self._views: dict[SSAValue, View] = {}
        self._steps: list[FrameStep | ScanStep] = []
        self._pending: list[Operation] = []
        self._registers = 1
        self._needed: set[Operation] = set()

    def compile(self) -> Plan:
        """See `compile_plan`."""
        entry = self._program.entry
        if len(entry.args) != 1:
            raise MohaqError(
                "the evaluator takes programs with one sequence input",
                why=f"this one has {len(entry.args)} inputs",
                hint="search the model without initial states; they start at zero",
            )
        block = entry.body.block
        end = block.last_op
        assert isinstance(end, ReturnOp)
        self._views[entry.args[0]] = View(0, 0, shape_of(entry.args[0])[-1])
        self._needed = {*_needed(list(block.ops), end.operands[0]), end}
        for op in block.ops:
            if op is end or op not in self._needed:
                continue
            if isinstance(op, LoadOp):
                self._constants[op.result] = self._loaded(op)
            elif isinstance(op, qnn.SelectOp) and op.input in self._constants:
                self._constants[op.result] = self._constants[op.input][op.index.value.data]
            elif isinstance(op, qnn.ScanOp):
                self._flush()
                self._scan(op)
            else:
                self._pending.append(op)
        self._flush()
        return Plan(tuple(self._steps), self._registers, self._views[end.operands[0]])

    def _loaded(self, op: LoadOp) -> Constant:
        return self._program.parameters[op.symbol].astype(np.int64)

    def _flush(self) -> None:
        """Close the open run of framewise operations."""
        pending, self._pending = self._pending, []
        mine = {result: None for op in pending for result in op.results}
        numbers: dict[SSAValue, int] = {}
        sources: list[tuple[int, View]] = []
        ops: list[FrameOp] = []
        kept: dict[SSAValue, int] = {}
        later = self._needed - set(pending)

        def number(value: SSAValue) -> int:
            if value not in numbers:
                numbers[value] = len(numbers)
                if value not in mine:
                    sources.append((numbers[value], self._views[value]))
            return numbers[value]

        def keep(value: SSAValue) -> View:
            """The view of a value that later steps read."""
            owner = value.owner
            if value in self._views:
                return self._views[value]
            if isinstance(owner, qnn.SliceOp):
                base = keep(owner.input)
                offset, size = owner.offset.value.data, owner.size.value.data
                self._views[value] = View(base.register, base.first + offset, size)
            else:
                kept[value] = self._registers
                self._views[value] = View(self._registers, 0, shape_of(value)[-1])
                self._registers += 1
            return self._views[value]

        for value in mine:
            if {use.operation for use in value.uses} & later:
                keep(value)
        joined = join_products(pending, self._constants)
        gone = {op for one in joined.values() for op in one.absorbed}
        used_here = {v for op in pending for v in op.operands}
        for op in pending:
            if isinstance(op, qnn.SliceOp) and op.result not in used_here:
                continue  # only later steps read it: a view is enough
            if op in gone:
                continue
            if op in joined:
                ops.append(frame_code.joined_op(joined[op], op.results[0], number))
                continue
            ops.append(frame_code.frame_op(op, number, self._constants, self._tables))
        if ops:
            self._steps.append(
                FrameStep(
                    tuple(sources),
                    tuple(frame_code.fuse(ops, {numbers[v] for v in kept})),
                    tuple(
                        (numbers[v], register, shape_of(v)[-1], held_dtype(v))
                        for v, register in kept.items()
                    ),
                    len(numbers),
                )
            )

    def _scan(self, op: qnn.ScanOp) -> None:
        if op.init:
            raise MohaqError("the evaluator starts recurrences from zero states")
        for inner in op.body.walk():  # weights that a target splits beside their use
            if isinstance(inner, LoadOp):
                self._constants[inner.result] = self._loaded(inner)
        tape = TapeBuilder(op, self._constants, self._tables).build()
        outputs = []
        for value in op.outs[: op.output_count]:
            size = shape_of(value)[-1]
            self._views[value] = View(self._registers, 0, size)
            outputs.append((self._registers, size, held_dtype(value)))
            self._registers += 1
        inputs = tuple(self._views[v] for v in op.inputs)
        code = scan_code(
            tape.rows,
            tape.constants,
            np.array(tape.arguments),
            tape.emit,
            tape.states,
            tape.tables,
        )
        self._steps.append(ScanStep(inputs, tape, tuple(outputs), code, self._compile_after))


def _needed(ops: list[Operation], result: SSAValue) -> set[Operation]:
    """The operations that the first result depends on; final states are not needed."""
    needed: set[Operation] = set()
    wanted = {result}
    for op in reversed(ops):
        if any(value in wanted for value in op.results):
            needed.add(op)
            wanted.update(op.operands)
            for inner in op.walk():
                wanted.update(inner.operands)
    return needed
