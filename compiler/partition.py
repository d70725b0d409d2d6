"""Cutting an `nn` program into host, device, host (DESIGN D9).

A target runs recurrent and linear layers on whole sequences. What stands before and after them
(convolutions, norms, softmax, moves) runs on the host. The part on the device is the set of
layers with the most weights that read one sequence, directly or through each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import networkx as nx
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, BlockArgument, Operation, Region, SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.dialects.quant import row_parameters
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.program import ENTRY, NAME_KEY, Program, result_names

Place = Literal["argument", "before", "core", "after"]

Check = Callable[[Program], None]
"""Raises a MohaqError if the one layer of a program cannot run on the device."""


@dataclass(frozen=True)
class Source:
    """Where a value comes from: an argument of the whole program or a result of a part."""

    part: Place
    number: int


@dataclass(frozen=True)
class Partition:
    """A program in parts; `before` and `after` are None where the host has nothing to do.

    core_inputs, after_inputs, results: sources of the arguments of the parts (those of `before`
    are the program's) and of the results. refused: why layers run on the host, by name.
    """

    before: Program | None
    core: Program
    after: Program | None
    core_inputs: tuple[Source, ...]
    after_inputs: tuple[Source, ...]
    results: tuple[Source, ...]
    refused: dict[str, str]

    @property
    def whole(self) -> bool:
        """Whether the device runs everything."""
        return self.before is None and self.after is None


def partition(program: Program, check: Check) -> Partition:
    """Cut a program; a program that the device can run whole is its own core.

    Args:
        program: left alone.
        check: what the device can run.

    Raises:
        MohaqError: the device can run no layer; the message says why for each.
    """
    entry = program.entry
    refused: dict[str, str] = {}
    fit: list[LayerOp] = []
    for op in program.layers():
        try:
            check(_alone(program, op))
            fit.append(op)
        except MohaqError as error:
            refused[op.label] = f"{error.what}{f' ({error.why})' if error.why else ''}"
    core = _heaviest(fit, program)
    if not core:
        reasons = "; ".join(f"'{name}': {why}" for name, why in refused.items())
        raise MohaqError(
            "no layer of the program can run on the target", why=reasons or "it has no layers"
        )
    for op in fit:
        if op not in core:
            refused[op.label] = "it is not connected with the part on the target"
    others = [
        op
        for op in entry.body.block.ops
        if not isinstance(op, (LoadOp, ReturnOp)) and op not in core
    ]
    if not others:
        return Partition(
            None,
            program.clone(),
            None,
            tuple(Source("argument", n) for n in range(len(entry.args))),
            (),
            tuple(Source("core", n) for n in range(len(_returned(program)))),
            refused,
        )
    return _Cutter(program, core, others, refused).cut()


def _returned(program: Program) -> tuple[SSAValue, ...]:
    end = program.entry.body.block.last_op
    assert isinstance(end, ReturnOp)
    return tuple(end.operands)


def _inputs_of(op: Operation) -> list[SSAValue]:
    """Operands that are no parameters."""
    return [v for v in op.operands if not isinstance(v.owner, LoadOp)]


def _alone(program: Program, op: LayerOp) -> Program:
    """A program of one layer, its computed operands as arguments."""
    return extract(program, [op], list(dict.fromkeys(_inputs_of(op))), list(op.results))


def _weights(op: LayerOp, program: Program) -> int:
    return sum(
        program.parameters[v.owner.symbol].size for v in op.operands if isinstance(v.owner, LoadOp)
    )


def _heaviest(fit: Sequence[LayerOp], program: Program) -> list[LayerOp]:
    """The connected layers with the most weights that read one value from outside."""
    graph = nx.DiGraph()
    for op in program.entry.body.block.ops:
        graph.add_node(op)
        for value in op.operands:
            if not isinstance(value, BlockArgument):
                graph.add_edge(value.owner, op)
    best: list[LayerOp] = []
    best_size = -1
    entries = dict.fromkeys(op.operands[0] for op in fit)
    for entry in entries:
        chosen: list[LayerOp] = []
        for op in fit:  # in program order, so producers come first
            x = op.operands[0]
            inside = any(x is c.results[0] for c in chosen)
            if not (x is entry or inside):
                continue
            # States that depend on the core itself would make a circle of host and device.
            states = [v.owner for v in _inputs_of(op)[1:] if isinstance(v.owner, Operation)]
            if any(nx.has_path(graph, c, s) for c in chosen for s in states):
                continue
            chosen.append(op)
        size = sum(_weights(op, program) for op in chosen)
        if size > best_size:
            best, best_size = chosen, size
    return best


class _Cutter:
    """Sorts the operations around the core and makes the three programs."""

    def __init__(
        self,
        program: Program,
        core: Sequence[LayerOp],
        others: Sequence[Operation],
        refused: dict[str, str],
    ) -> None:
        self._program = program
        self._core = list(core)
        self._refused = refused
        late: set[SSAValue] = {r for op in core for r in op.results}
        self._before: list[Operation] = []
        self._after: list[Operation] = []
        for op in others:
            if any(v in late for v in op.operands):
                late.update(op.results)
                self._after.append(op)
            else:
                self._before.append(op)
        self._arguments = {a: n for n, a in enumerate(program.entry.args)}

    def cut(self) -> Partition:
        """The partition."""
        program = self._program
        results = list(_returned(program))
        core_args = list(dict.fromkeys(v for op in self._core for v in _inputs_of(op)))
        made = {r for op in self._core for r in op.results}
        core_args = [v for v in core_args if v not in made]
        first = self._core[0].operands[0]
        core_args = [first, *(v for v in core_args if v is not first)]
        after_args = list(
            dict.fromkeys(
                v for op in self._after for v in _inputs_of(op) if v.owner not in self._after
            )
        )
        needed_of_core = [v for v in (*after_args, *results) if v in made]
        # Sequences first, states after them.
        firsts = {op.results[0] for op in self._core}
        core_results = sorted(dict.fromkeys(needed_of_core), key=lambda v: v not in firsts)
        if not core_results:
            core_results = [self._core[-1].results[0]]
        early = {r for op in self._before for r in op.results}
        before_results = list(
            dict.fromkeys(v for v in (*core_args, *after_args, *results) if v in early)
        )
        after_results = list(dict.fromkeys(v for v in results if v.owner in self._after))
        sources: dict[SSAValue, Source] = {
            a: Source("argument", n) for a, n in self._arguments.items()
        }
        sources |= {v: Source("before", n) for n, v in enumerate(before_results)}
        sources |= {v: Source("core", n) for n, v in enumerate(core_results)}
        sources |= {v: Source("after", n) for n, v in enumerate(after_results)}
        for value in results:
            if value not in sources:
                raise MohaqError("a parameter is a result of the program")
        before = None
        if before_results:
            before = extract(program, self._before, list(program.entry.args), before_results)
        after = None
        if after_results:
            after = extract(program, self._after, after_args, after_results)
        return Partition(
            before,
            extract(program, self._core, core_args, core_results),
            after,
            tuple(sources[v] for v in core_args),
            tuple(sources[v] for v in after_args) if after is not None else (),
            tuple(sources[v] for v in results),
            self._refused,
        )


def extract(
    program: Program,
    ops: Sequence[Operation],
    arguments: Sequence[SSAValue],
    results: Sequence[SSAValue],
) -> Program:
    """A program of some operations of another.

    Args:
        program: the other one, left alone.
        ops: in program order.
        arguments: values that become arguments.
        results: values that it returns.
    """
    entry = program.entry
    block = Block(arg_types=[v.type for v in arguments])
    values: dict[SSAValue, SSAValue] = dict(zip(arguments, block.args, strict=True))
    store = ParameterStore()
    declared: list[DeclareOp] = []

    def load(op: LoadOp) -> None:
        if op.result in values:
            return
        if op.symbol not in store:
            store[op.symbol] = program.parameters[op.symbol]
            declared.append(program.declared()[op.symbol].clone())
        made = op.clone()
        block.add_op(made)
        values[op.result] = made.result

    for op in ops:
        for value in op.operands:
            if isinstance(value.owner, LoadOp):
                load(value.owner)
        for name in sorted(row_parameters(op.attributes)) if isinstance(op, LayerOp) else ():
            if name not in store:
                store[name] = program.parameters[name]
                declared.append(program.declared()[name].clone())
        made = op.clone(value_mapper=values)
        block.add_op(made)
        values.update(zip(op.results, made.results, strict=True))
    block.add_op(ReturnOp(*(values[v] for v in results)))
    said = dict(zip(_returned(program), result_names(entry), strict=True))
    function = FuncOp(
        ENTRY,
        ([a.type for a in block.args], [v.type for v in results]),
        Region(block),
        arg_attrs=_attributes(program, arguments),
        res_attrs=_named([said.get(v) for v in results]),
    )
    return Program(ModuleOp([*declared, function]), store)


def _attributes(
    program: Program, arguments: Sequence[SSAValue]
) -> ArrayAttr[DictionaryAttr] | None:
    """Attributes that the program's own arguments had; None when there are none."""
    entry = program.entry
    held = entry.arg_attrs.data if entry.arg_attrs else (DictionaryAttr({}),) * len(entry.args)
    known = dict(zip(entry.args, held, strict=True))
    found = [
        known.get(v, DictionaryAttr({})) if isinstance(v, BlockArgument) else DictionaryAttr({})
        for v in arguments
    ]
    return ArrayAttr(found) if any(a.data for a in found) else None


def _named(names: Sequence[str | None]) -> ArrayAttr[DictionaryAttr] | None:
    if not any(names):
        return None
    return ArrayAttr([DictionaryAttr({NAME_KEY: StringAttr(n)} if n else {}) for n in names])


def bytes_per_frame(part: Partition, width: int = 16) -> tuple[int, int]:
    """Bytes that cross to the device and back for each frame of one sequence, at `width` bits.

    States cross once a sequence and do not count.
    """
    entry = part.core.entry
    into = shape_of(entry.args[0])[-1]
    back = sum(
        shape_of(v)[-1]
        for v in _returned(part.core)
        if isinstance(v.owner, LayerOp) and v is v.owner.results[0]
    )
    return into * width // 8, back * width // 8
