"""`manifest.json`: read and checked before anything runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.backends.bitfusion.isa.blocks import Block, split_blocks
from mohaq.backends.bitfusion.isa.decode import decode_program
from mohaq.backends.bitfusion.isa.encode import ISA_VERSION
from mohaq.backends.bitfusion.isa.holds import check_holds
from mohaq.backends.bitfusion.isa.instructions import BlockEnd, Extent
from mohaq.backends.bitfusion.machine import Machine, check_machine
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import read_json

SCHEMA = "mohaq.bitfusion.manifest/1"
MANIFEST_FILE = "manifest.json"
ALIGN_BITS = 512
MAX_DRAM_BITS = 1 << 40
KEYS = {
    "schema", "isa_version", "target", "constants", "max_rows", "layers", "regions", "inputs",
    "outputs", "program", "memory",
}  # fmt: skip
PART_KEYS = ("address", "row_pitch", "pitch")
PORT_KEYS = {"name", "rows", "stacked", "channels", "bits", "signed", "width", "grid", "parts"}


@dataclass(frozen=True)
class Region:
    """First bit, size in bits, and whether the memory image fills it."""

    name: str
    address: int
    bits: int
    constant: bool


@dataclass(frozen=True)
class Port:
    """An argument or result: integers of `bits`, stored in `width` bits, at its parts."""

    name: str
    rows: str
    stacked: bool
    channels: int
    bits: int
    signed: bool
    width: int
    parts: tuple[tuple[int, int, int], ...]
    """(address, row pitch, pitch) in bits; one part unless stacked."""


@dataclass(frozen=True)
class Loaded:
    """An emitted folder in memory."""

    machine: Machine
    max_rows: int
    layers: tuple[str, ...]
    regions: tuple[Region, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    blocks: tuple[Block, ...]
    image: npt.NDArray[np.uint8]


def load_folder(folder: Path) -> Loaded:
    """Read and check an emitted folder.

    Raises:
        MohaqError: a file is missing, damaged, or does not fit the others.
    """
    path = Path(folder) / MANIFEST_FILE
    read = _Reader(read_json(path, "Bit Fusion manifest"), str(path))
    data = read.data
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise read.fail("not a Bit Fusion manifest of this version")
    if set(data) != KEYS:
        raise read.fail(f"keys {sorted(set(data) ^ KEYS)} are missing or unknown")
    if data["isa_version"] != ISA_VERSION:
        raise read.fail(f"instruction set version {data['isa_version']}, expected {ISA_VERSION}")
    constants = data["constants"]
    if not isinstance(constants, dict):
        raise read.fail("'constants' must be an object")
    machine = check_machine(constants, str(path))
    if set(machine.constants) != set(constants):
        raise read.fail("'constants' holds unknown names")
    regions = read.regions()
    image = read.file("memory", Path(folder))
    held = -(-max((r.address + r.bits for r in regions if r.constant), default=0) // 8)
    if len(image) != held:
        raise read.fail(f"the memory image has {len(image)} bytes, the regions need {held}")
    code = read.file("program", Path(folder))
    if len(code) % 4:
        raise read.fail("the program is no whole number of words")
    words = np.frombuffer(code.tobytes(), dtype="<u4").tolist()
    layers = read.texts("layers")
    blocks = _blocks(words)
    check_holds(blocks)
    if any(b.layer >= len(layers) for b in blocks):
        raise read.fail("a block names a layer that the manifest does not have")
    max_rows = read.whole(data, "max_rows", 1, 1 << 20)
    dynamic = {p.extent for b in blocks for p in b.loops if p.source != Extent.FIXED}
    if dynamic != {max_rows}:
        raise read.fail("the program was laid out for another number of rows")
    return Loaded(
        machine,
        max_rows,
        layers,
        regions,
        read.ports("inputs"),
        read.ports("outputs"),
        blocks,
        image,
    )


def _blocks(words: list[int]) -> tuple[Block, ...]:
    instructions, ends = decode_program(words)
    found = split_blocks(instructions)
    stops = [e for i, e in zip(instructions, ends, strict=True) if isinstance(i, BlockEnd)]
    for (_, given), expected in zip(found, [*stops[:-1], 0], strict=True):
        if given != expected:
            raise MohaqError(f"a block ends with next block {given}, expected {expected}")
    return tuple(block for block, _ in found)


class _Reader:
    """Typed access to the manifest's JSON."""

    def __init__(self, data: Any, where: str) -> None:
        self.data = data
        self.where = where

    def fail(self, what: str) -> MohaqError:
        return MohaqError(what, where=self.where)

    def whole(self, table: Any, key: str, low: int, high: int) -> int:
        value = table.get(key) if isinstance(table, dict) else None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.fail(f"'{key}' must be a whole number of {low}..{high}, got {value!r}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.data[key]
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
            raise self.fail(f"'{key}' must be a list of texts")
        if len(set(value)) != len(value):
            raise self.fail(f"'{key}' names something twice")
        return tuple(value)

    def file(self, key: str, folder: Path) -> npt.NDArray[np.uint8]:
        entry = self.data[key]
        keys = {"file", "bytes", "sha256"}
        if not isinstance(entry, dict) or set(entry) != keys:
            raise self.fail(f"'{key}' must have file, bytes and sha256")
        name = entry["file"]
        if not isinstance(name, str) or Path(name).name != name or name in {"", ".", ".."}:
            raise self.fail(f"'{key}' must name a file of this folder")
        try:
            held = (folder / name).read_bytes()
        except OSError as error:
            raise MohaqError(
                "cannot read this file", where=str(folder / name), why=str(error)
            ) from None
        if len(held) != entry["bytes"] or hashlib.sha256(held).hexdigest() != entry["sha256"]:
            raise MohaqError(
                "the file is not what the manifest was written with",
                where=str(folder / name),
                why="size or sha256 differ",
                hint="emit the program again",
            )
        return np.frombuffer(held, dtype=np.uint8)

    def regions(self) -> tuple[Region, ...]:
        """Regions follow each other without gaps but alignment, constants first."""
        found: list[Region] = []
        end = 0
        for entry in self._list("regions"):
            if set(entry) != {"name", "address", "bits", "constant"}:
                raise self.fail("a region needs name, address, bits and constant")
            if not isinstance(entry["name"], str) or not isinstance(entry["constant"], bool):
                raise self.fail("a region's name is a text, constant a truth value")
            address = self.whole(entry, "address", 0, MAX_DRAM_BITS)
            bits = self.whole(entry, "bits", 1, MAX_DRAM_BITS)
            if address != end or (entry["constant"] and found and not found[-1].constant):
                raise self.fail(f"region '{entry['name']}' is not where it belongs")
            found.append(Region(entry["name"], address, bits, entry["constant"]))
            end = -(-(address + bits) // ALIGN_BITS) * ALIGN_BITS
        return tuple(found)

    def ports(self, key: str) -> tuple[Port, ...]:
        found = []
        for entry in self._list(key):
            if set(entry) != PORT_KEYS:
                raise self.fail(f"an entry of '{key}' must have {', '.join(sorted(PORT_KEYS))}")
            if entry["rows"] not in {"steps", "batch"}:
                raise self.fail("'rows' must be steps or batch")
            if not isinstance(entry["stacked"], bool) or not isinstance(entry["signed"], bool):
                raise self.fail("'stacked' and 'signed' must be truth values")
            parts = entry["parts"]
            if (
                not isinstance(parts, list)
                or not parts
                or (len(parts) > 1 and not entry["stacked"])
            ):
                raise self.fail("'parts' must be a list")
            width = self.whole(entry, "width", 2, 64)
            if width not in {2, 4, 8, 16, 32, 64}:
                raise self.fail("'width' must be a power of two")
            found.append(
                Port(
                    str(entry["name"]),
                    entry["rows"],
                    entry["stacked"],
                    self.whole(entry, "channels", 1, 1 << 24),
                    self.whole(entry, "bits", 1, width),
                    entry["signed"],
                    width,
                    tuple(self._part(p) for p in parts),
                )
            )
        return tuple(found)

    def _part(self, part: Any) -> tuple[int, int, int]:
        if not isinstance(part, dict) or set(part) != set(PART_KEYS):
            raise self.fail(f"a part needs {', '.join(PART_KEYS)}")
        address, row_pitch, pitch = (self.whole(part, k, 0, MAX_DRAM_BITS) for k in PART_KEYS)
        return address, row_pitch, pitch

    def _list(self, key: str) -> list[dict[str, Any]]:
        value = self.data[key]
        if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
            raise self.fail(f"'{key}' must be a list of objects")
        return value
