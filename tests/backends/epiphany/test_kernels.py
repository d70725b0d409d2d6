"""Every assembly kernel equals its C fallback and the numpy statement, and keeps the ABI."""

import ctypes
import re

import numpy as np
import pytest
from epiphany_kernels import Operands, c_library, draw, run_assembly, run_c, x_range
from hypothesis import given, settings
from hypothesis import strategies as st

from mohaq.backends.epiphany.analyzer import KERNELS, Fault, Program, kernel_program, parse
from mohaq.backends.epiphany.analyzer.instructions import Instruction
from mohaq.backends.epiphany.analyzer.kernels import kernel_text
from mohaq.backends.epiphany.kernels.generate import text

NAMES = sorted(KERNELS)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return c_library(tmp_path_factory.mktemp("kernels"))


def test_the_shipped_file_is_what_the_generator_writes() -> None:
    assert kernel_text() == text()


@pytest.mark.parametrize("name", NAMES)
@given(st.sampled_from([0, 4, 8, 12, 16, 20, 36]), st.integers(0, 2**32 - 1), st.booleans())
@settings(deadline=None, max_examples=12)
def test_assembly_equals_c_and_numpy(
    library: ctypes.CDLL, name: str, k: int, seed: int, extreme: bool
) -> None:
    operands = draw(name, k, np.random.default_rng(seed), extreme)
    expected = operands.expected()
    np.testing.assert_array_equal(run_assembly(kernel_program(), operands), expected)
    np.testing.assert_array_equal(run_c(library, operands), expected)


def _largest(name: str, k: int, end: int) -> Operands:
    shape = KERNELS[name]
    u = np.full((k, shape.rows), (1 << shape.bits) - 1)
    x = np.full((k, shape.steps), x_range(name)[end])
    return Operands(name, u, x, np.zeros((shape.rows, shape.steps), np.uint32))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("k", [256, 260, 516])
def test_largest_magnitudes_over_whole_chunks(
    library: ctypes.CDLL, name: str, end: int, k: int
) -> None:
    """The head room of sums that share a register holds at the ends of the ranges."""
    operands = _largest(name, k, end)
    expected = operands.expected()
    np.testing.assert_array_equal(run_assembly(kernel_program(), operands), expected)
    np.testing.assert_array_equal(run_c(library, operands), expected)


@pytest.mark.parametrize("name", NAMES)
def test_interrupts_stay_off_where_the_caller_had_them_off(name: str) -> None:
    operands = draw(name, 8, np.random.default_rng(1))
    run_assembly(kernel_program(), operands, interrupts_off=True)


def _mutants(name: str) -> list[str]:
    """The file with one instruction of the kernel changed, for each kind of change."""
    start = kernel_text().index(f"SYM({name}):")
    end = kernel_text().index("\trts", start)
    body = kernel_text()[start:end]
    changes = [
        (r"imadd\.l r(\d+),r(\d+),r(\d+)", r"imsub.l r\1,r\2,r\3"),
        (r"imadd\.l r(\d+),r(\d+),r(\d+)", r"imadd.l r\1,r\3,r\3"),
        (r"(ldr[bh])\.l (r\d+),\[r0\],#1", r"\1.l \2,[r0],#2"),
        (r"ldrd\.l (r\d+),\[r1\],#1", r"ldrd.l \1,[r1,#0]"),
        (r"strd\.l (r\d+),\[r2,#1\]", r"strd.l \1,[r2,#0]"),
        (r"and\.l (r\d+),(r\d+),r2[46]\b", r"orr.l \1,\2,r24"),
        (r"asr\.l (r\d+),(r\d+),#\d", r"lsr.l \1,\2,#1"),
        (r"movts\.l config,r16", "nop"),
        (r"movts\.l config,r12", "nop"),
        (r"sub\.l (r\d+),(r\d+),#1$", r"sub.l \1,\2,#2"),
        (r"\tgid", "\tnop"),
        (r"\tgie", "\tnop"),
    ]
    result = []
    for pattern, replacement in changes:
        found = list(re.finditer(pattern, body, re.MULTILINE))
        for match in {m.start(): m for m in (*found[:1], *found[-1:])}.values():
            changed = body[: match.start()] + match.expand(replacement) + body[match.end() :]
            result.append(kernel_text()[:start] + changed + kernel_text()[end:])
    return result


@pytest.mark.parametrize("name", NAMES)
def test_changed_instructions_are_noticed(name: str) -> None:
    operands = draw(name, 24, np.random.default_rng(7))
    expected = operands.expected()
    mutants = _mutants(name)
    assert len(mutants) >= 10
    for mutant in mutants:
        try:
            result = run_assembly(parse(mutant), operands)
        except (Fault, AssertionError):
            continue
        assert (result != expected).any()


@pytest.mark.parametrize("name", NAMES)
def test_every_removed_instruction_is_noticed(name: str) -> None:
    """No instruction of a kernel is idle: without it some call goes wrong."""
    program = parse(kernel_text(), base=0x8E00_0100)  # code in DRAM: both address halves count
    rng = np.random.default_rng(11)
    calls = [(draw(name, k, rng), k % 8 == 4) for k in (24, 4, 0, 36, 20, 4, 12, 4, 4)]
    calls.append((_largest(name, 520, 1), False))
    expected = [operands.expected() for operands, _ in calls]

    def survives(address: int, instruction: Instruction) -> bool:
        gone = Instruction("nop", instruction.size, line=instruction.line)
        mutant = Program({**program.instructions, address: gone}, program.labels)
        for (operands, off), right in zip(calls, expected, strict=True):
            try:
                result = run_assembly(mutant, operands, interrupts_off=off)
            except (Fault, AssertionError):
                return False
            if (result != right).any():
                return False
        return True

    start = program.entry(name)
    end = min(a for a, i in program.instructions.items() if a > start and i.name == "rts")
    code = {a: i for a, i in program.instructions.items() if start <= a <= end and i.name != "nop"}
    assert [i.text for a, i in code.items() if survives(a, i)] == []
