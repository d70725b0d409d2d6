"""Real encodings: objects of the cross toolchain, disassembled and decoded like our own text.

The toolchain is optional (`tools/epiphany-toolchain.sh` builds it). Compiled C comes this way
into the same scoreboard and executor as the assembly kernels.
"""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from mohaq.backends.epiphany.analyzer.instructions import Instruction
from mohaq.backends.epiphany.analyzer.parser import ParseError, Program, parse_instruction

_SECTION = re.compile(r"^Disassembly of section ([^:]+):$")
_FUNCTION = re.compile(r"^([0-9a-f]+) <([^>]+)>:$")
_CODE = re.compile(r"^\s*([0-9a-f]+):\t((?:[0-9a-f]{4} ?)+)\s*\t(.+)$")
_RELOCATION = re.compile(r"^\s*([0-9a-f]+): R_EPIPHANY_(LOW|HIGH)\t(\S+?)(?:\+0x([0-9a-f]+))?$")
_TARGET = re.compile(r"(?<![\w#])([0-9a-f]+) <[^>]+>$")


def cross_tool(name: str) -> Path | None:
    """`epiphany-elf-NAME` on PATH, under $EPIPHANY_TOOLCHAIN or where the recipe puts it."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    prefix = Path(os.environ.get("EPIPHANY_TOOLCHAIN") or data / "mohaq/epiphany-toolchain")
    found = shutil.which(f"epiphany-elf-{name}") or shutil.which(
        f"epiphany-elf-{name}", path=str(prefix / "bin")
    )
    return Path(found) if found else None


def disassemble(objdump: Path, compiled: Path) -> dict[str, Program]:
    """Programs of an object file's code sections.

    Raises:
        ParseError: an instruction outside the subset.
        subprocess.CalledProcessError: objdump failed.
    """
    command = [str(objdump), "-d", "-r", str(compiled)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return decode_listing(run.stdout)


def decode_listing(text: str) -> dict[str, Program]:
    """Decode `objdump -d -r` text; functions become labels without the `_` that C puts there.

    Raises:
        ParseError: an instruction outside the subset, with the line of the listing.
    """
    sections: dict[str, Program] = {}
    program = Program({}, {})
    for number, line in enumerate(text.splitlines(), 1):
        if match := _SECTION.match(line):
            program = sections.setdefault(match[1], Program({}, {}))
        elif match := _FUNCTION.match(line):
            program.labels[match[2].removeprefix("_")] = int(match[1], 16)
        elif match := _RELOCATION.match(line):
            _relocate(program, match, f"listing:{number}")
        elif match := _CODE.match(line):
            address, words, code = int(match[1], 16), match[2].split(), match[3].strip()
            program.instructions[address] = _decode(program, code, 2 * len(words), number)
    return sections


def _decode(program: Program, code: str, size: int, number: int) -> Instruction:
    if match := _TARGET.search(code):
        label = f"@{match[1]}"
        program.labels[label] = int(match[1], 16)
        code = code[: match.start()] + label
    return parse_instruction(
        code.replace("\t", " "), where=f"listing:{number}", line=number, size=size
    )


def _relocate(program: Program, match: re.Match[str], where: str) -> None:
    """Half of an address inside the same section, filled in by the linker."""
    address, part = int(match[1], 16), match[2].lower()
    instruction = program.instructions.get(address)
    if instruction is None:
        raise ParseError(f"relocation at {address:#x} has no instruction", where=where)
    offset = match[4] or "0"
    program.labels[f"@{offset}"] = int(offset, 16)
    program.instructions[address] = replace(
        instruction, symbol=f"@{offset}", part=part, immediate=None
    )
