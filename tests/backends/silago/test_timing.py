"""Edges: register-file patterns, memory rows, skew, hops, switchbox, loops and branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from silago_programs import fabric

from mohaq.backends.silago.isa import instructions as isa
from mohaq.backends.silago.isa.words import encode_all
from mohaq.backends.silago.simulator.run import ENGINES, Engine, run
from mohaq.backends.silago.simulator.state import Run, State, reset

RTL = fabric("silago1-rtl")
engines = pytest.mark.parametrize("engine", ENGINES)


def execute(
    programs: Mapping[tuple[int, int], Sequence[isa.Instruction]],
    engine: Engine,
    state: State | None = None,
) -> tuple[Run, State]:
    """Run instructions on the public fabric."""
    held = state or reset(RTL)
    words = {cell: encode_all(program) for cell, program in programs.items()}
    return run(RTL, words, held, engine=engine), held


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 63), st.integers(0, 63), st.integers(0, 5), st.integers(0, 63),
    st.integers(0, 63), st.integers(0, 4), st.integers(0, 63), st.integers(0, 63),
    st.sampled_from(ENGINES), st.integers(0, 7), st.integers(0, 1),
)  # fmt: skip
def test_pattern_edges(
    init: int,
    delay: int,
    n1: int,
    step1: int,
    delay1: int,
    n2: int,
    step2: int,
    delay2: int,
    engine: Engine,
    col: int,
    row: int,
) -> None:
    refi = isa.Refi(
        isa.Port.W1, extra=2, init_addr=init, l1_iter=n1, init_delay=delay, l1_step=step1,
        l1_delay=delay1 & 15, l1_delay_ext=delay1 >> 4, l2_iter=n2, l2_step=step2 & 15,
        l2_step_ext=step2 >> 4, l2_delay=delay2,
    )  # fmt: skip
    found, _ = execute({(row, col): [refi, isa.Halt()]}, engine)
    edge, want = 1 + row + col + 1 + delay, []
    for i in range(n2 + 1):
        for j in range(n1 + 1):
            want.append([edge, row, col, (init + i * step2 + j * step1) % 64, 0])
            edge += 1 + (delay1 if j < n1 else delay2)
    assert found.writes.tolist() == sorted(want)
    assert found.last_access == want[-1][0]


@engines
@pytest.mark.parametrize(("extra", "addresses"), [(1, [20, 17, 14]), (2, [20, 23, 26])])
def test_step_sign_acts_in_two_words_only(engine: Engine, extra: int, addresses: list[int]) -> None:
    refi = isa.Refi(isa.Port.W0, extra=extra, init_addr=20, l1_iter=2, l1_step=3, l1_step_sign=1)
    found, _ = execute({(0, 0): [refi]}, engine)
    assert found.writes[:, 3].tolist() == addresses


@engines
def test_dynamic_fields_come_from_registers(engine: Engine) -> None:
    program = [
        isa.Raccu(isa.RaccuMode.ADD, 40, 2, 3),
        isa.Raccu(isa.RaccuMode.SUB, 9, 7, 4),
        isa.Raccu(isa.RaccuMode.SHIFT_L, 1, 1, 5),
        isa.Refi(
            isa.Port.W0, extra=1, init_addr=3, init_addr_sd=1, l1_iter=4, l1_iter_sd=1,
            init_delay=5, init_delay_sd=1, l1_step=5, l1_step_sd=1, l1_delay=4, l1_delay_sd=1,
        ),
        isa.Wait(3, cycle_sd=1),
        isa.Refi(isa.Port.W1),
    ]  # fmt: skip
    found, state = execute({(0, 0): program}, engine)
    # Decoded at 4 with delay 2: 7, then 1 + 2 apart; the wait of 42 ends at 5 + 43.
    assert found.writes[:, [0, 3]].tolist() == [[7, 42], [10, 44], [13, 46], [49, 0]]
    assert state.regs[0, 0, 3:6].tolist() == [42, 2, 2]


@engines
def test_raccu_wraps_at_seven_bits_and_products_are_zero(engine: Engine) -> None:
    program = [
        isa.Raccu(isa.RaccuMode.SUB, 3, 5, 0),
        isa.Raccu(isa.RaccuMode.ADD, 127, 3, 1),
        isa.Raccu(isa.RaccuMode.SHIFT_R, 0, 2, 2, operand1_sd=1),
        isa.Raccu(isa.RaccuMode.SHIFT_L, 100, 1, 3),
        isa.Raccu(isa.RaccuMode.MULT, 30, 40, 4),
    ]
    _, state = execute({(0, 0): program}, engine)
    assert state.regs[0, 0, :5].tolist() == [126, 2, 127, 72, 0]


@engines
def test_loops_that_share_their_end(engine: Engine) -> None:
    program = [
        isa.Loop(endpc=3, iter=2, loopid=0, start=1),
        isa.Loop(endpc=3, iter=3, loopid=1, start=10, step=5, extra=1),
        isa.Wait(0),
    ]
    # The second LOOP has two words: its body starts at 3.
    body = isa.Refi(isa.Port.W0, init_addr=14, init_addr_sd=1)
    found, state = execute({(0, 0): [*program[:2], body, isa.Halt()]}, engine)
    assert found.writes[:, [0, 3]].tolist() == [
        [4, 10], [5, 15], [6, 20], [8, 10], [9, 15], [10, 20],
    ]  # fmt: skip
    assert state.regs[0, 0, 12:].tolist() == [0, 0, 0, 0]


@engines
def test_the_last_word_ends_the_program(engine: Engine) -> None:
    body = isa.Refi(isa.Port.W0, init_addr=15, init_addr_sd=1)
    found, _ = execute({(0, 0): [isa.Loop(endpc=1, iter=3), body]}, engine)
    assert found.writes[:, 0].tolist() == [3]
    # A full store stops one word earlier.
    words = [*encode_all([isa.Jump(61)]), *encode_all([isa.Wait(0)]) * 60]
    words += encode_all([isa.Wait(0), isa.Loop(1, 1), isa.Refi(isa.Port.W0)])
    assert len(words) == 64
    ran = run(RTL, {(0, 0): words}, reset(RTL), engine=engine)
    assert ran.writes.shape[0] == 0
    ran = run(RTL, {(0, 0): words[:61] + words[61:63] + [words[63]]}, reset(RTL), engine=engine)
    assert ran.last_decode == 3


@engines
@pytest.mark.parametrize(
    ("start", "step", "values"),
    [(33, 1, [97, 98, 99]), (5, 63, [5, 4, 3]), (62, 3, [126, 1, 4]), (0, 31, [0, 31, 62])],
)
def test_iterators_are_signed(engine: Engine, start: int, step: int, values: list[int]) -> None:
    program = [
        isa.Loop(endpc=2, iter=3, start=start, step=step, extra=1),
        isa.Wait(15, cycle_sd=1),
        isa.Refi(isa.Port.W0),
    ]
    found, _ = execute({(0, 0): program}, engine)
    # LOOP at 1; three waits of value + 1 edges each.
    assert found.writes[0, 0] == 2 + sum(v + 1 for v in values) + 1


@engines
def test_registers_of_idle_loops_are_zero(engine: Engine) -> None:
    program = [
        isa.Raccu(isa.RaccuMode.ADD, 30, 3, 14),
        isa.Refi(isa.Port.W0, init_addr=14, init_addr_sd=1),
        isa.Refi(isa.Port.W1, init_addr=14, init_addr_sd=1),
    ]
    found, _ = execute({(0, 0): program}, engine)
    assert found.writes[:, 3].tolist() == [33, 0]


@engines
def test_jump_and_branch_without_condition(engine: Engine) -> None:
    program = [
        isa.Jump(2), isa.Refi(isa.Port.W0), isa.Branch(0, 4), isa.Refi(isa.Port.W0, init_addr=1),
        isa.Refi(isa.Port.W0, init_addr=2),
    ]  # fmt: skip
    found, _ = execute({(0, 0): program}, engine)
    assert found.writes[:, [0, 3]].tolist() == [[4, 2]]


@engines
@pytest.mark.parametrize("mode", [1, 2, 3])
@pytest.mark.parametrize(("a", "b"), [(5, 3), (3, 5), (4, 4)])
def test_branch_sees_the_pair_one_edge_before(engine: Engine, mode: int, a: int, b: int) -> None:
    state = reset(RTL)
    state.rf[0, 0, :2] = a, b
    program = [
        isa.Swb(2, isa.Sink.IN0), isa.Swb(2, isa.Sink.IN1, src_port=1), isa.Dpu(isa.Mode.MAX_MIN),
        isa.Refi(isa.Port.R0, init_delay=2), isa.Refi(isa.Port.R1, init_addr=1, init_delay=1),
        isa.Wait(1), isa.Branch(mode, 8), isa.Refi(isa.Port.W0, init_addr=40),
        isa.Refi(isa.Port.W0, init_addr=41),
    ]  # fmt: skip
    # REFI r0 at 4 reads at 7; WAIT at 6 holds until the BRANCH at 8.
    found, _ = execute({(0, 0): program}, engine, state)
    status = (a > b) | (a == b) << 1
    goes_on = bool(mode & status)
    assert [40 in found.writes[:, 3], 41 in found.writes[:, 3]] == [goes_on, True]


def read(row: int, up: int, along: int, delay: int, block_delay: int) -> list[isa.Instruction]:
    """Two rows from a tile into blocks 1 and 2."""
    return [
        isa.Route(1, along, 1, up, 0, row),
        isa.Sram(init_addr=7, init_delay=delay, l1_iter=1, l1_step=3, l1_delay=2, hops=up + along),
        isa.Refi(
            isa.Port.W0, extra=2, init_addr=1, l1_iter=1, init_delay=block_delay, l1_delay=2,
            dimarch=1,
        ),
    ]  # fmt: skip


@engines
@pytest.mark.parametrize("off", [-1, 0, 1])
@pytest.mark.parametrize(
    ("row", "col", "up", "along", "delay"),
    [(0, 0, 0, 0, 0), (1, 5, 0, 0, 0), (0, 2, 1, 0, 3), (1, 3, 1, 2, 15), (0, 6, 0, 1, 1)],
)
def test_memory_rows_arrive(
    engine: Engine, off: int, row: int, col: int, up: int, along: int, delay: int
) -> None:
    state = reset(RTL)
    numbers = np.random.default_rng(0)
    state.sram[...] = numbers.integers(-32768, 32768, state.sram.shape)
    program = read(row, up, along, delay, 4 + row + 2 * (up + along) + delay + off)
    found, _ = execute({(row, col): program}, engine, state)
    start = 2 + row + col
    first = start + 6 + row + 2 * (up + along) + delay + off
    assert sorted(set(found.writes[:, 0].tolist())) == [first, first + 3]
    got = state.rf[row, col].reshape(4, 16)
    assert not got[[0, 3]].any()
    rows = state.sram[up, col + along, [7, 10]]
    assert np.array_equal(got[1:3], rows if off == 0 else np.zeros_like(rows))


@engines
@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("delay", [0, 3])
@pytest.mark.parametrize("off", [0, 1])
def test_memory_writes(engine: Engine, row: int, delay: int, off: int) -> None:
    state = reset(RTL)
    state.rf[row, 2] = np.arange(64)
    program = [
        isa.Route(1, 0, 1, 0, 1, row),
        isa.Sram(rw=1, init_addr=5, init_delay=delay, l1_iter=1, l1_step=2),
        isa.Refi(
            isa.Port.R0, extra=2, init_addr=1, l1_iter=1, init_delay=1 + delay + off, dimarch=1
        ),
    ]
    found, _ = execute({(row, 2): program}, engine, state)
    start = 2 + row + 2
    assert found.sram_writes.tolist() == [[start + 4 + delay + k, 1, 2, 5 + 2 * k] for k in (0, 1)]
    want = [np.arange(16, 32), np.arange(32, 48)] if off == 0 else [np.zeros(16), np.arange(16, 32)]
    assert np.array_equal(state.sram[0, 2, [5, 7]], want)
    assert found.counters["sram_bits_written"] == 512


@engines
def test_a_second_read_of_a_busy_tile_is_lost(engine: Engine) -> None:
    state = reset(RTL)
    state.sram[0, 0] = 1
    late = isa.Sram(l1_iter=3, l1_delay=1)
    block = isa.Refi(isa.Port.W0, extra=2, l1_iter=3, init_delay=6, l1_delay=1, dimarch=1)
    first = [isa.Route(1, 0, 1, 0, 0, 0), isa.Sram(l1_iter=9)]
    second = [isa.Route(1, 0, 1, 0, 0, 1), isa.Wait(2), late, block]
    found, _ = execute({(0, 0): first, (1, 0): second}, engine, state)
    assert found.counters["lost_patterns"] == 1
    # Its blocks pass at 14, 16, 18, 20; the first reader's rows are on the column until 17.
    assert [int(block.any()) for block in state.rf[1, 0].reshape(4, 16)] == [1, 1, 0, 0]


@engines
@pytest.mark.parametrize("write", [0, 1])
@pytest.mark.parametrize(("gap", "lost"), [(1, 1), (2, 0)])
def test_a_tile_takes_the_next_pattern_two_edges_after_the_last(
    engine: Engine, write: int, gap: int, lost: int
) -> None:
    pattern = isa.Sram(rw=write, l1_iter=3, l1_delay=1, init_delay=2)
    program = [isa.Route(1, 0, 1, 0, write), pattern, isa.Wait(2 + 6 + gap - 2), pattern]
    found, _ = execute({(0, 0): program}, engine)
    assert found.counters.get("lost_patterns", 0) == lost


@engines
def test_switchbox_reaches_ten_cells_at_once(engine: Engine) -> None:
    state = reset(RTL)
    state.rf[1, 3, :4] = 11, 22, 33, 44
    programs = {
        (1, 3): [isa.Wait(20), isa.Refi(isa.Port.R0, l1_iter=3, init_delay=9)],
    }
    for row in range(2):
        for col in range(1, 6):
            other = int(row != 1)
            copy = [
                isa.Swb(3 - col + 2, isa.Sink.W0, 0, 0, 1, other),
                isa.Wait(20 + 1 + 3 - row - col - 1),
                isa.Refi(isa.Port.W0, init_addr=8, l1_iter=3, init_delay=8),
            ]
            if (row, col) == (1, 3):
                copy = [copy[0], isa.Wait(18), isa.Refi(isa.Port.R0, l1_iter=3, init_delay=9)]
                copy.append(isa.Refi(isa.Port.W0, init_addr=8, l1_iter=3, init_delay=8))
            programs[row, col] = copy
    found, _ = execute(programs, engine, state)
    copies = {tuple(state.rf[r, c, 8:12]) for r in range(2) for c in range(1, 6)}
    assert copies == {(11, 22, 33, 44)}
    assert len(set(found.writes[:, 0].tolist())) == 4


@engines
def test_a_connection_is_live_two_edges_after_its_decode(engine: Engine) -> None:
    state = reset(RTL)
    state.rf[0, 0, 0] = 9
    program = [
        isa.Refi(isa.Port.R0, extra=1, l1_iter=7, l1_step=0),
        isa.Refi(isa.Port.W0, init_addr=32, l1_iter=6),
        isa.Swb(2, isa.Sink.W0),
    ]
    found, _ = execute({(0, 0): program}, engine, state)
    # SWB is decoded at edge 3.
    assert found.writes[:, [0, 4]].tolist() == [[e, 9 if e >= 5 else 0] for e in range(3, 10)]


@engines
def test_state_goes_on_to_the_next_segment(engine: Engine) -> None:
    state = reset(RTL)
    state.rf[0, 0, :3] = 3, 4, 5
    setup = [isa.Swb(2, isa.Sink.IN0), isa.Swb(2, isa.Sink.W1, 1), isa.Dpu(isa.Mode.SUM_ACC)]
    execute({(0, 0): setup}, engine, state)
    go = [isa.Refi(isa.Port.R0, l1_iter=2), isa.Refi(isa.Port.W1, init_addr=8, l1_iter=2)]
    found, _ = execute({(0, 0): go}, engine, state)
    assert found.writes[:, 4].tolist() == [3, 7, 12]
    found, _ = execute({(0, 0): go}, engine, state)
    assert found.writes[:, 4].tolist() == [15, 19, 24]
