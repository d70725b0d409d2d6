"""What the datapath computes, against formulas written here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from silago_programs import EXTREME, fabric

from mohaq.backends.silago.isa import instructions as isa
from mohaq.backends.silago.isa.instructions import Bw, Change, Mode
from mohaq.backends.silago.isa.words import encode_all
from mohaq.backends.silago.simulator.run import ENGINES, Engine, run
from mohaq.backends.silago.simulator.state import reset

values = st.one_of(st.sampled_from(EXTREME), st.integers(-32768, 32767))
pairs = st.lists(st.tuples(values, values), min_size=1, max_size=12)
BITS = {Bw.INT16: 16, Bw.Q4_11: 16, Bw.INT8X2: 8, Bw.INT4X4: 4}


def sat(value: int, bits: int) -> int:
    """Saturate."""
    return min(max(value, -(1 << (bits - 1))), (1 << (bits - 1)) - 1)


def lanes(word: int, bits: int) -> list[int]:
    """Signed lanes."""
    parts = [(word >> s) % (1 << bits) for s in range(0, 16, bits)]
    return [p - (1 << bits) if p >= 1 << (bits - 1) else p for p in parts]


def joined(parts: list[int], bits: int) -> int:
    """A signed word of lanes."""
    word = sum((p % (1 << bits)) << (bits * n) for n, p in enumerate(parts))
    return word - 65536 if word >= 32768 else word


def execute(
    name: str,
    engine: Engine,
    dpu: isa.Dpu,
    bw: int,
    operands: list[tuple[int, int]],
    second: bool = False,
) -> list[int]:
    """Results of a mode on pairs read from r0 and r1, stored through w0."""
    made_for = fabric(name)
    state = reset(made_for)
    for n, (a, b) in enumerate(operands):
        state.rf[0, 0, n], state.rf[0, 0, 16 + n] = a, b
    last = len(operands) - 1
    first = (4, 5) if second else (2, 3)
    program = [
        isa.Swb(2, first[0]),
        isa.Swb(2, first[1], src_port=1),
        isa.Swb(2, isa.Sink.W0, src_block=1, src_port=int(second)),
        isa.BwConfig(bw),
        dpu,
        isa.Refi(isa.Port.R0, l1_iter=last, init_delay=2),
        isa.Refi(isa.Port.R1, init_addr=16, l1_iter=last, init_delay=1),
        isa.Refi(isa.Port.W0, init_addr=32, l1_iter=last, init_delay=1),
    ]
    run(made_for, {(0, 0): encode_all(program)}, state, engine=engine)
    return [int(v) for v in state.rf[0, 0, 32 : 33 + last]]


def one(mode: Mode, a: int, b: int, bits: int) -> int:
    """A mode without memory on one lane, before saturation."""
    return {
        Mode.ADD: a + b,
        Mode.SUBT: a + sat(-b, bits),
        Mode.MULT: a * b,
        Mode.MAX_MIN: max(a, b),
        Mode.RELU: max(a, 0),
    }[mode]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([Mode.ADD, Mode.SUBT, Mode.MULT, Mode.MAX_MIN, Mode.RELU]),
    st.sampled_from(list(Bw)), pairs, st.sampled_from(ENGINES),
)  # fmt: skip
def test_modes_without_memory(
    mode: Mode, bw: Bw, operands: list[tuple[int, int]], engine: Engine
) -> None:
    if mode != Mode.MULT and BITS[bw] < 16:
        bw = Bw.INT16
    bits = BITS[bw]
    want = []
    for a, b in operands:
        parts = [one(mode, x, y, bits) for x, y in zip(lanes(a, bits), lanes(b, bits), strict=True)]
        if bw == Bw.Q4_11 and mode == Mode.MULT:
            parts = [p >> 12 for p in parts]
        want.append(joined([sat(p, bits) for p in parts], bits))
    assert execute("silago1-nn", engine, isa.Dpu(mode), bw, operands) == want


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([Mode.MAC, Mode.SUM_ACC]), st.sampled_from(list(Bw)), pairs,
    st.sampled_from(ENGINES), st.sampled_from(["silago1-nn", "silago-mohaq"]), st.integers(0, 31),
)  # fmt: skip
def test_accumulators_saturate_at_every_add(
    mode: Mode, bw: Bw, operands: list[tuple[int, int]], engine: Engine, name: str, shift: int
) -> None:
    if mode == Mode.SUM_ACC and BITS[bw] < 16:
        bw = Bw.INT16
    bits = BITS[bw]
    wide = name == "silago-mohaq"
    acc_bits = 32 if wide or bits == 16 else 2 * bits
    sums = [0] * (16 // bits)
    want = []
    for a, b in operands:
        terms = zip(sums, lanes(a, bits), lanes(b, bits), strict=True)
        sums = [sat(s + (x * y if mode == Mode.MAC else x), acc_bits) for s, x, y in terms]
        amount = (shift if wide else 0) + (12 if bw == Bw.Q4_11 and mode == Mode.MAC else 0)
        want.append(joined([sat(s >> amount, bits) for s in sums], bits))
    dpu = isa.Dpu(mode, shift=shift if wide else 0)
    assert execute(name, engine, dpu, bw, operands) == want


@settings(max_examples=60, deadline=None)
@given(pairs, st.sampled_from(ENGINES))
def test_subt_abs_and_output_abs_leave_the_smallest(
    operands: list[tuple[int, int]], engine: Engine
) -> None:
    def absolute(v: int) -> int:
        return v if v == -32768 else abs(v)

    found = execute("silago1-rtl", engine, isa.Dpu(Mode.SUBT_ABS), Bw.INT16, operands)
    assert found == [absolute(sat(a + sat(-b, 16), 16)) for a, b in operands]
    dpu = isa.Dpu(Mode.ADD, io_change=Change.ABS_OUT)
    found = execute("silago1-rtl", engine, dpu, Bw.INT16, operands)
    assert found == [absolute(sat(a + b, 16)) for a, b in operands]


@settings(max_examples=60, deadline=None)
@given(pairs, st.sampled_from(ENGINES), st.sampled_from([Change.NEGATE_IN0, Change.NEGATE_IN1]))
def test_negation_saturates(
    operands: list[tuple[int, int]], engine: Engine, change: Change
) -> None:
    found = execute("silago1-rtl", engine, isa.Dpu(Mode.MULT, io_change=change), Bw.INT16, operands)
    if change == Change.NEGATE_IN0:
        assert found == [sat(sat(-a, 16) * b, 16) for a, b in operands]
    else:
        assert found == [sat(a * sat(-b, 16), 16) for a, b in operands]


@pytest.mark.parametrize("engine", ENGINES)
def test_sums_do_not_work_lane_by_lane(engine: Engine) -> None:
    """The adder gets whole words in its lowest lane; the verifier refuses it."""
    operands = [(0x0102, 0x0101), (0x0001, 0x0002), (-1, 0)]
    found = execute("silago1-nn", engine, isa.Dpu(Mode.ADD), Bw.INT8X2, operands)
    # 0x0203 saturates in lane 0; lane 1 holds the sums of the signs.
    assert found == [0x007F, 0x0003, -1]


@pytest.mark.parametrize("engine", ENGINES)
def test_unrepaired_lanes_show_slices_of_the_register(engine: Engine) -> None:
    made_for = replace(fabric("silago1-rtl"), repairs=frozenset({"bw_latch"}))
    state = reset(made_for)
    state.rf[0, 0, 0], state.rf[0, 0, 1] = joined([3, 2], 8), joined([100, 4], 8)
    program = [
        isa.Swb(2, isa.Sink.IN0), isa.Swb(2, isa.Sink.IN1, src_port=1),
        isa.Swb(2, isa.Sink.W0, src_block=1), isa.BwConfig(Bw.INT8X2), isa.Dpu(Mode.MULT),
        isa.Refi(isa.Port.R0, init_delay=2), isa.Refi(isa.Port.R1, init_addr=1, init_delay=1),
        isa.Refi(isa.Port.W0, init_addr=32, init_delay=1),
    ]  # fmt: skip
    run(made_for, {(0, 0): encode_all(program)}, state, engine=engine)
    # Lane 0: 300 saturates. Lane 1: 8 fits, but bits 15..8 of the register are 300 >> 8.
    assert lanes(int(state.rf[0, 0, 32]), 8) == [127, 1]


@pytest.mark.parametrize("engine", ENGINES)
def test_subtracting_the_smallest_is_one_short(engine: Engine) -> None:
    dpu = isa.Dpu(Mode.SUBT)
    assert execute("silago1-rtl", engine, dpu, Bw.INT16, [(-1, -32768)]) == [32766]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(values, st.integers(0, 15)), min_size=1, max_size=9),
       st.sampled_from(ENGINES))  # fmt: skip
def test_shifts(operands: list[tuple[int, int]], engine: Engine) -> None:
    left = execute("silago1-rtl", engine, isa.Dpu(Mode.SHIFT_L), Bw.INT16, operands)
    assert left == [sat(a << b, 16) for a, b in operands]
    right = execute("silago1-rtl", engine, isa.Dpu(Mode.SHIFT_R), Bw.INT16, operands)
    assert right == [a >> b for a, b in operands]


@settings(max_examples=40, deadline=None)
@given(pairs, st.sampled_from(ENGINES), st.sampled_from([Mode.ADD, Mode.SUBT, Mode.MAC]))
def test_second_lane(operands: list[tuple[int, int]], engine: Engine, mode: Mode) -> None:
    found = execute("silago1-rtl", engine, isa.Dpu(mode), Bw.INT16, operands, second=True)
    assert found == execute("silago1-rtl", engine, isa.Dpu(mode), Bw.INT16, operands)


@settings(max_examples=40, deadline=None)
@given(pairs, values, st.sampled_from(ENGINES),
       st.sampled_from([Mode.ADD_CONST, Mode.MULT_CONST, Mode.AXPY, Mode.MAX_MIN_CONST,
                        Mode.MAC_INTER]))  # fmt: skip
def test_constant_modes(
    operands: list[tuple[int, int]], constant: int, engine: Engine, mode: Mode
) -> None:
    made_for = fabric("silago1-rtl")
    state = reset(made_for)
    for n, (a, b) in enumerate(operands):
        state.rf[0, 0, n], state.rf[0, 0, 16 + n] = a, b
    state.rf[0, 0, 63] = constant
    last = len(operands) - 1
    program = [
        isa.Swb(2, isa.Sink.IN0), isa.Swb(2, isa.Sink.IN1, src_port=1),
        isa.Swb(2, isa.Sink.W0, src_block=1),
        isa.Refi(isa.Port.R0, init_addr=63, init_delay=2), isa.Dpu(Mode.LD_IR), isa.Dpu(mode),
        isa.Wait(0),
        isa.Refi(isa.Port.R0, l1_iter=last, init_delay=3),
        isa.Refi(isa.Port.R1, init_addr=16, l1_iter=last, init_delay=2),
        isa.Refi(isa.Port.W0, init_addr=32, l1_iter=last, init_delay=2),
    ]  # fmt: skip
    run(made_for, {(0, 0): encode_all(program)}, state, engine=engine)
    acc, want = 0, []
    for a, b in operands:
        acc = sat(acc + a * constant, 32)
        want.append(sat({
            Mode.ADD_CONST: a + constant, Mode.MULT_CONST: a * constant,
            Mode.AXPY: a * constant + b, Mode.MAX_MIN_CONST: max(a, constant), Mode.MAC_INTER: acc,
        }[mode], 16))  # fmt: skip
    assert [int(v) for v in state.rf[0, 0, 32 : 33 + last]] == want


@pytest.mark.parametrize("engine", ENGINES)
def test_running_extremes_start_at_zero(engine: Engine) -> None:
    operands = [(-5, 0), (7, 0), (3, 0), (-9, 0)]
    dpu = isa.Dpu(Mode.MAX_MIN_ACC)
    assert execute("silago1-rtl", engine, dpu, Bw.INT16, operands) == [0, 7, 7, 7]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("name", "edges"), [("silago1-rtl", [9]), ("silago1-nn", list(range(9, 16)))]
)
def test_width_is_latched_by_the_repair_only(engine: Engine, name: str, edges: list[int]) -> None:
    made_for = fabric(name)
    state = reset(made_for)
    state.rf[0, 0, 0], state.rf[0, 0, 1] = 2048, 2048
    program = [
        isa.Swb(2, isa.Sink.IN0), isa.Swb(2, isa.Sink.IN1, src_port=1),
        isa.Swb(2, isa.Sink.W0, src_block=1), isa.Dpu(Mode.MULT),
        isa.Refi(isa.Port.R0, extra=1, l1_iter=9, l1_step=0),
        isa.Refi(isa.Port.R1, extra=1, init_addr=1, l1_iter=9, l1_step=0),
        isa.Refi(isa.Port.W0, init_addr=32, l1_iter=7), isa.BwConfig(Bw.Q4_11),
    ]  # fmt: skip
    found = run(made_for, {(0, 0): encode_all(program)}, state, engine=engine)
    # BW_CONFIG is decoded at edge 8: results shown in the cycle ending 9 are shifted.
    assert found.writes[found.writes[:, 4] == 1024][:, 0].tolist() == edges


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([8, 4]), st.integers(2, 10), st.integers(0, 1 << 30),
       st.sampled_from(ENGINES))  # fmt: skip
def test_packed_products(bits: int, depth: int, seed: int, engine: Engine) -> None:
    """Lane = output row; activations are repeated in all lanes."""
    numbers = np.random.default_rng(seed)
    low, high = -(1 << (bits - 1)), 1 << (bits - 1)
    weights = numbers.integers(low, high, (16 // bits, depth))
    x = numbers.integers(low, high, depth)
    operands = [
        (joined(weights[:, k].tolist(), bits), joined([int(x[k])] * (16 // bits), bits))
        for k in range(depth)
    ]
    bw = Bw.INT8X2 if bits == 8 else Bw.INT4X4
    last = execute("silago1-nn", engine, isa.Dpu(Mode.MAC), bw, operands)[-1]
    sums = [0] * (16 // bits)
    for k in range(depth):
        sums = [
            sat(s + int(w) * int(x[k]), 2 * bits) for s, w in zip(sums, weights[:, k], strict=True)
        ]
    assert lanes(last, bits) == [sat(s, bits) for s in sums]
