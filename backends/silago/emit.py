"""Writes a lowered program as a folder that the host and the fabric execute.

manifest.json         fabric, programs as words, what the host does (schema "mohaq.silago/1")
images.safetensors    rows of the memory tiles: weights in the order in which runs read them
integers.safetensors  16-bit vectors and constants of the model
programs/*.txt        `CELL r c`, then a line `<immediate> <27 bits>` for every word
listing.txt           all programs with decoded fields and predicted last edges
timeline.json         sequencers, ports, datapaths and tiles edge by edge, for a trace viewer
expected.json         what programs and phases give for known inputs (expected.py)
floorplan.svg         cells, tiles and the routes between them
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Block, Operation, SSAValue

from mohaq.backends.silago.counters import COUNTERS
from mohaq.backends.silago.dialect_phases import MatrixOp, VectorOp
from mohaq.backends.silago.expected import phase_row, program_rows, sidecar
from mohaq.backends.silago.floorplan import floorplan
from mohaq.backends.silago.images import weight_rows
from mohaq.backends.silago.isa.instructions import Instruction
from mohaq.backends.silago.isa.words import addresses
from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.module import keeps_program, layer_of, layers, sizes, task_of
from mohaq.backends.silago.schedule.layout import late
from mohaq.backends.silago.schedule.line import words_of
from mohaq.backends.silago.schedule.tasks import Code, MatrixTask, VectorTask
from mohaq.backends.silago.simulator.check_words import FILE
from mohaq.backends.silago.timeline import timeline
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.types import DYNAMIC, int_width, shape_of
from mohaq.compiler.files import dump_json, write_text
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.program import Program

SCHEMA = "mohaq.silago/1"
MANIFEST, IMAGES, INTEGERS = "manifest.json", "images.safetensors", "integers.safetensors"
EXTENSION = (
    "wide_acc numerics are an extension of this project (32-bit accumulators in every lane, "
    "signed shifts, lanes shown one by one): no public hardware computes them"
)


def emit(program: Program, folder: Path, fabric: Fabric) -> None:
    """Write the folder; the same program always gives the same bytes.

    Raises:
        MohaqError: not a lowered program.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    entry = program.entry
    writer = _Writer(program, fabric)
    inputs = [writer.described(a) for a in entry.args]
    ops = writer.block(entry.body.block, keep=False)
    end = entry.body.block.last_op
    assert isinstance(end, ReturnOp)
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "fabric": fabric_json(fabric),
        "notes": [EXTENSION] if fabric.numerics == "wide_acc" else [],
        "counters": list(COUNTERS),
        "layers": list(layers(program)),
        "size_bytes": sum(w + v for w, v in sizes(program).values()),
        "inputs": inputs,
        "programs": [
            {str(r): [f"{w:07x}" for w in words] for r, words in rows.items()}
            for rows in writer.words
        ],
        "ends": [{str(r): e for r, e in code.ends.items()} for code in writer.codes],
        "ops": ops,
        "results": [writer.number(v) for v in end.operands],
    }
    ParameterStore(writer.images).save(folder / IMAGES, dict.fromkeys(sorted(writer.images)))
    held = {n: program.parameters[n] for n in sorted(writer.vectors)}
    ParameterStore(held).save(folder / INTEGERS, dict.fromkeys(sorted(held)))
    write_text(folder / MANIFEST, dump_json(data))
    (folder / "programs").mkdir(exist_ok=True)
    for number, code in enumerate(writer.codes):
        text = _cells(code, writer.words[number])
        write_text(folder / "programs" / f"{number:03d}.txt", text)
    write_text(folder / "listing.txt", _listing(writer, fabric))
    write_text(folder / "floorplan.svg", floorplan(fabric))
    shown = [
        (_plain(title), {(r, 0): words for r, words in rows.items()})
        for title, rows in zip(writer.titles, writer.words, strict=True)
    ]
    write_text(folder / "timeline.json", dump_json(timeline(fabric, shown)))
    expected = program_rows(fabric, [writer.placed(n) for n in range(len(writer.codes))])
    write_text(folder / FILE, dump_json(sidecar(expected, writer.expected, writer.images, held)))


def fabric_json(fabric: Fabric) -> dict[str, Any]:
    """Everything that the simulator needs of a fabric."""
    found = {f.name: getattr(fabric, f.name) for f in fields(fabric)}
    found["repairs"] = sorted(fabric.repairs)
    found["mac_pj"] = {str(b): e for b, e in fabric.mac_pj.items()}
    return found


_VECTORS = {1: "one vector", 2: "two vectors"}


class _Writer:
    """Numbers values and programs, and turns operations into rows."""

    def __init__(self, program: Program, fabric: Fabric) -> None:
        self.program, self.fabric = program, fabric
        self.numbers: dict[SSAValue, int] = {}
        self.codes: list[Code] = []
        self.words: list[dict[int, tuple[int, ...]]] = []
        self.titles: list[str] = []
        self.images: dict[str, npt.NDArray[Any]] = {}
        self.vectors: set[str] = set()
        self.expected: list[dict[str, Any]] = []

    def placed(self, number: int) -> tuple[dict[tuple[int, int], tuple[int, ...]], int]:
        """Words of a program by cell, and the cycles of a run."""
        code, words = self.codes[number], self.words[number]
        return {(r, c): words[r] for r, c in code.places}, code.cycles(self.fabric)

    def _expect(
        self,
        op: MatrixOp | VectorOp,
        weights: npt.NDArray[np.int64] | None = None,
        still: Collection[int] = (),
    ) -> None:
        bits = int_width(op.operands[0])[0]
        self.expected.append(phase_row(op, len(self.expected), weights, bits, still))

    def number(self, value: SSAValue) -> int:
        """Number of a value."""
        return self.numbers.setdefault(value, len(self.numbers))

    def described(self, value: SSAValue) -> dict[str, Any]:
        """An argument: number, shape (null: any), width."""
        shape = [None if n == DYNAMIC else n for n in shape_of(value)]
        return {"value": self.number(value), "shape": shape, "bits": int_width(value)[0]}

    def block(self, block: Block, *, keep: bool) -> list[dict[str, Any]]:
        """Rows of a block's operations."""
        rows = []
        for op in block.ops:
            if isinstance(op, (ReturnOp, qnn.YieldOp)):
                continue
            row = self._facts(op, keep=keep)
            row |= {
                "in": [self.number(v) for v in op.operands],
                "out": [self.number(v) for v in op.results],
            }
            if isinstance(op, MatrixOp):
                row["in"] = row["in"][:1]
            rows.append(row)
        return rows

    def _facts(self, op: Operation, *, keep: bool) -> dict[str, Any]:
        match op:
            case LoadOp():
                if any(not isinstance(u.operation, MatrixOp) for u in op.result.uses):
                    self.vectors.add(op.symbol)
                return {"op": "load", "name": op.symbol}
            case MatrixOp():
                return self._matrix(op) | {"layer": layer_of(op), "keep": keep}
            case VectorOp():
                return self._vector(op) | {"layer": layer_of(op), "keep": keep}
            case qnn.ScanOp():
                return self._scan(op)
            case qnn.SliceOp():
                offset, size = op.offset.value.data, op.size.value.data
                return {"op": "slice", "first": offset, "size": size}
            case qnn.ConcatOp():
                return {"op": "concat"}
            case qnn.SelectOp():
                return {"op": "select", "index": op.index.value.data}
            case qnn.StackOp():
                return {"op": "stack"}
            case _:
                raise MohaqError(f"'{op.name}' is no phase", hint="lower the program first")

    def _code(self, code: Code, title: str) -> int:
        self.codes.append(code)
        self.words.append({r: words_of(p) for r, p in code.rows.items()})
        self.titles.append(title)
        return len(self.codes) - 1

    def _matrix(self, op: MatrixOp) -> dict[str, Any]:
        task = task_of(op, self.fabric)
        assert isinstance(task, MatrixTask)
        assert isinstance(op.weight.owner, LoadOp)
        name, at = f"image{len(self.images)}", task.place
        weights = self.program.parameters[op.weight.owner.symbol].astype(np.int64)
        self.images[name] = weight_rows(weights, task)
        self._expect(op, weights)
        title = f"{layer_of(op)}: product {task.rows} x {task.features}, {task.bits} bits"
        programs = {
            str(n): [
                [
                    self._code(task.code(b, p, n), f"{title}, {_VECTORS[n]}, band {b}, part {p}")
                    for p in range(task.parts)
                ]
                for b in range(len(task.bands))
            ]
            for n in ((1, 2) if task.paired else (1,))
        }
        return {
            "op": "matrix",
            "image": name,
            "rows": task.rows,
            "bits": task.bits,
            "lanes": task.lanes,
            "cells": task.cells,
            "columns": task.columns,
            "groups": at.groups,
            "chunks": at.chunks,
            "parts": [list(p) for p in at.parts],
            "input_row": at.input_row,
            "late": [late(r, weights=False) for r in range(self.fabric.rows)],
            "turn": at.turn,
            "turns": {n: list(self.codes[bands[0][0]].turns) for n, bands in programs.items()},
            "result_row": at.result_row,
            "out_rows": {n: at.out_rows(int(n)) for n in programs},
            "resident": task.resident,
            "bands": [
                {"runs": n, "rows": [list(r) for r in band.runs]}
                for n, band in zip(task.runs, task.bands, strict=True)
            ],
            "programs": programs,
        }

    def _vector(self, op: VectorOp) -> dict[str, Any]:
        task = task_of(op, self.fabric)
        assert isinstance(task, VectorTask)
        self._expect(op, still=[n for n in range(len(op.inputs)) if n in task.fixed])
        segments = []
        for number, one in enumerate(task.segments):
            dealt = task.deal(one)
            title = f"{layer_of(op)}: {len(one.passes)} passes over {task.extent}, segment {number}"
            segments.append(
                {
                    "program": self._code(task.code(one), title),
                    "inputs": list(one.inputs),
                    "outputs": list(one.outputs),
                    "rows": one.rows,
                    "width": one.width,
                    "fixed": one.fixed if task.repeats else 0,
                    "base": task.base(one),
                    "cells": dealt.cells,
                    "rounds": dealt.rounds,
                    "runs": dealt.runs,
                }
            )
        return {
            "op": "vector",
            "extent": task.extent,
            "constants": list(op.constant_values()),
            "segments": segments,
            "kept": list(task.results),
        }

    def _scan(self, op: qnn.ScanOp) -> dict[str, Any]:
        body = op.body.block
        arguments = [self.number(a) for a in body.args]
        rows = self.block(body, keep=keeps_program(body, self.fabric))
        end = body.last_op
        assert isinstance(end, qnn.YieldOp)
        return {
            "op": "scan",
            "inputs": len(op.inputs),
            "states": [shape_of(a)[-1] for a in body.args[len(op.inputs) :]],
            "reverse": op.direction.data == "reverse",
            "arguments": arguments,
            "body": rows,
            "yield": [self.number(v) for v in end.values],
        }


def _cells(code: Code, words: Mapping[int, Sequence[int]]) -> str:
    lines = []
    shown = {row: [f"1 {word:027b}" for word in held] for row, held in words.items()}
    for row, col in code.places:
        lines += [f"CELL {row} {col}", *shown[row]]
    return "\n".join(lines) + "\n"


def _listing(writer: _Writer, fabric: Fabric) -> str:
    lines = [f"SiLago programs for {fabric.name}, numerics {fabric.numerics}"]
    if fabric.numerics == "wide_acc":
        lines.append(EXTENSION)
    for number, code in enumerate(writer.codes):
        lines.append("")
        lines.append(f"program {number}: {_plain(writer.titles[number])}")
        for row, items in code.rows.items():
            lines.append(f"  cells of row {row}; HALT at edge {code.ends[row] + 1} + row + column")
            lines += [f"    {_line(pc, i)}" for pc, i in zip(addresses(items), items, strict=True)]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Text of one printable line: names of layers come from the user's model."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _line(pc: int, item: Instruction) -> str:
    given = {
        f.name: getattr(item, f.name)
        for f in fields(item)
        if f.name != "NAME" and getattr(item, f.name) != f.default
    }
    words = " ".join(f"{w:07X}" for w in words_of([item]))
    text = " ".join(f"{k}={v}" for k, v in given.items())
    return f"{pc:2d}  {words:<24} {item.NAME} {text}".rstrip()
