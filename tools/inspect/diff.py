"""Two subjects side by side: bits, layers, costs, operations, files."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xdsl.ir import Operation

from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.program import Program
from mohaq.tools.console import si
from mohaq.tools.inspect.blocks import Block, Cell, Line, Mark, Table
from mohaq.tools.inspect.figures import Figures, figures, grid_widths, layer_of
from mohaq.tools.inspect.printed import nested, type_text
from mohaq.tools.inspect.stream import TextCounts, structural
from mohaq.tools.inspect.subject import (
    QUANTIZED,
    AssignmentSubject,
    CompiledSubject,
    ProgramSubject,
    RunSubject,
    Subject,
    program_of,
)
from mohaq.tools.inspect.words import facts_text

ROWS = 4000
"""Operations that are compared one by one; of longer programs the kinds are counted."""


def difference(first: Subject, second: Subject, stage: str | None = None) -> list[Block]:
    """What differs, and what of it is the same.

    Raises:
        MohaqError: the two have nothing in common to compare.
    """
    for one in (first, second):
        if isinstance(one, RunSubject):
            raise MohaqError(
                "a run has many assignments, two can be compared",
                where=one.title,
                hint=f"name one of them, such as {one.title}/assignments/s00.json",
            )
    blocks: list[Block] = [_heading("A", first), _heading("B", second)]
    widths = _widths(first, second)
    if widths is not None:
        blocks += _bits(*widths)
    if not isinstance(first, AssignmentSubject) and not isinstance(second, AssignmentSubject):
        blocks += _layers(first, second)
        if isinstance(first, CompiledSubject) and isinstance(second, CompiledSubject):
            blocks += _costs(first, second)
        blocks += _operations(first, second, stage)
        if (
            isinstance(first, CompiledSubject)
            and isinstance(second, CompiledSubject)
            and first.opened.backend.name == second.opened.backend.name
        ):
            blocks += _files(first, second)
    elif widths is None:
        raise MohaqError(
            "these two have nothing in common to compare",
            where=f"{first.title}, {second.title}",
            why="an assignment compares with an assignment, a compiled folder or a program with widths",
        )
    return blocks


def _heading(side: str, subject: Subject) -> Line:
    target = f", for {subject.opened.target}" if isinstance(subject, CompiledSubject) else ""
    return Line(f"{side}: {subject.title}{target}", bold=True)


def _widths(first: Subject, second: Subject) -> tuple[dict[Slot, int], dict[Slot, int]] | None:
    """Bits of all slots of both; a default of an assignment covers the slots that the other has."""
    one, other = _given(first), _given(second)
    if one is None or other is None:
        return None
    slots = [*one[0], *(s for s in other[0] if s not in one[0])]
    return _completed(*one, slots), _completed(*other, slots)


def _given(subject: Subject) -> tuple[Mapping[Slot, int], int | None] | None:
    match subject:
        case AssignmentSubject(assignment=Assignment(widths=widths, default=default)):
            return widths, default
        case CompiledSubject():
            return subject.widths(), None
        case ProgramSubject(program=Program() as program):
            held = grid_widths(program)
            return (held, None) if held else None
    return None


def _completed(held: Mapping[Slot, int], default: int | None, slots: list[Slot]) -> dict[Slot, int]:
    found = {s: held.get(s, default) for s in slots}
    return {s: bits for s, bits in found.items() if bits is not None}


def _bits(first: Mapping[Slot, int], second: Mapping[Slot, int]) -> list[Block]:
    slots = list(dict.fromkeys([*first, *second]))
    kinds = list(dict.fromkeys(s.slot for s in slots))
    rows: list[Sequence[object]] = []
    for layer in dict.fromkeys(s.layer for s in slots):
        row: list[object] = [layer]
        for kind in kinds:
            slot = Slot(layer, kind)
            row += _pair(first.get(slot), second.get(slot))
        rows.append(row)
    titles = [f"{kind} {side}" for kind in kinds for side in ("A", "B")]
    changed = sum(first.get(s) != second.get(s) for s in slots)
    verdict = (
        f"all {len(slots)} widths are the same"
        if not changed
        else f"{changed} of {len(slots)} widths differ"
    )
    return [Table("Bits", ("layer", *titles), rows), Line(verdict)]


def _pair(one: float | None, other: float | None, text: Any = None) -> tuple[Cell, Cell]:
    """Two numbers; the second is green where it is less, red where it is more."""
    write = text or (lambda v: f"{v:,}")
    shown = ["" if v is None else write(v) for v in (one, other)]
    mark: Mark = "same"
    if one is None or other is None:
        mark = "changed" if one is not other else "same"
    elif one != other:
        mark = "less" if other < one else "more"
    return Cell(shown[0], "same" if mark == "same" else ""), Cell(shown[1], mark)


def _layers(first: Subject, second: Subject) -> list[Block]:
    held = [{row.name: row for row in _figures(one)} for one in (first, second)]
    layers = list(dict.fromkeys([*held[0], *held[1]]))
    if not layers:
        return []
    rows = []
    for name in layers:
        row: list[object] = [name]
        for key in ("macs", "weights", "held"):
            row += _pair(*(getattr(one.get(name), key, None) for one in held))
        rows.append(row)
    total: list[object] = ["all"]
    for key in ("macs", "weights", "held"):
        sums = [[getattr(r, key) for r in one.values()] for one in held]
        total += _pair(*(None if None in one else sum(one) for one in sums))
    columns = ("layer", "MACs A", "MACs B", "weights A", "weights B", "bytes A", "bytes B")
    return [Table("Layers", columns, [*rows, total])]


def _figures(subject: Subject) -> list[Figures]:
    if isinstance(subject, CompiledSubject):
        return figures(subject.program(QUANTIZED), subject.widths())
    if isinstance(subject, ProgramSubject) and subject.program is not None:
        return figures(subject.program)
    return []


def _costs(first: CompiledSubject, second: CompiledSubject) -> list[Block]:
    one, other = first.estimate(), second.estimate()
    where = [{**e["layers"], "all": e["total"]} for e in (one, other)]
    rows = []
    for layer in dict.fromkeys([*list(where[0])[:-1], *list(where[1])[:-1], "all"]):
        pair = [held.get(layer) or {} for held in where]
        row: list[object] = [layer, *_pair(*(p.get("cycles") for p in pair))]
        row += _pair(pair[0].get("joules"), pair[1].get("joules"), text=lambda v: si(v, "J"))
        row.append(_change(*(p.get("cycles") for p in pair)))
        rows.append(row)
    columns = ("layer", "cycles A", "cycles B", "energy A", "energy B", "B / A in cycles")
    frames = [e["workload"]["frames"] for e in (one, other)]
    blocks: list[Block] = [Table("Estimates", columns, rows)]
    if frames[0] != frames[1]:
        blocks.append(Line(f"A is for {frames[0]} frames, B for {frames[1]}"))
    return blocks


def _change(one: int | None, other: int | None) -> str:
    return f"{other / one:.2f}x" if one and other is not None else ""


def _operations(first: Subject, second: Subject, stage: str | None) -> list[Block]:
    """Operations side by side; those of a program that is too long are counted."""
    texts, programs = [], []
    for one in (first, second):
        if _is_long(one, stage):
            return _counts(first, second, stage)
        program, where = program_of(one, stage if isinstance(one, CompiledSubject) else None)
        texts.append((_rows(program), where))
        programs.append(program)
    (one_rows, where), (other_rows, _) = texts
    if max(len(one_rows), len(other_rows)) > ROWS:
        return _counts(first, second, stage)
    rows: list[Sequence[object]] = []
    matched = difflib.SequenceMatcher(a=one_rows, b=other_rows, autojunk=False)
    equal = 0
    for tag, i, j, k, m in matched.get_opcodes():
        if tag == "equal":
            equal += j - i
            rows += _alike(one_rows[i:j])
            continue
        for n in range(max(j - i, m - k)):
            left = one_rows[i + n] if i + n < j else ""
            right = other_rows[k + n] if k + n < m else ""
            marks: tuple[Mark, Mark] = ("gone", "new") if not (left and right) else ("changed",) * 2
            rows.append((Cell(left, marks[0]), Cell(right, marks[1])))
    title = f"Operations{f' of {where}' if where else ''}"
    count = max(len(one_rows), len(other_rows))
    return [
        Table(title, ("A", "B"), rows, text=2),
        Line(
            "the operations are the same"
            if equal == count == len(one_rows) == len(other_rows)
            else f"{equal} of {count} operations are the same"
        ),
        _parameters(*programs),
    ]


def _parameters(first: Program, second: Program) -> Line:
    """Which arrays have other contents."""
    held = [
        {name: one.parameters.sha256(name) for name in one.parameters} for one in (first, second)
    ]
    names = list(dict.fromkeys([*held[0], *held[1]]))
    other = [name for name in names if held[0].get(name) != held[1].get(name)]
    if not other:
        return Line(f"all {len(names)} parameters are the same")
    shown = ", ".join(f"@{name}" for name in other[:6]) + (", …" if len(other) > 6 else "")
    return Line(f"{len(other)} of {len(names)} parameters differ: {shown}")


def _alike(rows: Sequence[str]) -> list[Sequence[object]]:
    """Equal rows, those in the middle of many left out."""
    shown = [(Cell(row, "same"), Cell(row, "same")) for row in rows]
    if len(rows) <= 6:
        return list(shown)
    text = f"… {len(rows) - 4} that are the same"
    return [*shown[:2], (Cell(text, "same"), Cell(text, "same")), *shown[-2:]]


def _is_long(subject: Subject, stage: str | None) -> bool:
    if isinstance(subject, CompiledSubject):
        return subject.is_long(subject.check_stage(stage or QUANTIZED))
    return isinstance(subject, ProgramSubject) and subject.program is None


def _rows(program: Program) -> list[str]:
    """Operations without the numbers of their values, which shift with every change."""
    return [
        "  ".join(
            part
            for part in (
                "  " * depth + op.name.removeprefix("nn."),
                layer_of(op) or "",
                facts_text(op),
                _scales(op),
                type_text(op.results[0]) if op.results else "",
            )
            if part
        )
        for op, depth in nested(program.entry.body.block)
        if not isinstance(op, LoadOp)
    ]


def _scales(op: Operation) -> str:
    """Steps of the grids of a layer's slots."""
    if not isinstance(op, LayerOp):
        return ""
    slots = (*op.SEARCHED_SLOTS, *op.FIXED_SLOTS)
    held = {slot: grid for slot in slots if (grid := op.grid(slot)) is not None}
    return ", ".join(f"{slot} step {grid.step:.6g}" for slot, grid in held.items())


def _counts(first: Subject, second: Subject, stage: str | None) -> list[Block]:
    found = [TextCounts(_path(one, stage)).operations for one in (first, second)]
    kinds = sorted({op for one in found for op in one if not structural(op)})
    rows = [(kind, *_pair(*(one.get(kind, 0) for one in found))) for kind in kinds]
    columns = ("operation", "A", "B")
    return [Table("Operations, counted", columns, rows)]


def _path(subject: Subject, stage: str | None) -> Path:
    if isinstance(subject, CompiledSubject):
        return subject.path(subject.check_stage(stage or QUANTIZED))
    if isinstance(subject, ProgramSubject) and subject.path is not None:
        return subject.path
    raise MohaqError("too long to be compared one by one", where=subject.title)


def _files(first: CompiledSubject, second: CompiledSubject) -> list[Block]:
    held = [_digests(one.emitted) for one in (first, second)]
    rows = []
    for name in sorted({*held[0], *held[1]}):
        one, other = held[0].get(name), held[1].get(name)
        if one == other:
            continue
        rows.append((name, *_pair(one and one[0], other and other[0])))
    count = len({*held[0], *held[1]})
    if not rows:
        return [Line(f"all {count} emitted files are the same")]
    columns = ("file", "bytes A", "bytes B")
    return [
        Table("Emitted files that differ", columns, rows),
        Line(f"{len(rows)} of {count} differ"),
    ]


def _digests(folder: Path) -> dict[str, tuple[int, str]]:
    """{file: (bytes, sha256)}, read in pieces."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found[path.relative_to(folder).as_posix()] = (path.stat().st_size, digest)
    return found
