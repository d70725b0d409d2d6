"""Looking at one column of each kind finds what looking at every cell finds."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from tempfile import mkdtemp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import one_sru, sequences
from silago_programs import fabric, random_programs

import mohaq
from mohaq.backends.silago.isa.text import assemble, read_bits
from mohaq.backends.silago.verify import Carried, check, check_all
from mohaq.backends.silago.verify.columns import choose
from mohaq.passes.calibrate import calibrate

Programs = dict[tuple[int, int], tuple[int, ...]]


@cache
def compiled() -> list[Programs]:
    """Programs of an SRU of 40 units: most on all cells, some on a few."""
    program = one_sru(inputs=5, hidden=40, activation="tanh")
    calibrate(program, sequences(features=5))
    folder = Path(mkdtemp()) / "out"
    mohaq.compile(program, "silago-mohaq", mohaq.Assignment.uniform(8), folder)
    texts = sorted((folder / "emitted/programs").glob("*.txt"))
    return [read_bits(path.read_text()) for path in texts]


def test_segments_in_a_row_leave_the_same_facts() -> None:
    made_for = fabric("silago-mohaq")
    one = other = Carried()
    for programs in [*compiled(), *compiled()[:2]]:
        chosen = choose(made_for, programs, one)
        assert chosen is not None
        # Programs before left their facts on two, five or all columns.
        assert len({col for _, col in chosen.programs}) <= 3
        found, one = check(made_for, programs, one)
        wanted, other = check_all(made_for, programs, other)
        assert (found, one) == (wanted, other) == ((), one)


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_changed_words_are_found_alike(random: Random) -> None:
    """In one cell, in a column or in all cells of a row."""
    made_for = fabric("silago-mohaq")
    programs = dict(random.choice(compiled()))
    row, col = random.choice(sorted(programs))
    at = random.randrange(len(programs[row, col]))
    bit = 1 << random.randrange(27)
    every = random.random() < 0.5
    for cell, words in programs.items():
        if cell == (row, col) or (every and cell[0] == row):
            programs[cell] = (*words[:at], words[at] ^ bit, *words[at + 1 :])
    assert check(made_for, programs) == check_all(made_for, programs)


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False))
def test_random_programs_are_judged_alike(random: Random) -> None:
    made_for = fabric(random.choice(("silago1-rtl", "silago-mohaq")))
    programs = random_programs(random, made_for)
    if random.random() < 0.5:  # the same in two more columns
        programs |= {
            (r, (c + by) % made_for.cols): w for (r, c), w in programs.items() for by in (3, 5)
        }
    one = check(made_for, programs)
    assert one == check_all(made_for, programs)
    assert check(made_for, programs, one[1]) == check_all(made_for, programs, one[1])


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        ("SWB hb_index=3 v_index=0 src_block=dpu", None),
        ("ROUTE horizontal_dir=e horizontal_hops=1", None),
        ("BRANCH mode=1 false_pc=1", None),
        ("REFI port_no=r0", 1),
    ],
)
def test_programs_that_reach_out_are_looked_at_one_by_one(line: str, columns: int | None) -> None:
    made_for = fabric("silago1-rtl")
    text = "".join(f"CELL 0 {col}\n{line}\nHALT\n" for col in (1, 2, 3))
    programs = assemble(text)
    chosen = choose(made_for, programs, Carried())
    assert (None if chosen is None else len(chosen.programs)) == columns
    assert check(made_for, programs) == check_all(made_for, programs)


def test_columns_that_differ_are_all_looked_at() -> None:
    made_for = fabric("silago1-rtl")
    programs = assemble("CELL 0 1\nHALT\nCELL 0 2\nWAIT cycle=1\nHALT\nCELL 1 3\nHALT")
    chosen = choose(made_for, programs, Carried())
    assert chosen is not None
    assert chosen.programs == programs
    before = Carried(mode={(0, 1): 3})
    same = assemble("CELL 0 1\nHALT\nCELL 0 2\nHALT\nCELL 0 3\nHALT")
    chosen = choose(made_for, same, before)
    assert chosen is not None
    assert dict(chosen.stands_for) == {1: 1, 2: 2, 3: 2}
