"""The overview of a subject: operations, layers with bits and bytes, stages, costs, totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.qnn import MatmulOp, TableOp
from mohaq.compiler.dialects.qnn.matmul import NEUTRAL_ACCUMULATOR
from mohaq.compiler.program import Program, argument_names
from mohaq.tools.console import kib, latency, objective_text, si
from mohaq.tools.front import bits_text
from mohaq.tools.inspect.blocks import Block, Line, Table, named_rows
from mohaq.tools.inspect.emitted import emitted_summary
from mohaq.tools.inspect.figures import figure_tables, figures, layer_of
from mohaq.tools.inspect.printed import Printed, nested, type_text
from mohaq.tools.inspect.stream import TextCounts, structural
from mohaq.tools.inspect.subject import (
    QUANTIZED,
    AssignmentSubject,
    CompiledSubject,
    ProgramSubject,
    RunSubject,
    Subject,
)
from mohaq.tools.inspect.words import facts_text


def summary(subject: Subject, stage: str | None = None) -> list[Block]:
    """The overview.

    Raises:
        MohaqError: `stage` of something that has none, or files that are damaged.
    """
    if isinstance(subject, CompiledSubject):
        return _stage(subject, stage) if stage else _compiled(subject)
    if stage is not None:
        raise MohaqError("--stage needs a compiled folder", where=subject.title)
    match subject:
        case AssignmentSubject():
            return _assignment(subject)
        case RunSubject():
            return _run(subject)
        case ProgramSubject(program=None):
            assert subject.path is not None
            title = f"program {subject.title}, counted line by line"
            return [Line(title, bold=True), *_counted(TextCounts(subject.path))]
        case _:
            assert subject.program is not None
            return _program(subject.program, subject.title)


def stage_of(program: Program) -> str:
    """How far a program has come: nn, annotated nn, integers, those of a target, or its own."""
    layers = list(program.layers())
    if layers:
        if any(op.quant for op in layers):
            return "nn with widths"
        return "nn, calibrated" if any(op.calibration for op in layers) else "nn, not calibrated"
    dialects = {op.name.partition(".")[0] for op in program.module.walk()}
    dialects -= {"builtin", "func", "param", "qnn", "nn"}
    if dialects:
        return f"lowered to {', '.join(sorted(dialects))}"
    sums = [op.acc.width.data for op in program.module.walk() if isinstance(op, MatmulOp)]
    if any(width != NEUTRAL_ACCUMULATOR for width in sums):
        return "integers (qnn), legalized"
    return "integers (qnn)" if sums or _has(program, "qnn.") else "nn"


def operation_table(program: Program, printed: Printed | None = None) -> Table:
    """Every operation: the value it makes, its layer, facts, result and parameters."""
    shown = printed or Printed(program)
    rows: list[Sequence[object]] = []
    elements = 0
    for op, depth in nested(program.entry.body.block):
        if isinstance(op, LoadOp) or op.name in {"func.return", "qnn.yield"}:
            continue
        sizes = [
            program.parameters[v.owner.symbol].size
            for v in op.operands
            if isinstance(v.owner, LoadOp) and v.owner.symbol in program.parameters
        ]
        elements += sum(sizes)
        rows.append(
            (
                ", ".join(shown.name(v) for v in op.results),
                "  " * depth + op.name.removeprefix("nn."),
                layer_of(op) or "",
                facts_text(op),
                type_text(op.results[0]) if op.results else "",
                f"{sum(sizes):,}" if sizes else "",
            )
        )
    rows.append(("all", f"{len(rows):,} operations", "", "", "", f"{elements:,}"))
    columns = ("value", "operation", "layer", "facts", "result", "parameters")
    return Table("Operations", columns, rows, text=5)


def _program(program: Program, title: str, stage: str = "") -> list[Block]:
    entry, printed = program.entry, Printed(program)
    state, rows = stage_of(program), figures(program)
    name = f"{title}, {stage}" if stage else title
    return [
        Line(f"program {name}: {state}, {program.content_hash()[:12]}", bold=True),
        Line(
            "takes "
            + ", ".join(
                f"{given or printed.name(arg)} {type_text(arg)}"
                for given, arg in zip(argument_names(entry), entry.args, strict=True)
            )
        ),
        operation_table(program, printed),
        *figure_tables(rows),
        *_uncounted(program, {row.name for row in rows}),
        _kinds({"count": _op_counts(program)}, "Kinds of operations"),
        Line(_totals(program)),
    ]


def _uncounted(program: Program, counted: set[str]) -> list[Block]:
    """Layers that no target runs, or not together with the others."""
    names = [op.label for op in program.layers() if op.label not in counted]
    return [Line(f"on the host and not counted: {', '.join(names)}")] if names else []


def _totals(program: Program) -> str:
    held = [program.parameters[name] for name in program.parameters]
    stored = sum(a.nbytes for a in held)
    tables = sum(len(op.values()) for op in program.module.walk() if isinstance(op, TableOp))
    text = f"{len(held)} parameters of {sum(a.size for a in held):,} elements, {kib(stored)} stored"
    return text + (f"; {tables:,} entries of tables" if tables else "")


def _stage(subject: CompiledSubject, stage: str) -> list[Block]:
    name = subject.check_stage(stage)
    if subject.is_long(name):
        title = f"program {subject.title}, {name}, counted line by line"
        return [Line(title, bold=True), *_counted(TextCounts(subject.path(name)))]
    return _program(subject.program(name), subject.title, name)


def _compiled(subject: CompiledSubject) -> list[Block]:
    opened, estimate = subject.opened, subject.estimate()
    rows = figures(subject.program(QUANTIZED), subject.widths())
    blocks: list[Block] = [
        Line(f"{plain_name(opened.model)} for {opened.target} ({opened.backend.name})", bold=True),
        *figure_tables(rows),
    ]
    if (plan := opened.host) is not None:
        blocks.append(
            Line(
                f"on the host: {len(plan.refused)} layers; {plan.bytes_in} bytes to the target and "
                f"{plan.bytes_out} back for each frame"
            )
        )
        blocks.append(Table("On the host", ("layer", "why"), list(plan.refused.items()), text=2))
    blocks += _stages(subject)
    blocks += _costs(estimate)
    blocks += emitted_summary(subject)
    files = sorted(p for p in subject.emitted.rglob("*") if p.is_file())
    listed = [(p.relative_to(subject.folder).as_posix(), f"{p.stat().st_size:,}") for p in files]
    blocks.append(Table("What the target gets", ("file", "bytes"), listed))
    return blocks


def _stages(subject: CompiledSubject) -> list[Block]:
    counts: dict[str, dict[str, int]] = {}
    rows = []
    for name in subject.stages:
        if subject.is_long(name):
            found = TextCounts(subject.path(name))
            here, state = dict(found.operations), "counted line by line"
            held = f"{found.parameters:,}", f"{found.elements:,}"
        else:
            program = subject.program(name)
            here, state = _op_counts(program), stage_of(program)
            arrays = [program.parameters[n] for n in program.parameters]
            held = f"{len(arrays):,}", f"{sum(a.size for a in arrays):,}"
        counts[name] = {op: n for op, n in here.items() if not structural(op)}
        rows.append((name, state, f"{sum(counts[name].values()):,}", *held))
    columns = ("stage", "is", "operations", "parameters", "elements")
    return [Table("Stages", columns, rows, text=2), _kinds(counts)]


def _kinds(counts: Mapping[str, Mapping[str, int]], title: str = "Operations by stage") -> Table:
    names = sorted({op for one in counts.values() for op in one if not structural(op)})
    rows = [
        (op, *(f"{n:,}" if (n := one.get(op)) else "" for one in counts.values())) for op in names
    ]
    return Table(title, ("operation", *counts), rows)


def _costs(estimate: Mapping[str, Any]) -> list[Block]:
    total = estimate["total"]
    costs = {**estimate["layers"], "all": total}
    rows = [
        (name, f"{c['cycles']:,}", latency(c["seconds"]), si(c["joules"], "J"))
        for name, c in costs.items()
    ]
    frames = f"Estimate for {estimate['workload']['frames']} frames"
    counters = [(name, f"{value:,}") for name, value in total["counters"].items()]
    return [
        Table(frames, ("layer", "cycles", "latency", "energy"), rows),
        Table("Counters, all layers", ("counter", "value"), counters),
        Line(f"on the target: {kib(estimate['size_bytes'])} of weights, vectors and tables"),
    ]


def _counted(found: TextCounts) -> list[Block]:
    kinds = {op: n for op, n in found.operations.items() if not structural(op)}
    blocks: list[Block] = [_kinds({"count": kinds}, "Kinds of operations")]
    if found.layers:
        rows = [(name, f"{n:,}") for name, n in found.layers.items()]
        blocks.append(Table("Operations by layer", ("layer", "operations"), rows))
    blocks.append(
        Line(
            f"{sum(kinds.values()):,} operations; {found.parameters:,} parameters of "
            f"{found.elements:,} elements, {kib((found.bits + 7) // 8)} at their widths"
        )
    )
    return blocks


def _assignment(subject: AssignmentSubject) -> list[Block]:
    given = subject.assignment
    slots = list(dict.fromkeys(slot.slot for slot in given.widths))
    layers = list(dict.fromkeys(slot.layer for slot in given.widths))
    rows = [
        (layer, *(given.widths.get(Slot(layer, slot), "") for slot in slots)) for layer in layers
    ]
    blocks: list[Block] = [Line(f"assignment {subject.title}", bold=True)]
    if rows:
        blocks.append(Table("Bits", ("layer", *slots), rows))
    if given.default is not None:
        blocks.append(Line(f"every other slot: {given.default} bits"))
    return blocks


def _run(subject: RunSubject) -> list[Block]:
    report = subject.report
    units = {o.name: o.unit for o in report.objectives}
    rows = [
        (
            point.name,
            bits_text({Slot(n, s): b for n, row in point.bits.items() for s, b in row.items()}),
            *(
                objective_text(name, point.values[name], unit) if name in point.values else ""
                for name, unit in units.items()
            ),
        )
        for point in (*report.references, *report.front)
    ]
    return [
        Line(report.title, bold=True),
        Table("Run", ("fact", "value"), named_rows(dict(report.facts)), text=2),
        Table("Front", ("point", "weight x input bits", *units), rows, text=2),
        *figure_tables(figures(subject.program)),
    ]


def plain_name(name: str) -> str:
    """The name of a model without the folder that it lay in."""
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2] or name


def _op_counts(program: Program) -> dict[str, int]:
    counts: dict[str, int] = {}
    for op in program.module.walk():
        counts[op.name] = counts.get(op.name, 0) + 1
    return counts


def _has(program: Program, prefix: str) -> bool:
    return any(op.name.startswith(prefix) for op in program.module.walk())
