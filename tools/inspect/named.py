"""`--op NAME`: a layer, a value, a parameter, or a point of a front."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from xdsl.ir import BlockArgument, Operation, SSAValue

from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.driver import LEGALIZED
from mohaq.compiler.program import Program
from mohaq.passes.lower_to_qnn import lower_to_qnn
from mohaq.tools.console import latency, objective_text, si
from mohaq.tools.inspect.blocks import Block, Line, Listing, Table
from mohaq.tools.inspect.emitted import emitted_layer
from mohaq.tools.inspect.figures import figure_tables, figures, layer_of
from mohaq.tools.inspect.operation import layer_blocks, operation_blocks
from mohaq.tools.inspect.printed import Printed, shortened, type_text
from mohaq.tools.inspect.stream import text_lines
from mohaq.tools.inspect.subject import (
    QUANTIZED,
    WHOLE,
    AssignmentSubject,
    CompiledSubject,
    ProgramSubject,
    RunSubject,
    Subject,
    program_of,
)
from mohaq.tools.report.model import Point


def in_full(subject: Subject, name: str, stage: str | None = None) -> list[Block]:
    """Everything about what is called `name`.

    Raises:
        MohaqError: nothing is; the message names what is closest.
    """
    match subject:
        case CompiledSubject():
            if stage is None and name in subject.layer_names():
                return _compiled_layer(subject, name)
            if stage is None and (plan := subject.opened.host) and name in plan.refused:
                why = Line(f"on the host: {plan.refused[name]}")
                return [why, *_in_program(subject.program(WHOLE), name, [])]
            # Numbers of values are those of a stage: without --stage of the legalized program.
            chosen = subject.check_stage(stage or LEGALIZED)
            heading = Line(f"{subject.title}, {chosen}", bold=True)
            if subject.is_long(chosen):
                return [heading, _matching(subject, chosen, name)]
            known = [] if stage else subject.layer_names()
            return [heading, *_in_program(subject.program(chosen), name, known)]
        case RunSubject() if stage is None and name in {p.name for p in _points(subject)}:
            return _point(subject, name)
        case AssignmentSubject() if stage is None:
            return _assigned(subject, name)
        case ProgramSubject(program=None) if stage is None:
            assert subject.path is not None
            return [_lines_of(subject.path, name)]
    program, _ = program_of(subject, stage)
    known = [p.name for p in _points(subject)] if isinstance(subject, RunSubject) else []
    blocks = _in_program(program, name, known)
    return blocks + (_across(subject, name) if isinstance(subject, RunSubject) else [])


def _in_program(program: Program, name: str, known: list[str]) -> list[Block]:
    """A layer, a value such as `%3`, or a parameter such as `@l0.weight`."""
    printed = Printed(program)
    for op in program.layers():
        if op.label == name:
            return [
                *operation_blocks(program, printed, op),
                *_figures(program, name),
                *_neutral(program, name),
            ]
    ops = list(program.entry.walk())
    layers = list(dict.fromkeys(found for op in ops if (found := layer_of(op)) is not None))
    if name in layers:
        return [Line(f"layer {name}", bold=True), *layer_blocks(program, printed, name)]
    if (value := _value(printed, name)) is not None:
        if isinstance(value.owner, LoadOp):
            return _parameter(program, printed, value.owner.symbol)
        if isinstance(value.owner, Operation):
            return operation_blocks(program, printed, value.owner)
        return _argument(program, printed, value)
    if name.removeprefix("@") in program.declared():
        return _parameter(program, printed, name.removeprefix("@"))
    values = list(printed.names.values())
    parameters = [f"@{n}" for n in program.declared()]
    names = [*layers, *known, *(parameters if name.startswith("@") else [])]
    hint = did_you_mean(name, [*names, *(values if name.startswith("%") else [])] or values)
    raise MohaqError(f"nothing here is called '{name}'", hint=hint)


def _value(printed: Printed, name: str) -> SSAValue | None:
    wanted = name if name.startswith("%") else f"%{name}"
    return next((v for v, held in printed.names.items() if held == wanted), None)


def _argument(program: Program, printed: Printed, value: SSAValue) -> list[Block]:
    assert isinstance(value, BlockArgument)
    where = "the program" if value.owner is program.entry.body.block else "a loop's body"
    readers = ", ".join(
        dict.fromkeys(
            u.operation.label if isinstance(u.operation, LayerOp) else u.operation.name
            for u in value.uses
        )
    )
    text = f"{printed.name(value)}: argument {value.index} of {where}, {type_text(value)}"
    return [Line(text, bold=True), Line(f"read by {readers or 'nothing'}")]


def _parameter(program: Program, printed: Printed, name: str) -> list[Block]:
    data = program.parameters[name]
    readers = [
        use.operation
        for op in program.entry.walk()
        if isinstance(op, LoadOp) and op.symbol == name
        for use in op.result.uses
    ]
    rows = [
        ("type", str(program.declared()[name].type)),
        ("elements", f"{data.size:,}"),
        ("stored as", f"{data.dtype}, {data.nbytes:,} bytes"),
        ("smallest, largest", f"{np.min(data):.6g}, {np.max(data):.6g}"),
        ("mean, deviation", f"{np.mean(data):.6g}, {np.std(data):.6g}"),
        ("zeros", f"{np.mean(data == 0):.2%}"),
        ("different values", f"{len(np.unique(data)):,}"),
        ("sha256", program.parameters.sha256(name)),
        ("read by", ", ".join(dict.fromkeys(_reader(printed, op) for op in readers))),
    ]
    return [
        Line(f"parameter @{name}", bold=True),
        Table("Parameter", ("fact", "value"), rows, text=2),
    ]


def _reader(printed: Printed, op: Operation) -> str:
    if isinstance(op, LayerOp):
        return op.label
    return f"{printed.name(op.results[0])} ({op.name})" if op.results else op.name


def _figures(program: Program, name: str) -> list[Block]:
    found = next((one for one in figures(program) if one.name == name), None)
    if found is None:
        return [Line("no target has this layer: it runs on the host")]
    text = f"{found.macs:,} products a frame, {found.weights:,} weights"
    if found.held is not None:
        text += f" in {found.held:,} bytes, weight x input bits {found.bits}"
    return [Line(text)]


def _neutral(program: Program, name: str) -> list[Block]:
    """The layer in integers, where the program has all that this needs."""
    if not all(op.quant for op in program.layers()):
        return [
            Line("bounds of sums follow from widths: give them with apply-assignment or compile")
        ]
    try:
        integers = lower_to_qnn(program.clone())
    except MohaqError as error:
        return [Line(f"no integers: {error.what}")]
    return [
        Line("in integers, before any target:", bold=True),
        *layer_blocks(integers, Printed(integers), name),
    ]


def _compiled_layer(subject: CompiledSubject, name: str) -> list[Block]:
    """The layer at every stage: in float with grids, in the target's integers, as it runs."""
    quantized = subject.program(QUANTIZED)
    printed = Printed(quantized)
    op = next(op for op in quantized.layers() if op.label == name)
    legalized = subject.program(LEGALIZED)
    target = f"{subject.opened.target} ({subject.opened.backend.name})"
    blocks = [
        *operation_blocks(quantized, printed, op),
        *_figures(quantized, name),
        Line(f"{LEGALIZED}, in the arithmetic of {target}:", bold=True),
        *layer_blocks(legalized, Printed(legalized), name),
        Line(f"emitted for {target}:", bold=True),
        *_cost(subject, name),
    ]
    return [*blocks, *emitted_layer(subject, name)]


def _cost(subject: CompiledSubject, name: str) -> list[Block]:
    estimate = subject.estimate()
    held = estimate["layers"].get(name)
    if held is None:
        return []
    total = estimate["total"]["cycles"] or 1
    rows = [
        ("cycles", f"{held['cycles']:,} ({held['cycles'] / total:.1%} of all)"),
        ("latency", latency(held["seconds"])),
        ("energy", si(held["joules"], "J")),
        *((key, f"{value:,}") for key, value in held["counters"].items() if key != "cycles"),
    ]
    title = f"Estimate of {name} for {estimate['workload']['frames']} frames"
    return [Table(title, ("figure", "value"), rows)]


def _matching(subject: CompiledSubject, stage: str, name: str) -> Listing:
    return _lines_of(subject.path(stage), name)


def _lines_of(path: Path, name: str) -> Listing:
    """Lines of a long text that make a value or name a layer.

    Raises:
        MohaqError: there is none.
    """
    quoted = f'layer = "{name}"'
    value = f"{name if name.startswith('%') else f'%{name}'} = "

    def lines() -> Iterator[str]:
        for line in text_lines(path):
            if quoted in line or line.lstrip().startswith(value):
                yield shortened(line.strip())

    if next(lines(), None) is None:
        raise MohaqError(
            f"no line of this text makes or names '{name}'",
            where=path.name,
            hint="a layer's instructions are shown without --stage",
        )
    return Listing(f"Lines of {name}", lines)


def _points(subject: RunSubject) -> list[Point]:
    return [*subject.report.references, *subject.report.front]


def _point(subject: RunSubject, name: str) -> list[Block]:
    report = subject.report
    point = next(p for p in (*report.references, *report.front) if p.name == name)
    values = [
        (o.name, objective_text(o.name, point.values[o.name], o.unit))
        for o in report.objectives
        if o.name in point.values
    ]
    slots = list(dict.fromkeys(slot for row in point.bits.values() for slot in row))
    rows = [(layer, *(row.get(s, "") for s in slots)) for layer, row in point.bits.items()]
    widths = {Slot(n, s): b for n, row in point.bits.items() for s, b in row.items()}
    blocks: list[Block] = [
        Line(f"point {name}, found in generation {point.generation}", bold=True),
        Table("Objectives", ("objective", "value"), values),
    ]
    if rows:
        blocks.append(Table("Bits", ("layer", *slots), rows))
    return blocks + figure_tables(figures(subject.program, widths))


def _across(subject: RunSubject, name: str) -> list[Block]:
    """Bits of a layer in every point of the front."""
    report = subject.report
    slots = list(dict.fromkeys(s for p in report.front for s in p.bits.get(name, {})))
    if not slots:
        return []
    rows = [(p.name, *(p.bits.get(name, {}).get(s, "") for s in slots)) for p in report.front]
    return [Table(f"Bits of {name} on the front", ("point", *slots), rows)]


def _assigned(subject: AssignmentSubject, name: str) -> list[Block]:
    held = {s: bits for s, bits in subject.assignment.widths.items() if name in {s.layer, str(s)}}
    if not held:
        known = {str(s) for s in subject.assignment.widths}
        known |= {s.layer for s in subject.assignment.widths}
        raise MohaqError(f"nothing here is called '{name}'", hint=did_you_mean(name, known))
    rows = [(str(slot), bits) for slot, bits in held.items()]
    return [Table(f"Bits of {name}", ("slot", "bits"), rows)]
