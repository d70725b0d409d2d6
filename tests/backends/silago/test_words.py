"""Words and fields against the field table, for every field and value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mohaq.backends.silago.isa.fields import FORMATS, WORD_BITS
from mohaq.backends.silago.isa.instructions import (
    KINDS,
    Dpu,
    Halt,
    Instruction,
    Loop,
    Mode,
    Refi,
    Sram,
    Wait,
)
from mohaq.backends.silago.isa.text import (
    assemble,
    disassemble,
    instruction_text,
    parse_instruction,
    read_bits,
    write_bits,
)
from mohaq.backends.silago.isa.words import (
    addresses,
    decode,
    decode_all,
    encode,
    encode_all,
    length,
)
from mohaq.compiler.diagnostics import MohaqError

TABLE = json.loads(
    (Path(__file__).parents[2] / "data/silago/fields.json").read_text(encoding="utf-8")
)


@st.composite
def instructions(draw: st.DrawFn) -> Instruction:
    """Any instruction with any values, in any of its lengths."""
    name = draw(st.sampled_from(sorted(KINDS)))
    layout = FORMATS[name]
    extra = draw(st.integers(0, layout.max_words - 1)) if name in {"REFI", "LOOP"} else 2
    values: dict[str, int] = {}
    for item in layout.fields:
        if item.fixed:
            continue
        if item.name == "extra":
            values["extra"] = extra
        elif layout.word_of(item) <= extra:
            values[item.name] = draw(st.integers(0, item.largest))
    if name == "DPU":
        values["shift"] = draw(st.integers(0, 63))
    return KINDS[name](**values)


def packed(instruction: Instruction) -> int:
    """The whole instruction as one number, straight from the public table."""
    entry = next(e for e in TABLE["instructions"] if e["name"] == instruction.NAME)
    bits = entry["max_words"] * TABLE["word_bits"]
    value = entry["opcode"] << (bits - TABLE["opcode_bits"])
    for item in entry["fields"]:
        raw = item["default"] if item.get("fixed") else getattr(instruction, item["name"])
        if instruction.NAME == "DPU" and item.get("fixed"):
            raw = item["default"] ^ getattr(instruction, "shift")  # noqa: B009
        value |= raw << item["lo"]
    return int(value)


@settings(max_examples=400)
@given(instructions())
def test_words_follow_the_table_and_come_back(instruction: Instruction) -> None:
    words = encode(instruction)
    bits = FORMATS[instruction.NAME].bits
    whole = 0
    for word in words:
        whole = whole << WORD_BITS | word
    whole <<= bits - WORD_BITS * len(words)
    # Words that `extra` leaves out are not stored.
    kept = (1 << bits) - (1 << (bits - WORD_BITS * len(words)))
    assert whole == packed(instruction) & kept
    assert length(words[0]) == len(words) == instruction.words
    assert decode(words) == instruction


@settings(max_examples=100)
@given(st.lists(instructions(), min_size=1, max_size=8))
def test_programs_come_back_in_every_text(program: list[Instruction]) -> None:
    words = encode_all(program)
    assert decode_all(words) == tuple(zip(addresses(program), program, strict=True))
    programs = {(1, 5): words, (0, 0): words}
    assert read_bits(write_bits(programs)) == programs
    assert assemble(disassemble(programs)) == programs
    for instruction in program:
        assert parse_instruction(instruction_text(instruction)) == instruction


def test_table_is_the_public_one() -> None:
    assert len(FORMATS) == len(TABLE["instructions"])
    for entry in TABLE["instructions"]:
        layout = FORMATS[entry["name"]]
        assert (layout.opcode, layout.max_words) == (entry["opcode"], entry["max_words"])
        for ours, theirs in zip(layout.fields, entry["fields"], strict=True):
            assert (ours.name, ours.hi, ours.lo) == (theirs["name"], theirs["hi"], theirs["lo"])
            assert ours.default == theirs["default"]
            assert ours.fixed == theirs.get("fixed", False)
            assert dict(ours.symbols) == theirs.get("symbols", {})


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (Refi(4), "port_no"),
        (Refi(0, extra=3), "extra"),
        (Refi(0, l1_step=2), "needs word 1"),
        (Refi(0, extra=1, dimarch=1), "needs word 2"),
        (Refi(0, init_addr=64), "init_addr"),
        (Wait(-1), "cycle"),
        (Wait(1 << 15), "cycle"),
        (Loop(1, 1, step=2), "needs word 1"),
        (Loop(1, 1, extra=2), "extra"),
        (Sram(init_addr=128), "init_addr"),
        (Dpu(32), "mode"),
        (Dpu(1, shift=64), "shift"),
        (Dpu(True), "whole number"),
        (Dpu(1.0), "whole number"),  # type: ignore[arg-type]
    ],
)
def test_values_that_do_not_fit(instruction: Instruction, message: str) -> None:
    with pytest.raises(MohaqError, match=message):
        encode(instruction)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((15 << 23,), "opcode 15"),
        ((2 << 23,), "opcode 2"),
        ((1 << 27,), "27 bits"),
        ((), "27 bits"),
        ((1 << 23 | 3 << 19,), "at most 3 words"),
        ((13 << 23,), "has 3 words"),
        ((0, 0), "has 1 words"),
        ((1,), "belong to no field"),
        ((5 << 23,), "must be 1"),
        ((1 << 23 | 1 << 19, 0), "must be 2"),
    ],
)
def test_words_that_are_no_instruction(words: tuple[int, ...], message: str) -> None:
    with pytest.raises(MohaqError, match=message):
        decode(words)


def test_shift_zero_is_the_fixed_value() -> None:
    assert encode(Dpu(Mode.MAC, acc_clear=255)) == (0x22A0BFC,)
    # Without the fixed value a DPU word carries a shift; the verifier judges it by the target.
    assert decode((4 << 23,)) == Dpu(0, control=0, shift=2)


def test_opcode_14_reads_as_sram() -> None:
    words = encode(Sram(init_addr=3))
    assert decode((words[0] ^ (13 ^ 14) << 23, *words[1:])) == Sram(init_addr=3)


def test_a_cut_program_names_the_word() -> None:
    with pytest.raises(MohaqError, match=r"word 1: the program ends inside an instruction"):
        decode_all((*encode(Halt()), encode(Sram())[0]))
