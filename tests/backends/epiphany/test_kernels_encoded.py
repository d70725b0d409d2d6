"""The assembler's encodings are what our parser sees, and run the same (needs the toolchain)."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from epiphany_kernels import HEADER, draw, run_assembly

from mohaq.backends.epiphany.analyzer import KERNELS, Program, kernel_bytes, kernel_program
from mohaq.backends.epiphany.analyzer.disassembly import cross_tool, disassemble
from mohaq.backends.epiphany.analyzer.instructions import Instruction

COMPILER, OBJDUMP = cross_tool("gcc"), cross_tool("objdump")
pytestmark = pytest.mark.skipif(
    COMPILER is None or OBJDUMP is None,
    reason="no epiphany-elf toolchain; tools/epiphany-toolchain.sh builds it",
)


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Program]:
    assert COMPILER
    assert OBJDUMP
    target = tmp_path_factory.mktemp("encoded") / "kernels.o"
    source = HEADER.with_name("mohaq_kernels.S")
    subprocess.run([str(COMPILER), "-c", str(source), "-o", str(target)], check=True)
    return disassemble(OBJDUMP, target)


def resolved(program: Program, instruction: Instruction, base: int) -> Instruction:
    """Without text and line, labels as offsets from the function."""
    symbol = instruction.symbol
    if symbol is not None:
        symbol = hex(program.labels[symbol] - base)
    return replace(instruction, symbol=symbol, text="", line=0)


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_encodings_equal_the_parsed_text(sections: dict[str, Program], name: str) -> None:
    encoded, ours = sections[f".text.{name}"], kernel_program()
    start = ours.entry(name)
    end = next(a for a, i in ours.instructions.items() if a > start and i.name == "rts")
    expected = {
        a - start: resolved(ours, i, start)
        for a, i in ours.instructions.items()
        if start <= a <= end
    }
    # Behind the return the assembler fills up to the section's alignment.
    found = {a: resolved(encoded, i, 0) for a, i in encoded.instructions.items()}
    assert {a: i for a, i in found.items() if a <= end - start} == expected
    assert max(a + i.size for a, i in found.items()) <= kernel_bytes(name)


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_encodings_execute_the_same(sections: dict[str, Program], name: str) -> None:
    operands = draw(name, 40, np.random.default_rng(3))
    result = run_assembly(sections[f".text.{name}"], operands)
    np.testing.assert_array_equal(result, operands.expected())


@pytest.mark.parametrize("flags", [["-O3"], ["-O2", "-DMOHAQ_C_KERNELS"]])
def test_the_header_compiles_for_the_chip(tmp_path: Path, flags: list[str]) -> None:
    source = tmp_path / "use.c"
    calls = "\n".join(
        f"void use_{n}(const void *w, const void *x, uint32_t *a, uint32_t k) {{ {n}(w, x, a, k); }}"
        for n in KERNELS
    )
    source.write_text(f'#include "{HEADER}"\n{calls}\n')
    command = [str(COMPILER), *flags, "-mfp-mode=int", "-std=c11", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*command, "-c", str(source), "-o", str(tmp_path / "use.o")], check=True)
