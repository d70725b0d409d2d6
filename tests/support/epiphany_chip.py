"""A chip in Python: the compiled device.elf on every core, with mesh, DMA, shared DRAM, interrupts.

Cores run interleaved at random. Writes between two cores keep their order and arrive late at
random; so do writes to shared DRAM; a DMA's data arrive at random. So a program that relies on
more order than the mesh gives is found. Instructions are those of the analyzer's executor, decoded
from objdump's text of the linked program.

    python epiphany_chip.py DEVICE_ELF OBJDUMP ROWS COLS FIRST_CORE SEED DRAM_FILE BOXES_FILE
"""

from __future__ import annotations

import os
import random
import re
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from epiphany_toolchain import compile_device

from mohaq.backends.epiphany.analyzer.disassembly import cross_tool, decode_listing
from mohaq.backends.epiphany.analyzer.executor import Executor, Fault, Memory
from mohaq.backends.epiphany.analyzer.instructions import Instruction
from mohaq.backends.epiphany.analyzer.parser import Program

DEVICE = Path(__file__).parents[1] / "data" / "epiphany_chip" / "device.c"
DRAM, WINDOW = 0x8E000000, 0x02000000
FLAGS, MAILBOX, MAILBOX_BYTES = 64, 0x100, 64
MASK = 0xFFFFFFFF
SPECIAL = re.compile(r"^(\s*([0-9a-f]+):\t[0-9a-f ]+\t)(movts|movfs|rti)\b\s*(.*)$")
KNOWN = ("config", "status", "lc", "ls", "le")


@dataclass
class Transfer:
    """A DMA channel at work: `wait` more looks of the chip until it moves its bytes."""

    source: int
    target: int
    bytes: int
    wait: int
    message: bool


@dataclass
class Chip:
    """Cores, the mesh's writes on their way, shared DRAM."""

    rows: int
    cols: int
    first: int
    draw: random.Random
    dram: bytearray
    cores: list[Core] = field(default_factory=list)
    ways: dict[tuple[int, int], deque[tuple[int, bytes]]] = field(default_factory=dict)

    def core_at(self, address: int) -> int | None:
        """Index of the core that owns a global address."""
        row, col = (address >> 26) - (self.first >> 6), (address >> 20 & 63) - (self.first & 63)
        inside = 0 <= row < self.rows and 0 <= col < self.cols
        return row * self.cols + col if inside else None

    def send(self, source: int, address: int, data: bytes) -> None:
        """A write leaves a core: target -1 is shared DRAM."""
        target = -1 if DRAM <= address < DRAM + WINDOW else self.core_at(address)
        if target is None:
            raise Fault(f"core {source} writes to {address:#x}, where nothing is")
        self.ways.setdefault((source, target), deque()).append((address, data))

    def deliver(self, way: tuple[int, int]) -> None:
        """The oldest write of a way arrives."""
        address, data = self.ways[way].popleft()
        if not self.ways[way]:
            del self.ways[way]
        if way[1] < 0:
            at = address - DRAM
            if at + len(data) > len(self.dram):
                raise Fault(f"core {way[0]} writes past the used shared DRAM, at {at:#x}")
            self.dram[at : at + len(data)] = data
        else:
            at = address & 0xFFFFF
            self.cores[way[1]].memory.data[at : at + len(data)] = data

    def flags(self) -> list[int]:
        """Done flags of all cores."""
        return list(struct.unpack_from(f"<{len(self.cores)}I", self.dram, FLAGS))

    def run(self, launch: int, limit: int = 400_000_000) -> int:
        """Until every core has finished the launch; returns the instructions executed."""
        executed = 0
        for core in self.cores:
            struct.pack_into("<I", core.memory.data, MAILBOX, launch)
        while any(flag != launch for flag in self.flags()):
            core = self.cores[self.draw.randrange(len(self.cores))]
            for _ in range(self.draw.randint(1, 60)):
                if core.idle:
                    break
                core.step()
                executed += 1
            self.move()
            if executed > limit or (not self.ways and all(c.idle for c in self.cores)):
                states = [core.box() for core in self.cores]
                raise Fault(f"no end after {executed} instructions: {states}")
        return executed

    def move(self) -> None:
        """Some writes arrive, some DMA channels move on."""
        for way in list(self.ways):
            for _ in range(self.draw.choice((0, 0, 1, 8, 100))):
                if way in self.ways:
                    self.deliver(way)
        for core in self.cores:
            core.mesh.move()


class MeshMemory(Memory):
    """What a core's loads and stores reach."""

    def __init__(self, chip: Chip, index: int, size: int) -> None:
        super().__init__(size)
        self.chip, self.index = chip, index
        self.channels: list[Transfer | None] = [None, None]
        self.arriving: list[Transfer] = []

    def load(self, address: int, size: int) -> int:
        """Own memory and DMA status; anything else would stall the core for long."""
        for channel, busy in enumerate(self.channels):
            if address == 0xF051C + 32 * channel and size == 4:
                return 3 if busy else 0
        return super().load(address, size)

    def store(self, address: int, size: int, value: int) -> None:
        """Own memory, DMA start, other cores, done flags in shared DRAM."""
        if address < len(self.data):
            super().store(address, size, value)
        elif address in (0xF0500, 0xF0520):
            self._start(address >> 5 & 1, value)
        else:
            if address % size:
                raise Fault(f"store of {size} bytes at {address:#x} is not aligned")
            if DRAM <= address < DRAM + WINDOW and address != DRAM + FLAGS + 4 * self.index:
                raise Fault(f"core {self.index} stores to shared DRAM at {address:#x}")
            self.chip.send(self.index, address, value.to_bytes(size, "little"))

    def _start(self, channel: int, value: int) -> None:
        if self.channels[channel] or value & 0xFFFF != 8 or value >> 16 & 7:
            raise Fault(f"DMA {channel} is started with {value:#x}")
        words = struct.unpack_from("<6I", self.data, value >> 16)
        config, inner, count, outer, source, target = words
        if config & 0x63 != 0x63 or inner != 0x80008 or outer != inner or count >> 16 != 1:
            raise Fault(f"DMA {channel} has the descriptor {[hex(w) for w in words]}")
        if (source | target) & 7:
            raise Fault(f"DMA {channel} is not aligned")
        wait = self.chip.draw.randint(0, 40)
        transfer = Transfer(source, target, 8 * (count & 0xFFFF), wait, bool(config & 1 << 10))
        self.channels[channel] = transfer

    def move(self) -> None:
        """Progress of both channels; reads without message mode end before their data arrive."""
        for channel, transfer in enumerate(self.channels):
            if transfer is None:
                continue
            transfer.wait -= 1
            if transfer.wait < 0:
                self.channels[channel] = None
                if transfer.source >= DRAM and not transfer.message:
                    transfer.wait = 50
                    self.arriving.append(transfer)
                else:
                    self._finish(transfer)
        for transfer in list(self.arriving):
            transfer.wait -= 1
            if transfer.wait < 0:
                self.arriving.remove(transfer)
                self._finish(transfer)

    def _finish(self, t: Transfer) -> None:
        if t.source >= DRAM:
            data = self.chip.dram[t.source - DRAM : t.source - DRAM + t.bytes]
            if len(data) != t.bytes or t.target + t.bytes > len(self.data):
                raise Fault(f"DMA leaves the memory: {t}")
            self.data[t.target : t.target + t.bytes] = data
        elif t.target >= DRAM and t.source + t.bytes <= len(self.data):
            self.chip.send(self.index, t.target, bytes(self.data[t.source : t.source + t.bytes]))
        else:
            raise Fault(f"DMA between {t.source:#x} and {t.target:#x}")


class Core(Executor):
    """A core with start-up: it begins in the reset interrupt."""

    def __init__(self, program: Program, chip: Chip, index: int, size: int) -> None:
        self.mesh = MeshMemory(chip, index, size)
        super().__init__(program, self.mesh)
        self.index, self.idle = index, False
        self.special["coreid"] = chip.first + (index // chip.cols << 6) + index % chip.cols
        self.special["status"] |= 1 << 1

    def box(self) -> tuple[int, ...]:
        """Words of the mailbox."""
        return struct.unpack_from("<8I", self.memory.data, MAILBOX)

    def step(self) -> None:
        """One instruction."""
        instruction = self.program.instructions.get(self.pc)
        if instruction is None:
            raise Fault(f"core {self.index}: no instruction at {self.pc:#x}")
        try:
            self._step(instruction)
        except Fault as fault:
            where = f"core {self.index} at {self.pc:#x}: {instruction.text}"
            raise Fault(fault.what, where=where) from None

    def _execute(self, i: Instruction, following: int) -> int | None:
        if i.name == "jalr":
            target = self.registers[i.rn or 0]
            self.registers[14] = following
            return target
        if i.name == "rti":
            self.special["status"] &= ~(1 << 1)
            return self.special["iret"]
        if i.name == "idle":
            self.idle = True
            return None
        return super()._execute(i, following)


def decoded(objdump: str, elf: Path) -> Program:
    """The linked program; special registers that kernels do not use are decoded here."""
    text = subprocess.run(
        [objdump, "-d", str(elf)], check=True, capture_output=True, text=True
    ).stdout
    own: dict[int, Instruction] = {}
    lines = []
    for line in text.splitlines():
        found = SPECIAL.match(line)
        words = re.split(r"[,\s]+", found[4].strip()) if found else []
        if found and not (len(words) == 2 and set(words) & set(KNOWN)):
            name, address = found[3], int(found[2], 16)
            size = 2 * len(found[1].split("\t")[1].split())
            special = {"movts": words[0], "movfs": words[-1]}.get(name)
            register = {"movts": words[-1], "movfs": words[0]}.get(name)
            number = int(register[1:]) if register else None
            rd, rn = (number, None) if name == "movfs" else (None, number)
            own[address] = Instruction(name, size, rd=rd, rn=rn, special=special, text=line.strip())
            continue
        lines.append(line)
    program = Program({}, {})
    for section in decode_listing("\n".join(lines)).values():
        program.instructions.update(section.instructions)
        program.labels.update(section.labels)
    program.instructions.update(own)
    return program


def load(elf: Path) -> list[tuple[int, bytes]]:
    """Address and content of each loaded segment."""
    data = elf.read_bytes()
    start, size, count = (
        struct.unpack_from("<I", data, 28)[0],
        *struct.unpack_from("<2H", data, 42),
    )
    found = []
    for number in range(count):
        kind, offset, address, _, length = struct.unpack_from("<5I", data, start + size * number)
        if kind == 1:
            found.append((address, data[offset : offset + length]))
    return found


def chip_with(elf: Path, objdump: str, shape: tuple[int, int, int], seed: int) -> Chip:
    """A chip whose cores are loaded as the eSDK does it, and started."""
    rows, cols, first = shape
    chip = Chip(rows, cols, first, random.Random(seed), bytearray())
    program, segments = decoded(objdump, elf), load(elf)
    size = 0x8000 if max(a + len(b) for a, b in segments) <= 0x8000 else 0x10000
    for index in range(rows * cols):
        core = Core(program, chip, index, size)
        for address, content in segments:
            core.memory.data[address : address + len(content)] = content
        row, col = divmod(index, cols)
        group = (3, 2, first, first >> 6, first & 63, rows, cols, row, col, 0xDEADBEEF)
        struct.pack_into("<10I", core.memory.data, 0x28, *group)
        struct.pack_into(f"<{MAILBOX_BYTES}x", core.memory.data, MAILBOX)
        chip.cores.append(core)
    return chip


def run_on_chip(
    folder: Path,
    scratch: Path,
    inputs: Sequence[npt.NDArray[Any]],
    *,
    seed: int = 0,
    device: str = __file__,
) -> npt.NDArray[np.int64]:
    """Outputs, one after the other and flat, of an emitted project on this chip.

    The project's own host program does the host's part; its device is this file as a command, or
    another that takes the same words.
    """
    elf = compile_device(folder, scratch / "build").path
    model = (folder / "device" / "model.h").read_text()
    shape = [re.search(rf"#define {n} (\w+)", model) for n in ("MOHAQ_ROWS", "MOHAQ_COLS")]
    first = re.search(r"#define MOHAQ_FIRST_CORE (\w+)", model)
    numbers = [str(int(found[1], 0)) for found in (*shape, first) if found]
    host = scratch / "chip_host"
    sources = [f"{folder}/host/main.c", str(DEVICE), f"-I{folder}/device", f"-I{folder}/host"]
    subprocess.run(["cc", "-D_DEFAULT_SOURCE", *sources, "-o", str(host)], check=True)
    x = np.asarray(inputs[0])
    header = np.array(x.shape[:2], "<u4").tobytes()
    arrays = b"".join(np.asarray(a).astype("<i4").tobytes() for a in inputs)
    (scratch / "in.bin").write_bytes(header + arrays)
    files = [str(scratch / "dram.bin"), str(scratch / "boxes.bin")]
    command = [sys.executable, device, str(elf), str(cross_tool("objdump")), *numbers, str(seed)]
    environment = {
        **os.environ,
        "CHIP_COMMAND": " ".join([*command, *files]),
        "CHIP_DRAM": files[0],
        "CHIP_BOXES": files[1],
    }
    paths = [folder / "weights.bin", scratch / "in.bin", scratch / "out.bin"]
    done = subprocess.run(
        [str(host), *map(str, paths)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return np.fromfile(paths[2], "<i4").astype(np.int64)


def main(words: list[str]) -> None:
    """See the module's text."""
    elf, objdump, rows, cols, first, seed, dram, boxes = words
    chip = chip_with(Path(elf), objdump, (int(rows), int(cols), int(first)), int(seed))
    chip.dram[:] = Path(dram).read_bytes()
    executed = chip.run(1)  # what is still on its way when the last flag arrives is lost
    Path(dram).write_bytes(chip.dram)
    contents = [core.memory.data[MAILBOX : MAILBOX + MAILBOX_BYTES] for core in chip.cores]
    Path(boxes).write_bytes(b"".join(contents))
    print(f"{executed} instructions on {len(chip.cores)} cores")


if __name__ == "__main__":
    main(sys.argv[1:])
