"""Bit Fusion: blocks of each layer, and their instructions from the words that run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mohaq.backends.bitfusion.emit import MANIFEST_FILE, PROGRAM_FILE, REPORT_FILE
from mohaq.backends.bitfusion.isa.decode import check_header, stream
from mohaq.backends.bitfusion.isa.encode import HEADER_WORDS
from mohaq.backends.bitfusion.isa.instructions import Instruction, Kind, Setup
from mohaq.backends.bitfusion.isa.text import instruction_line
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import read_json
from mohaq.tools.inspect.blocks import Block, Listing, Table
from mohaq.tools.inspect.stream import Words, array_items, reading

REPORT = "Bit Fusion report"
BLOCKS_SHOWN = 50
"""Rows of the table of blocks; the listing has them all."""


def summary(folder: Path) -> list[Block]:
    """Blocks and instructions of each layer.

    Raises:
        MohaqError: a file is missing or damaged.
    """
    names = _layers(folder)
    counts = {name: [0, 0] for name in names}
    for layer, instruction, _ in _program(folder, names):
        counts[layer][0] += isinstance(instruction, Setup)
        counts[layer][1] += 1
    rows: list[tuple[object, ...]] = [
        (name, f"{blocks:,}", f"{count:,}") for name, (blocks, count) in counts.items()
    ]
    totals = [sum(one[i] for one in counts.values()) for i in (0, 1)]
    rows.append(("all", *(f"{n:,}" for n in totals)))
    return [Table("Instructions", ("layer", "blocks", "instructions"), rows)]


def layer(folder: Path, number: int, name: str) -> list[Block]:
    """Blocks of a layer with what limits them, and its instructions.

    Raises:
        MohaqError: a file is missing or damaged.
    """
    names = _layers(folder)
    if number >= len(names):
        raise MohaqError(f"the program has no layer '{name}'", where=str(folder))
    mine = names[number]

    def lines() -> Iterator[str]:
        for layer, instruction, address in _program(folder, names):
            if layer == mine:
                yield instruction_line(address, instruction)

    return [*_schedule(folder, mine), Listing(f"Instructions of {name}", lines)]


def _schedule(folder: Path, name: str) -> list[Block]:
    """What `report.json` predicts of each block."""
    path, more = folder / REPORT_FILE, 0
    rows: list[tuple[object, ...]] = []
    with reading(path, REPORT):
        for block in array_items(path, "blocks", REPORT):
            if block["layer"] != name:
                continue
            if len(rows) < BLOCKS_SHOWN:
                rows.append(_row(block))
            else:
                more += 1
    columns = ("block", "cycles", "array busy", "limited by", "DRAM bits", "MACs")
    title = f"Schedule, as predicted in {REPORT_FILE}"
    if more:
        title += f": the first {len(rows)} of {len(rows) + more:,} blocks"
    return [Table(title, columns, rows)]


def _row(block: dict[str, Any]) -> tuple[object, ...]:
    limits = block["limited_by_cycles"]
    used = block["array_utilisation"]
    return (
        block["block"],
        f"{block['cycles']:,}",
        "" if used is None else f"{used:.1%}",
        max(limits, key=limits.get),
        f"{block['dram_bits']:,}",
        f"{block['macs']:,}",
    )


def _layers(folder: Path) -> list[str]:
    path = folder / MANIFEST_FILE
    data = read_json(path, "Bit Fusion manifest")
    names = data.get("layers") if isinstance(data, dict) else None
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise MohaqError("this Bit Fusion manifest is damaged", where=str(path), why="layers")
    return names


def _program(folder: Path, names: list[str]) -> Iterator[tuple[str, Instruction, int]]:
    """(layer, instruction, word address) of the words, in order."""
    path = folder / PROGRAM_FILE
    with Words(path) as words:
        try:
            check_header(words)
            layer = ""
            for address, instruction in stream(words, HEADER_WORDS):
                if isinstance(instruction, Setup):
                    layer = names[instruction.layer]
                    Kind(instruction.kind)
                yield layer, instruction, address
        except MohaqError as error:
            why = f"{error.where}: {error.what}" if error.where else error.what
            raise MohaqError("this program is damaged", where=str(path), why=why) from None
        except (IndexError, ValueError) as error:
            raise MohaqError("this program is damaged", where=str(path), why=str(error)) from None
