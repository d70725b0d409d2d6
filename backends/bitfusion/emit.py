"""The emitted folder: words, listing, DRAM image, manifest; timeline, report, roofline.

Deterministic bytes. The last three are for reading: nothing executes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import IntegerAttr

from mohaq.backends.bitfusion.dialect import PortOp
from mohaq.backends.bitfusion.isa.encode import (
    HEADER_WORDS,
    ISA_VERSION,
    encode,
    encode_all,
    header,
)
from mohaq.backends.bitfusion.isa.instructions import Instruction, Setup
from mohaq.backends.bitfusion.isa.text import instruction_line
from mohaq.backends.bitfusion.machine import Machine
from mohaq.backends.bitfusion.module import Compiled, read_module
from mohaq.backends.bitfusion.report import report, shown_run, timeline
from mohaq.backends.bitfusion.roofline import roofline
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.qnn.table import TableOp
from mohaq.compiler.files import dump_json, safe_name, write_bytes, write_text
from mohaq.compiler.program import Program

MANIFEST_SCHEMA = "mohaq.bitfusion.manifest/1"
PROGRAM_FILE, LISTING_FILE = "program.bin", "program.bfasm"
MEMORY_FILE, MANIFEST_FILE = "memory.bin", "manifest.json"
TIMELINE_FILE, REPORT_FILE, ROOFLINE_FILE = "timeline.json", "report.json", "roofline.svg"


def emit(program: Program, folder: Path, machine: Machine) -> None:
    """Write all files into a folder.

    Raises:
        MohaqError: not a lowered program, or parameters that do not fit it.
    """
    compiled = read_module(program.module)
    instructions = resolve(compiled)
    words = encode_all(instructions)
    words = [*header(HEADER_WORDS + len(words)), *words]
    code = np.array(words, dtype="<u4").tobytes()
    image = memory_image(program, compiled)
    folder = Path(folder)
    write_bytes(folder / PROGRAM_FILE, code)
    write_text(folder / LISTING_FILE, "\n".join(listing(instructions, compiled.layers)) + "\n")
    write_bytes(folder / MEMORY_FILE, image)
    files = {"program": (PROGRAM_FILE, code), "memory": (MEMORY_FILE, image)}
    write_text(folder / MANIFEST_FILE, dump_json(manifest(compiled, machine, files)))
    names = [safe_name(n) for n in compiled.layers]
    workload, run = shown_run(compiled.blocks, names, machine, compiled.max_rows)
    write_text(folder / TIMELINE_FILE, dump_json(timeline(run)))
    write_text(folder / REPORT_FILE, dump_json(report(workload, run, machine)))
    write_text(folder / ROOFLINE_FILE, roofline(run, machine))


def resolve(compiled: Compiled) -> list[Instruction]:
    """All instructions with the addresses of the next blocks filled in."""
    # Addresses are short or wide; both the size and the value settle within a few rounds.
    blocks = compiled.blocks
    addresses = [0] * len(blocks)
    while True:
        found: list[Instruction] = []
        at = HEADER_WORDS
        ends: list[int] = []
        for number, block in enumerate(blocks):
            following = addresses[number] if number + 1 < len(blocks) else 0
            part = list(block.instructions(following))
            found += part
            at += sum(len(encode(i)) for i in part)
            ends.append(at)
        if ends == addresses:
            return found
        addresses = ends


def listing(instructions: list[Instruction], layers: tuple[str, ...]) -> Iterator[str]:
    """One line an instruction: word address, name, fields."""
    at = HEADER_WORDS
    yield f"; Bit Fusion program, instruction set version {ISA_VERSION}"
    for instruction in instructions:
        if isinstance(instruction, Setup):
            yield f"; block of layer {safe_name(layers[instruction.layer])}"
        yield instruction_line(at, instruction)
        at += len(encode(instruction))


def memory_image(program: Program, compiled: Compiled) -> bytes:
    """Constants, bit-packed: element i of a region at bit address + i * width.

    Raises:
        MohaqError: a parameter or table is missing or has another size.
    """
    tables = {
        op.sym_name.data: np.array(op.values(), dtype=np.int64)
        for op in program.module.body.block.ops
        if isinstance(op, TableOp)
    }
    constants = [r for r in compiled.regions if r.source is not None]
    end = max((r.address.value.data + r.bits.value.data for r in constants), default=0)
    image = np.zeros(-(-end // 8), dtype=np.uint8)
    for region in constants:
        assert region.source is not None
        name, width = region.source.root_reference.data, region.width.value.data
        values = tables[name] if name in tables else program.parameters[name].astype(np.int64)
        if values.size * width != region.bits.value.data:
            raise MohaqError(f"'{name}' does not have the size that the program was lowered for")
        packed = pack(values.reshape(-1), width)
        start = region.address.value.data // 8
        image[start : start + len(packed)] = packed
    return image.tobytes()


def pack(values: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.uint8]:
    """Elements of a power-of-two width as dense little-endian bits."""
    if width >= 8:
        return values.astype(f"<i{width // 8}").view(np.uint8)
    per = 8 // width
    padded = np.zeros(-(-len(values) // per) * per, dtype=np.uint8)
    padded[: len(values)] = values & ((1 << width) - 1)
    shifts = np.arange(per, dtype=np.uint8) * np.uint8(width)
    packed: npt.NDArray[np.uint8] = np.bitwise_or.reduce(
        padded.reshape(-1, per) << shifts, axis=1
    ).astype(np.uint8)
    return packed


def manifest(
    compiled: Compiled, machine: Machine, files: dict[str, tuple[str, bytes]]
) -> dict[str, Any]:
    """The manifest's content."""
    return {
        "schema": MANIFEST_SCHEMA,
        "isa_version": ISA_VERSION,
        "target": safe_name(compiled.op.target.data),
        "constants": dict(machine.constants),
        "max_rows": compiled.max_rows,
        "layers": [safe_name(n) for n in compiled.layers],
        "regions": [
            {
                "name": safe_name(r.sym_name.data),
                "address": r.address.value.data,
                "bits": r.bits.value.data,
                "constant": r.source is not None,
            }
            for r in compiled.regions
        ],
        "inputs": _ports(compiled, "input"),
        "outputs": _ports(compiled, "output"),
        **{
            key: {"file": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for key, (name, data) in files.items()
        },
    }


def _ports(compiled: Compiled, direction: str) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for op in compiled.ports:
        if op.direction.data != direction:
            continue
        index = op.index.value.data
        entry = found.setdefault(
            index,
            {
                "name": f"{direction}{index}",
                "rows": op.rows.data,
                "stacked": op.parts.value.data > 0,
                "channels": op.channels.value.data,
                "bits": op.bits.value.data,
                "signed": bool(op.signed.value.data),
                "width": op.width.value.data,
                "grid": None if op.grid is None else {"bits": op.grid.bits, "scale": op.grid.step},
                "parts": [],
            },
        )
        entry["parts"].append({k: _value(op, k) for k in ("address", "row_pitch", "pitch")})
    return [found[i] for i in sorted(found)]


def _value(op: PortOp, key: str) -> int:
    held = op.properties[key]
    assert isinstance(held, IntegerAttr)
    return int(held.value.data)
