"""Encoding: round trips, ranges, and words that nobody writes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mohaq.backends.bitfusion.dialect import OP_OF, op_of
from mohaq.backends.bitfusion.isa import instructions as isa
from mohaq.backends.bitfusion.isa.decode import decode, decode_program
from mohaq.backends.bitfusion.isa.encode import encode, encode_all, header
from mohaq.compiler.diagnostics import MohaqError


def _fields(kind: type[isa.Instruction]) -> st.SearchStrategy[isa.Instruction]:
    values: dict[str, Any] = {
        name: st.integers(low, high) for name, (low, high) in kind.RANGES.items()
    }
    if kind is isa.Setup:
        values |= {"a_bits": st.sampled_from([0, 2, 4, 8]), "w_bits": st.sampled_from([0, 2, 4, 8])}
    if kind is isa.BaseAddr:
        values["width"] = st.sampled_from(isa.WIDTHS)
    made: st.SearchStrategy[Any] = st.builds(kind, **values)
    if kind is isa.Bias:
        return made.filter(lambda i: not (i.acc_shift and i.bias_shift))
    if kind is isa.Requantize:
        scale = st.tuples(st.integers(1, 32767), st.integers(0, 62))
        scales = st.lists(scale, min_size=1, max_size=8).map(tuple)
        return st.builds(kind, scales=scales, **values)
    return made


INSTRUCTIONS = st.one_of([_fields(kind) for kind in OP_OF])


@settings(max_examples=300, deadline=None)
@given(st.lists(INSTRUCTIONS, max_size=12))
def test_words_decode_to_the_same_instructions(instructions: list[isa.Instruction]) -> None:
    words = encode_all(instructions)
    assert all(0 <= w < 1 << 32 for w in words)
    assert decode(words) == instructions
    program = [*header(2 + len(words)), *words]
    found, ends = decode_program(program)
    assert found == instructions
    assert not ends or ends[-1] == len(program)


@settings(max_examples=200, deadline=None)
@given(INSTRUCTIONS)
def test_operations_stand_for_their_instructions(instruction: isa.Instruction) -> None:
    op = op_of(instruction)
    op.verify()
    expected = isa.BlockEnd(0) if isinstance(instruction, isa.BlockEnd) else instruction
    assert op.instruction() == expected


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, (1 << 32) - 1), max_size=6))
def test_any_words_decode_canonically_or_are_refused(words: list[int]) -> None:
    try:
        found = decode(words)
    except MohaqError:
        return
    assert encode_all(found) == words


@pytest.mark.parametrize(
    "instruction",
    [
        isa.Setup(4, 2, 2, 0),
        isa.Setup(0, 3, 2, 0),
        isa.Setup(0, 16, 2, 0),
        isa.Setup(0, 2, 2, 65536),
        isa.Hold(4, 0, 16, 1),
        isa.Hold(0, 1 << 44, 16, 1),
        isa.Hold(0, 0, 0, 1),
        isa.Hold(0, 0, 16, 0),
        isa.LoopOf(31, 0, 0, 4, 1),
        isa.LoopOf(0, 5, 0, 4, 1),
        isa.LoopOf(0, 0, 0, 1 << 44, 1),
        isa.BaseAddr(0, 0, 12, 1, 0),
        isa.BaseAddr(0, 0, 8, 1, 1 << 44),
        isa.GenAddr(0, 0, 0, -1),
        isa.Load(32, 0),
        isa.Bias(0, 0, 0, 1, 1),
        isa.Shl(0, 0, 64),
        isa.Rsub(0, 0, 1 << 43),
        isa.Saturate(0, 0, 65, 1),
        isa.Requantize(0, 0, 8, 1, ((32768, 0),)),
        isa.Requantize(0, 0, 8, 1, ((1, 63),)),
        isa.Requantize(0, 0, 8, 1, ()),
        isa.BlockEnd(-1),
    ],
)
def test_a_field_that_does_not_fit_is_an_error(instruction: isa.Instruction) -> None:
    with pytest.raises(MohaqError):
        encode(instruction)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ([], "not a Bit Fusion program"),
        ([0x4D420003, 3], "header says 3"),
        ([0x4D420002, 2], "version 2, expected 3"),
        ([0x4D420003, 3, 0x70000001], "ends inside"),
        ([0x4D420003, 4, 0xF0000001, 0xF0000001], "two wide prefixes"),
        ([0x4D420003, 4, 0xF0000000, 0x80000000], "must be 0"),
        ([0x4D420003, 3, 0x80010000], "must be 0"),
        ([0x4D420003, 3, 0xBFE00000], "unknown post-processing function"),
        ([0x4D420003, 3, 0xD0000000], "unexpected opcode 13"),
        ([0x4D420003, 4, 0x70000001, 0x80000000], "a loop must be followed by a value word"),
        ([0x4D420003, 4, 0x60400010, 0xD0000010], "ends inside"),
    ],
)
def test_malformed_programs_are_refused(words: list[int], what: str) -> None:
    with pytest.raises(MohaqError, match=what):
        decode_program(words)
