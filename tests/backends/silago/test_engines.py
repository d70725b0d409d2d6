"""Both engines: equal on random programs, right on the worked example, refusals with a place."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from silago_programs import fabric, random_programs, random_state

from mohaq.backends.silago.isa.fields import WORD_BITS
from mohaq.backends.silago.isa.text import assemble
from mohaq.backends.silago.isa.words import decode_all
from mohaq.backends.silago.simulator.run import ENGINES, Engine, run
from mohaq.backends.silago.simulator.state import Run, State, reset
from mohaq.compiler.diagnostics import MohaqError

NAMES = ("silago1-rtl", "silago1-nn", "silago-mohaq")
Outcome = tuple[list[Run | str], State]


def outcome(name: str, seed: int, engine: Engine) -> Outcome:
    """Two segments after each other."""
    random = Random(seed)
    made_for = fabric(name)
    state = random_state(random, made_for)
    found: list[Run | str] = []
    for _ in range(2):
        programs = random_programs(random, made_for)
        try:
            found.append(run(made_for, programs, state, engine=engine))
        except MohaqError as error:
            found.append(error.message())
            break
    return found, state


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 40), st.sampled_from(NAMES))
def test_engines_agree_on_random_programs(seed: int, name: str) -> None:
    (plain, plain_state), (fast, fast_state) = (outcome(name, seed, e) for e in ENGINES)
    assert len(plain) == len(fast)
    for a, b in zip(plain, fast, strict=True):
        if isinstance(a, str) or isinstance(b, str):
            assert a == b
            return
        np.testing.assert_array_equal(a.writes, b.writes)
        np.testing.assert_array_equal(a.sram_writes, b.sram_writes)
        assert (a.last_access, a.last_decode) == (b.last_access, b.last_decode)
        assert a.counters == b.counters
    assert plain_state.equals(fast_state)


def test_random_programs_reach_the_machine() -> None:
    """The property above is about programs that do something."""
    modes, refused, writes, memory = set(), 0, 0, 0
    for seed in range(150):
        found, _ = outcome(NAMES[seed % 3], seed, "fast")
        for part in found:
            if isinstance(part, str):
                refused += 1
                continue
            writes += len(part.writes)
            memory += len(part.sram_writes)
            modes |= {n for n in part.counters if n.startswith("dpu_")}
    assert writes > 3000
    assert memory > 20
    assert len(modes) >= 15
    assert refused < 60


WORKED = """
CELL 0 0
ROUTE horizontal_dir=e vertical_dir=n
SRAM l1_iter=2
REFI port_no=w0 extra=2 l1_iter=2 init_delay=4 l2_step=0 dimarch=y
SWB hb_index=2 v_index=2
SWB src_port=1 hb_index=2 v_index=3
SWB src_block=dpu hb_index=2 v_index=0
REFI port_no=r0 extra=2 l1_iter=7 init_delay=5 l2_iter=3 l2_step=8 l2_delay=1
REFI port_no=r1 extra=2 init_addr=32 l1_iter=7 init_delay=4 l2_iter=3 l2_step=0 l2_delay=1
REFI port_no=w0 extra=1 init_addr=48 l1_iter=3 init_delay=11 l1_delay=8 l2_step=0
LOOP endpc=20 iter=4
DPU mode=mac acc_clear=255
WAIT cycle=7
WAIT cycle=10
HALT
"""
WORKED_WORDS = [
    "6440000",
    "6800020",
    "0800004",
    "0000000",
    "0900084",
    "1010000",
    "1800002",
    "2c22000",
    "2ca3000",
    "2d20000",
    "0d001c5",
    "1010038",
    "1810000",
    "0f201c4",
    "1010030",
    "1810000",
    "08b00cb",
    "1012000",
    "4050004",
    "22a0bfc",
    "3800380",
    "3800500",
    "0000000",
]
W = np.array(
    [[-5, 9, -7, -1, -6, 6, 5, 6], [3, -3, -6, 6, -9, 3, 4, -9],
     [5, -1, -2, 9, -6, 1, -9, -9], [-9, 8, -9, 3, -3, 4, -9, 7]]
)  # fmt: skip
X = np.array([4, 8, 8, 9, 4, 6, 4, 4])


@pytest.mark.parametrize("engine", ENGINES)
def test_worked_example(engine: Engine) -> None:
    programs = assemble(WORKED)
    assert [f"{w:07x}" for w in programs[0, 0]] == WORKED_WORDS
    state = reset(fabric("silago1-rtl"))
    state.sram[0, 0, 0], state.sram[0, 0, 1] = W[:2].ravel(), W[2:].ravel()
    state.sram[0, 0, 2, :8] = X
    found = run(fabric("silago1-rtl"), programs, state, engine=engine)
    results = found.writes[found.writes[:, 3] >= 48]
    assert results.tolist() == [
        [edge, 0, 0, 48 + n, value]
        for n, (edge, value) in enumerate(zip((21, 30, 39, 48), W @ X, strict=True))
    ]
    assert found.last_access == 48
    assert found.counters["macs_16"] == 32
    assert found.counters["sram_bits_read"] == 3 * 256
    assert found.counters["words_loaded"] == 23
    assert state.rf[0, 0, 48:52].tolist() == [43, -44, -13, -13]


DEAD = {
    "ROUTE": {"horizontal_dir", "vertical_dir"},
    "SRAM": {"l1_step", "l2_delay", "l2_step", "l2_step_sd", "l2_delay_sd", "l1_delay_sd",
             "init_delay_sd", "l2_iter_sd", "init_addr_sd"},
    "REFI": {"init_addr", "init_addr_sd", "l2_step", "l2_iter_sd", "l1_delay_sd", "l1_step_sign",
             "l1_step", "l2_step_ext", "l2_delay", "l2_delay_sd"},
    "SWB": {"src_row"},
    "LOOP": {"start", "start_sd", "loopid"},
    "DPU": {"acc_clear", "control", "unused_0"},
    "HALT": {"bit 25"},
}  # fmt: skip
"""Fields of the worked example with a bit that changes nothing: no hops, one repetition, blocks
modulo 4, a register that holds 0, an iterator that nobody reads, fields without effect, and a DPU
instruction as the last word, where the sequencer stops anyway."""


def test_every_other_bit_of_the_worked_example_matters() -> None:
    words = assemble(WORKED)[0, 0]
    made_for = fabric("silago1-rtl")

    def result(flipped: tuple[int, ...]) -> object:
        state = reset(made_for)
        state.sram[0, 0, 0], state.sram[0, 0, 1] = W[:2].ravel(), W[2:].ravel()
        state.sram[0, 0, 2, :8] = X
        try:
            found = run(made_for, {(0, 0): flipped}, state, edges=120)
        except MohaqError as error:
            return error.message()
        return found.writes.tolist(), found.last_decode, dict(found.counters)

    right = result(words)
    dead: dict[str, set[str]] = {}
    for pc, i in decode_all(words):
        for bit in range(WORD_BITS * i.words):
            word = pc + i.words - 1 - bit // WORD_BITS
            flipped = list(words)
            flipped[word] ^= 1 << bit % WORD_BITS
            if result(tuple(flipped)) != right:
                continue
            place = bit + i.format.bits - WORD_BITS * i.words
            names = [f.name for f in i.format.fields if f.lo <= place <= f.hi]
            dead.setdefault(i.NAME, set()).update(names or {f"bit {place}"})
    assert dead == DEAD


def test_log_is_left_out_on_request() -> None:
    state = reset(fabric("silago1-rtl"))
    found = run(fabric("silago1-rtl"), assemble(WORKED), state, log=False)
    assert found.writes.shape == (0, 5)
    assert found.counters["rf_words_written"] == 52


REFUSED = {
    "DPU mode=expon": "DPU mode 21",
    "DPU mode=mode_6": "DPU mode 6",
    "RACCU mode=mult_add operand1=1 operand2=1 result=0": "RACCU mode 6",
    "LOOP endpc=3 iter=1 iter_sd=d": "LOOP",
    "REFI port_no=w0 extra=2 compress=y": "compress",
    "REFI port_no=w1 extra=2 dimarch=y": "w0 and r0",
    "SWB hb_index=1 v_index=0": "out of reach",
    "SWB hb_index=5 v_index=0": "out of reach",
    "SWB hb_index=2 v_index=7": "destination 7",
    "ROUTE vertical_dir=s vertical_hops=1": "leaves the memory",
    "ROUTE horizontal_dir=w horizontal_hops=1": "leaves the memory",
    "ROUTE vertical_dir=n select_drra_row=1": "other row",
    "SRAM l1_iter=1": "without a route",
    "ROUTE vertical_dir=n\nSRAM hops=1": "hops",
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("line", REFUSED)
def test_unknown_effects_are_refused(engine: Engine, line: str) -> None:
    programs = assemble(f"CELL 0 0\nWAIT cycle=0\n{line}\nWAIT cycle=0\nHALT")
    with pytest.raises(MohaqError, match=REFUSED[line]) as error:
        run(fabric("silago1-rtl"), programs, reset(fabric("silago1-rtl")), engine=engine)
    assert "cell (0, 0), edge" in error.value.message()


@pytest.mark.parametrize("engine", ENGINES)
def test_two_accesses_of_a_tile_are_refused(engine: Engine) -> None:
    text = """
    CELL {0} {1}
    WAIT cycle={2}
    ROUTE vertical_dir=n direction={3} select_drra_row={0}
    SRAM rw={3}
    """
    programs = assemble(text.format(0, 0, 2, 0) + text.format(1, 0, 1, 1))
    with pytest.raises(MohaqError, match="single port"):
        run(fabric("silago1-rtl"), programs, reset(fabric("silago1-rtl")), engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_word_that_is_no_instruction(engine: Engine) -> None:
    programs = {(0, 0): (15 << 23,)}
    with pytest.raises(MohaqError, match="no instruction"):
        run(fabric("silago1-rtl"), programs, reset(fabric("silago1-rtl")), engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_cannot_run(engine: Engine) -> None:
    made_for = fabric("silago1-rtl")
    with pytest.raises(MohaqError, match="at most 64 words"):
        run(made_for, {(0, 0): (0,) * 65}, reset(made_for), engine=engine)
    with pytest.raises(MohaqError, match="no cell"):
        run(made_for, {(2, 0): (0,)}, reset(made_for), engine=engine)
    with pytest.raises(MohaqError, match="analytic"):
        run(replace(made_for, numerics="analytic"), {}, reset(made_for), engine=engine)
