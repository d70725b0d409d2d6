"""Plans of hand-written qnn programs against the interpreter: every operation, big sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Region, SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.dialects.types import DYNAMIC, element_of, int_tensor
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.parameters import ParameterStore, storage_dtype, tensor_type
from mohaq.compiler.program import ENTRY, Program
from mohaq.compiler.search.frame_code import gemm_dtype
from mohaq.compiler.search.frames import Ragged
from mohaq.compiler.search.plan import ScanStep, compile_plan

LENGTHS = (5, 1, 8)


class Draft:
    """A qnn program under construction."""

    def __init__(self, features: int, bits: int = 16, extra: int = 0) -> None:
        kind = int_tensor([DYNAMIC, DYNAMIC, features], bits)
        self.block = Block(arg_types=[kind] * (1 + extra))
        self.declared: list[DeclareOp | qnn.TableOp | qnn.PiecewiseOp] = []
        self.store = ParameterStore()

    @property
    def x(self) -> SSAValue:
        return self.block.args[0]

    def add(self, op: object) -> SSAValue:
        self.block.add_op(op)  # type: ignore[arg-type]
        return op.results[0]  # type: ignore[attr-defined, no-any-return]

    def parameter(self, name: str, values: np.ndarray, width: int) -> SSAValue:
        array = values.astype(storage_dtype(width))
        self.store[name] = array
        self.declared.append(DeclareOp(name, tensor_type(array, width)))
        return self.add(LoadOp(name, tensor_type(array, width)))

    def matmul(self, x: SSAValue, name: str, weight: np.ndarray, width: int, top: int) -> SSAValue:
        bound = int(np.abs(weight).sum(axis=1).max()) * top
        loaded = self.parameter(name, weight, width)
        return self.add(qnn.MatmulOp(x, loaded, qnn.AccAttr.proved(64, bound)))

    def finish(self, result: SSAValue) -> Program:
        self.block.add_op(ReturnOp(result))
        function = FuncOp(
            ENTRY, ([a.type for a in self.block.args], [result.type]), Region(self.block)
        )
        program = Program(ModuleOp([*self.declared, function]), self.store)
        program.verify()
        return program


def check(
    program: Program, features: int, bits: int = 16, seed: int = 0, compile_after: int = 1 << 62
) -> None:
    """Compare a plan with the interpreter on drawn frames, a third of them at the ends."""
    rng = np.random.default_rng(seed)
    low, high = -(1 << (bits - 1)), 1 << (bits - 1)
    parts = [rng.integers(low, high, size=(t, features)) for t in LENGTHS]
    for part in parts:
        ends = rng.choice([low, high - 1], part.shape)
        np.copyto(part, ends, where=rng.random(part.shape) < 1 / 3)
    wanted = [run_integer(program, [x[:, None]])[0][:, 0] for x in parts]
    batch = Ragged.of(LENGTHS)
    plan = compile_plan(program, compile_after=compile_after)
    found = batch.split(plan.run(np.concatenate(parts).astype(np.int16), batch))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("rows", "width", "kind"),
    [(3, 4, np.float32), (3, 16, np.float64), (40, 16, np.float64)],
)
def test_products(rows: int, width: int, kind: type) -> None:
    rng = np.random.default_rng(1)
    draft = Draft(7, 8)
    limit = 1 << (width - 1)
    weight = rng.integers(-limit, limit, size=(rows, 7))
    weight[0] = -limit
    bound = int(np.abs(weight).sum(axis=1).max()) * 128
    assert gemm_dtype(bound) == kind
    check(draft.finish(draft.matmul(draft.x, "w", weight, width, 128)), 7, 8)


@given(
    bits=st.sampled_from([4, 8, 16]),
    width=st.sampled_from([4, 16]),
    scales=st.sampled_from([1, 2, 32]),
    biased=st.booleans(),
    to=st.sampled_from([4, 8, 16]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_products_rescaled_while_they_are_joined(
    bits: int, width: int, scales: int, biased: bool, to: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    draft = Draft(9, bits)
    limit = 1 << (width - 1)
    weight = rng.integers(-limit, limit, size=(32, 9))
    weight[3] = -limit
    total = draft.matmul(draft.x, "w", weight, width, 1 << (bits - 1))
    if biased:
        bias = draft.parameter("b", rng.integers(-30000, 30000, 32), 16)
        total = draft.add(qnn.BiasOp(total, bias, *[(0, 2), (2, 0), (0, 0)][seed % 3]))
    shift = bits + width + 15 - to
    multipliers = rng.integers(1 << 14, 1 << 15, scales).tolist()
    shifts = rng.integers(max(shift - 2, 0), shift + 1, scales).tolist()
    result = draft.add(qnn.RequantizeOp(total, multipliers, shifts, to))
    check(draft.finish(result), 9, bits, seed)


def test_sums_beyond_doubles_are_exact() -> None:
    """Weights of 40 bits: neither float type would do."""
    rng = np.random.default_rng(1)
    draft = Draft(6)
    weight = rng.integers(-(1 << 39), 1 << 39, size=(4, 6))
    total = draft.matmul(draft.x, "w", weight, 40, 1 << 15)
    assert gemm_dtype(int(np.abs(weight).sum(axis=1).max()) << 15) == np.int64
    check(draft.finish(total), 6)


def test_gemm_types_at_their_borders() -> None:
    assert gemm_dtype((1 << 24) - 1) == np.float32
    assert gemm_dtype(1 << 24) == np.float64
    assert gemm_dtype((1 << 53) - 1) == np.float64
    assert gemm_dtype(1 << 53) == np.int64


def test_split_products_recombine() -> None:
    rng = np.random.default_rng(2)
    draft = Draft(9)
    weight = rng.integers(-128, 128, size=(5, 9))
    split = qnn.SplitOp(draft.x)
    draft.block.add_op(split)
    high = draft.matmul(split.high, "w", weight, 8, 128)
    bound = int(np.abs(weight).sum(axis=1).max()) * 255
    loaded = draft.add(LoadOp("w", draft.store["w"].dtype and tensor_type(draft.store["w"], 8)))
    low = draft.add(qnn.MatmulOp(split.low, loaded, qnn.AccAttr.proved(64, bound)))
    total = draft.add(qnn.AddOp(draft.add(qnn.ShlOp(high, 8)), low))
    check(draft.finish(draft.add(qnn.RequantizeOp(total, [3, 5, 7, 9, 11], [9] * 5, 16))), 9)


def test_framewise_operations() -> None:
    draft = Draft(8)
    draft.declared.append(qnn.TableOp("curve", [((i * 7919) % 65536) - 32768 for i in range(257)]))
    left = draft.add(qnn.SliceOp(draft.x, 0, 4))
    right = draft.add(qnn.SliceOp(draft.x, 4, 4))
    product = draft.add(qnn.MulOp(left, right))
    shifted = draft.add(qnn.RsubOp(draft.add(qnn.RequantizeOp(product, [1], [15], 16)), 32767))
    clamped = draft.add(qnn.SaturateOp(shifted, 16))
    looked = draft.add(qnn.LookupOp(clamped, "curve"))
    bias = draft.parameter("b", np.array([5, -3, 2, 0]), 16)
    total = draft.add(qnn.BiasOp(looked, bias, 0, 3))
    narrow = draft.add(qnn.RequantizeOp(total, [3, 1], [2, 0], 16))
    joined = draft.add(qnn.ConcatOp([narrow, left]))
    check(draft.finish(joined), 8)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_scan_bodies(direction: str) -> None:
    """Slices, joins, tables, constants, two outputs and states that change places."""
    draft = Draft(6)
    draft.declared.append(qnn.TableOp("curve", [((i * 7919) % 65536) - 32768 for i in range(257)]))
    vector = draft.parameter("v", np.array([3, -7, 11]), 16)
    half = int_tensor([DYNAMIC, 3], 16)
    body = Block(arg_types=[TensorType(element_of(draft.x), [DYNAMIC, 6]), half, half])
    x, first, second = body.args

    def add(op: object) -> SSAValue:
        body.add_op(op)  # type: ignore[arg-type]
        return op.results[0]  # type: ignore[attr-defined, no-any-return]

    a, b = add(qnn.SliceOp(x, 0, 3)), add(qnn.SliceOp(x, 3, 3))
    term = add(qnn.RequantizeOp(add(qnn.MulOp(first, vector)), [5, 6, 7], [4, 5, 6], 16))
    total = add(qnn.SaturateOp(add(qnn.AddOp(term, add(qnn.BiasOp(a, b, 0, 2)))), 16))
    looked = add(qnn.LookupOp(total, "curve"))
    other = add(qnn.SaturateOp(add(qnn.ShlOp(add(qnn.RsubOp(second, 100)), 1)), 16))
    joined = add(qnn.ConcatOp([looked, other]))
    body.add_op(qnn.YieldOp([joined, other, second, looked]))
    scan = qnn.ScanOp(
        [draft.x],
        [],
        body,
        [
            int_tensor([DYNAMIC, DYNAMIC, 6], 16),
            int_tensor([DYNAMIC, DYNAMIC, 3], 16),
            half,
            half,
        ],
        direction,
    )
    draft.block.add_op(scan)
    check(draft.finish(draft.add(qnn.ConcatOp([scan.outs[0], scan.outs[1]]))), 6)


@pytest.mark.parametrize("steep", [1, 30_000, 1 << 20])
@pytest.mark.parametrize("falling", [False, True])
def test_compiled_gates(steep: int, falling: bool) -> None:
    """Gates from 0 to 1 or beyond, states at their ends, vectors that take a multiplier or not."""
    draft = Draft(9)
    rise = np.linspace(-32768 if falling else 0, 32767, 257).astype(int)
    draft.declared.append(qnn.TableOp("gate", rise.tolist()))
    vector = draft.parameter("v", np.array([-32768, 32767, 9]), 16)
    half = int_tensor([DYNAMIC, 3], 16)
    body = Block(arg_types=[half] * 4)
    value, one, two, state = body.args

    def add(op: object) -> SSAValue:
        body.add_op(op)  # type: ignore[arg-type]
        return op.results[0]  # type: ignore[attr-defined, no-any-return]

    shift = 15 + (steep - 1).bit_length()
    term = add(qnn.RequantizeOp(add(qnn.MulOp(vector, state)), [steep], [shift], 16))
    forget, reset = (
        add(qnn.LookupOp(add(qnn.SaturateOp(add(qnn.AddOp(part, term)), 16)), "gate"))
        for part in (one, two)
    )
    rest = add(qnn.RsubOp(forget, 1 << 15))
    blend = qnn.AddOp(add(qnn.MulOp(forget, state)), add(qnn.MulOp(rest, value)))
    after = add(qnn.RequantizeOp(add(blend), [1], [15], 16))
    out = add(qnn.RequantizeOp(add(qnn.MulOp(reset, after)), [1], [15], 16))
    body.add_op(qnn.YieldOp([out, after]))
    parts = [draft.add(qnn.SliceOp(draft.x, 3 * i, 3)) for i in range(3)]
    scan = qnn.ScanOp(parts, [], body, [int_tensor([DYNAMIC, DYNAMIC, 3], 16), half])
    draft.block.add_op(scan)
    program = draft.finish(scan.outs[0])
    assert any(isinstance(s, ScanStep) and s.code is not None for s in compile_plan(program).steps)
    for seed in range(5):
        check(program, 9, seed=seed, compile_after=0)


def test_wide_states() -> None:
    """A running sum of 40 bits: neither inputs nor outputs fit 16."""
    draft = Draft(2)
    wide = int_tensor([DYNAMIC, 2], 40)
    body = Block(arg_types=[TensorType(element_of(draft.x), [DYNAMIC, 2]), wide])
    total = qnn.AddOp(*body.args)
    held = qnn.SaturateOp(total.result, 40)
    body.add_ops([total, held, qnn.YieldOp([held.result, held.result])])
    scan = qnn.ScanOp([draft.x], [], body, [int_tensor([DYNAMIC, DYNAMIC, 2], 40), wide])
    draft.block.add_op(scan)
    check(draft.finish(scan.outs[0]), 2)


def test_blocks_of_rows_join() -> None:
    rng = np.random.default_rng(3)
    draft = Draft(3)
    total = draft.matmul(draft.x, "w", rng.integers(-8, 8, size=(2, 3)), 4, 1 << 15)
    program = draft.finish(draft.add(qnn.RequantizeOp(total, [1], [4], 16)))
    x = rng.integers(-32768, 32768, size=(1500, 3))
    found = compile_plan(program).run(x.astype(np.int16), Ragged.of([1500]))
    np.testing.assert_array_equal(found, run_integer(program, [x[:, None]])[0][:, 0])


def test_states_as_inputs_are_refused() -> None:
    draft = Draft(3, extra=1)
    with pytest.raises(MohaqError, match="one sequence input"):
        compile_plan(draft.finish(draft.x))


def curve() -> qnn.PiecewiseOp:
    lines = {"knots": [0, 700, 9000], "slopes": [900, -300, 0], "offsets": [7, 500, -3]}
    return qnn.PiecewiseOp("curve", **lines, fraction=11, input_shift=1, mirror=40)


def test_shifts_saturating_products_and_piecewise_functions() -> None:
    """Sums that clamp on the way, beside sums that cannot; in frames and inside a loop."""
    rng = np.random.default_rng(5)
    draft = Draft(9)
    weight = rng.integers(-32768, 32768, size=(6, 9))
    weight[1] = [32767] * 5 + [-32768] * 4  # clamps above, then comes back
    weight[2] = 1
    bound = int(np.abs(weight).sum(axis=1).max()) << 15
    loaded = draft.parameter("w", weight, 16)
    acc = qnn.AccAttr.saturating(32, bound)
    assert acc.saturates
    sums = draft.add(qnn.MatmulOp(draft.x, loaded, acc))
    shifted = draft.add(qnn.ShrOp(sums, [12, 15, -3], 16))
    draft.declared.append(curve())
    looked = draft.add(qnn.LookupOp(shifted, "curve"))
    square = draft.parameter("r", rng.integers(-32768, 32768, size=(6, 6)), 16)
    kind = int_tensor([DYNAMIC, 6], 16)
    body = Block(arg_types=[kind, kind])

    def put(op: object) -> SSAValue:
        body.add_op(op)  # type: ignore[arg-type]
        return op.results[0]  # type: ignore[attr-defined, no-any-return]

    step, state = body.args
    bound = 6 << 30
    inner = put(qnn.MatmulOp(state, square, qnn.AccAttr.saturating(32, bound)))
    total = put(qnn.AddOp(put(qnn.ShrOp(inner, [14, 16, 20], 16)), step))
    after = put(qnn.SaturateOp(total, 16))
    shown = put(qnn.LookupOp(put(qnn.ShrOp(after, [-1], 16)), "curve"))
    body.add_op(qnn.YieldOp([shown, after]))
    sequence = int_tensor([DYNAMIC, DYNAMIC, 6], 16)
    check(draft.finish(draft.add(qnn.ScanOp([looked], [], body, [sequence, kind]))), 9)
