"""The cross compiler of tools/epiphany-toolchain.sh, where there is one."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from mohaq.backends.epiphany.analyzer.disassembly import cross_tool

requires_toolchain = pytest.mark.skipif(
    cross_tool("gcc") is None,
    reason="no epiphany-elf-gcc (tools/epiphany-toolchain.sh builds it, EPIPHANY_TOOLCHAIN names it)",
)


@dataclass(frozen=True)
class DeviceProgram:
    """A linked program of the cores."""

    path: Path

    def sections(self) -> dict[str, tuple[int, int]]:
        """Address and size of each section."""
        text = _run("objdump", "-h", str(self.path))
        rows = re.findall(r"^ *\d+ (\S+) +([0-9a-f]{8})  ([0-9a-f]{8})", text, re.MULTILINE)
        return {name: (int(address, 16), int(size, 16)) for name, size, address in rows}

    def functions(self) -> dict[str, list[str]]:
        """Instructions of each function, as `mnemonic operands`."""
        found: dict[str, list[str]] = {}
        name = ""
        for line in _run("objdump", "-d", str(self.path)).splitlines():
            head = re.match(r"^[0-9a-f]+ <(\S+)>:$", line)
            if head:
                name = head[1]
                found[name] = []
                continue
            code = re.match(r"^\s*[0-9a-f]+:\t[0-9a-f ]+\t(.*)$", line)
            if code and name:
                found[name].append(" ".join(code[1].split()))
        return found

    def symbols(self) -> dict[str, int]:
        """Address of each symbol."""
        rows = re.findall(r"^([0-9a-f]{8}) \S (\S+)$", _run("nm", str(self.path)), re.MULTILINE)
        return {name: int(address, 16) for address, name in rows}


def compile_device(folder: Path, build: Path) -> DeviceProgram:
    """`make device` of an emitted project, with warnings as errors."""
    command = ["make", "-s", "-C", str(folder), "device", f"E_GCC={cross_tool('gcc')}"]
    done = subprocess.run([*command, f"BUILD={build}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return DeviceProgram(build / "device.elf")


def _run(tool: str, *arguments: str) -> str:
    command = cross_tool(tool)
    assert command is not None
    return subprocess.run(
        [str(command), *arguments], capture_output=True, text=True, check=True
    ).stdout
