"""Text forms: listings, memory images, and lines that are wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohaq.backends.silago.isa.text import (
    assemble,
    listing,
    read_bits,
    read_image,
    row_hex,
    row_words,
    write_bits,
    write_image,
)
from mohaq.compiler.diagnostics import MohaqError

words = st.lists(st.integers(-32768, 32767), min_size=16, max_size=16).map(tuple)


@given(words)
def test_memory_rows_come_back(row: tuple[int, ...]) -> None:
    text = row_hex(row)
    assert row_words(text) == row
    assert int(text, 16) & 0xFFFF == row[0] & 0xFFFF


@given(st.dictionaries(st.tuples(st.integers(1, 2), st.integers(0, 7), st.integers(0, 127)), words))
def test_images_come_back(image: Any) -> None:
    assert read_image(write_image(image)) == image


def test_bits_look_like_the_public_form() -> None:
    assert write_bits({(0, 1): (0x4050004, 0)}) == (
        "CELL 0 1\n1 100000001010000000000000100\n1 000000000000000000000000000\n"
    )


def test_listing_shows_words_and_remarks() -> None:
    programs = assemble("CELL 0 0\nSRAM l1_iter=2\nDPU mode=mac  # a comment\nHALT\n")
    text = listing(programs, {((0, 0), 3): "first\nrow"})
    assert text.splitlines()[0] == "CELL 0 0    # 5 words"
    assert "  0  6800020 0800004 0000000  SRAM l1_iter=2" in text
    assert "# first row" in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("NOP", "no instruction 'NOP'"),
        ("REFI", "needs field 'port_no'"),
        ("REFI port_no=w2", "no value of field 'port_no'"),
        ("REFI port_no=w0 port_no=w1", "given twice"),
        ("REFI port_no=w0 color=1", "no field 'color'"),
        ("REFI port_no=w0 init_addr", "no field 'init_addr'"),
        ("WAIT cycle=99999", "must be 0..32767"),
        ("WAIT cycle=-1", "no value of field"),
        ("WAIT cycle=٣", "no value of field"),
    ],
)
def test_wrong_assembly_names_its_line(line: str, message: str) -> None:
    with pytest.raises(MohaqError, match=message) as error:
        assemble(f"CELL 0 0\nHALT\n{line}\n", "file.s")
    if "no field 'init_addr'" not in message:
        assert "file.s, line 3" in error.value.message()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 " + "0" * 27, "starts with 'CELL"),
        ("CELL 0", "expected 'CELL"),
        ("CELL -1 0", "expected 'CELL"),
        ("CELL 0 0\nCELL 0 0", "two programs"),
        ("CELL 0 0\n1 " + "0" * 26, "27 bits"),
        ("CELL 0 0\n1 " + "2" * 27, "27 bits"),
        ("CELL 0 0\n" + "0" * 27, "immediate"),
        ("CELL 0 0\n0 " + "0" * 27, "immediate bit must be 1"),
    ],
)
def test_wrong_bits(text: str, message: str) -> None:
    with pytest.raises(MohaqError, match=message):
        read_bits(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0 0", "expected 'tile_row"),
        ("1 0 x " + "0" * 64, "expected 'tile_row"),
        ("1 0 0 " + "0" * 63, "64 hexadecimal"),
        ("1 0 0 " + "g" * 64, "64 hexadecimal"),
        ("1 0 0 " + "0" * 64 + "\n1 0 0 " + "0" * 64, "given twice"),
    ],
)
def test_wrong_images(text: str, message: str) -> None:
    with pytest.raises(MohaqError, match=message):
        read_image(text)
