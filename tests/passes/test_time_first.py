"""time-first and conv-to-linear: the same function, and transposes where they belong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from programs import calibrated, sru, tensor
from xdsl.ir import SSAValue
from xdsl.transforms.canonicalize import CanonicalizePass

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import DYNAMIC, shape_of
from mohaq.compiler.driver.prepare import prepare
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program
from mohaq.passes.conv_to_linear import conv_to_linear
from mohaq.passes.time_first import time_first

SWAP = (1, 0, 2)
SIZE = 4


def parameter(net: Network, rng: np.random.Generator, name: str, *shape: int) -> SSAValue:
    return net.parameter(name, tensor(rng, *shape))


def norm(net: Network, rng: np.random.Generator, name: str, x: SSAValue, axis: int) -> SSAValue:
    size = shape_of(x)[axis]
    gamma, beta, mean = (parameter(net, rng, f"{name}.{t}", size) for t in "gbm")
    var = net.parameter(f"{name}.v", np.abs(tensor(rng, size)) + 0.3)
    return net.add(nn.BatchNormOp(name, x, gamma, beta, mean, var, axis=axis))


def layer_norm(net: Network, rng: np.random.Generator, name: str, x: SSAValue) -> SSAValue:
    gamma = parameter(net, rng, f"{name}.g", SIZE)
    return net.add(nn.LayerNormOp(name, x, gamma, None))


def around(
    net: Network, rng: np.random.Generator, name: str, x: SSAValue, direction: str
) -> SSAValue:
    """A recurrent layer of a batch-first model."""
    inner = net.add(nn.TransposeOp(x, SWAP))
    hidden = SIZE // 2 if direction == "bidirectional" else SIZE
    h, _ = sru(net, rng, name, inner, SIZE, hidden, direction=direction)
    return net.add(nn.TransposeOp(h, SWAP))


def conv(net: Network, rng: np.random.Generator, name: str, x: SSAValue) -> SSAValue:
    """A convolution of a batch-first model, with kernel 1, a norm and a function."""
    turned = net.add(nn.TransposeOp(x, (0, 2, 1)))
    w, b = parameter(net, rng, f"{name}.w", SIZE, SIZE, 1), parameter(net, rng, f"{name}.b", SIZE)
    y = norm(net, rng, f"{name}.n", net.add(nn.Conv1dOp(name, turned, w, b)), 1)
    return net.add(nn.TransposeOp(net.add(nn.UnaryOp("relu", y)), (0, 2, 1)))


Step = Callable[[Network, np.random.Generator, str, SSAValue, SSAValue], SSAValue]
"""Of [B, T, SIZE] and an earlier value of this shape, one more."""

STEPS: dict[str, Step] = {
    "forward": lambda n, r, s, x, _: around(n, r, s, x, "forward"),
    "both": lambda n, r, s, x, _: around(n, r, s, x, "bidirectional"),
    "linear": lambda n, r, s, x, _: n.linear(s, x, tensor(r, SIZE, SIZE), tensor(r, SIZE)),
    "relu": lambda n, _r, _s, x, _: n.add(nn.UnaryOp("relu", x)),
    "softmax": lambda n, _r, _s, x, _: n.add(nn.SoftmaxOp(x)),
    "over time": lambda n, _r, _s, x, _: n.add(nn.SoftmaxOp(x, 1)),
    "batch norm": lambda n, r, s, x, _: norm(n, r, s, x, 2),
    "layer norm": lambda n, r, s, x, _: layer_norm(n, r, s, x),
    "scale": lambda n, r, s, x, _: n.add(nn.BinaryOp("mul", parameter(n, r, s, SIZE), x)),
    "table": lambda n, r, s, x, _: n.add(nn.BinaryOp("add", x, parameter(n, r, s, 3, 1, SIZE))),
    "residual": lambda n, _r, _s, x, old: n.add(nn.BinaryOp("add", x, old)),
    "flip": lambda n, _r, _s, x, _: n.add(nn.FlipOp(x, 1)),
    "pad": lambda n, _r, _s, x, _: n.add(
        nn.SliceOp(n.add(nn.PadOp(x, 1, 2, 0, mode="edge")), 1, 2)
    ),
    "halves": lambda n, _r, _s, x, old: n.add(
        nn.ConcatOp([n.add(nn.SliceOp(x, 2, 0, 2)), n.add(nn.SliceOp(old, 2, 2))], 2)
    ),
    "conv": lambda n, r, s, x, _: conv(n, r, s, x),
    "square": lambda n, _r, _s, x, _: n.add(nn.BinaryOp("mul", x, x)),
    "swapped": lambda n, r, s, x, _: sru(n, r, s, x, SIZE, SIZE, direction="forward")[0],
}


def chain(kinds: list[tuple[str, int]], seed: int, returned: list[int]) -> Program:
    """Steps one after the other; each may also read a value from some steps back."""
    rng = np.random.default_rng(seed)
    net = Network()
    values = [net.argument([DYNAMIC, DYNAMIC, SIZE])]
    for number, (kind, back) in enumerate(kinds):
        old = values[max(len(values) - 1 - back, 0)]
        values.append(STEPS[kind](net, rng, f"{kind} {number}", values[-1], old))
    return net.finish([values[-1], *(values[n % len(values)] for n in returned)])


def ran(program: Program) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float32]], ...]:
    return tuple(run_float(program, [tensor(np.random.default_rng(1), 3, 5, SIZE)]))


def canonicalize(program: Program) -> None:
    CanonicalizePass().apply(program.context(), program.module)


def orders(program: Program) -> list[tuple[int, ...]]:
    ops = program.entry.body.block.ops
    return [op.order for op in ops if isinstance(op, nn.TransposeOp)]


@example([("both", 0), ("swapped", 0), ("halves", 1)], 0, [])
@example([("both", 0), ("batch norm", 0), ("batch norm", 0), ("conv", 0)], 0, [])
@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 4)), min_size=1, max_size=7),
    st.integers(0, 9),
    st.lists(st.integers(0, 7), max_size=1),
)
def test_the_function_stays(kinds: list[tuple[str, int]], seed: int, returned: list[int]) -> None:
    program = chain(kinds, seed, returned)
    canonicalize(program)
    before, names = ran(program), [op.label for op in program.layers()]
    moved = program.clone()
    time_first(moved)
    moved.verify()
    assert [op.label for op in moved.layers()] == names
    for one, other in zip(before, ran(moved), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-6)
    prepared = program.clone()
    prepare(prepared)
    prepared.verify()
    assert {op.label for op in prepared.layers()} <= set(names)
    for one, other in zip(before, ran(prepared), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    text = prepared.text()
    prepare(prepared)
    assert prepared.text() == text


def chained(*kinds: str, returned: tuple[int, ...] = ()) -> Program:
    return chain([(kind, 0) for kind in kinds], 0, list(returned))


@pytest.mark.parametrize(
    "kinds",
    [
        ("linear", "both", "linear", "softmax"),
        ("relu", "linear", "layer norm", "forward", "batch norm", "relu", "forward", "scale"),
        ("forward", "conv", "both", "conv"),
        ("linear", "forward", "square", "flip", "forward", "pad", "linear"),
    ],
)
def test_transposes_end_at_the_border(kinds: tuple[str, ...]) -> None:
    program = chained(*kinds)
    prepare(program)
    first, *_, last, end = [op for op in program.entry.body.block.ops if op.name != "param.load"]
    assert orders(program) == [SWAP, SWAP]
    assert isinstance(first, nn.TransposeOp)
    assert first.input is program.entry.args[0]
    assert end.operands[0] is last.results[0]
    assert isinstance(last, nn.TransposeOp)


def test_a_residual_around_a_layer() -> None:
    program = chain([("forward", 0), ("residual", 1), ("forward", 0), ("residual", 1)], 0, [])
    prepare(program)
    assert orders(program) == [SWAP, SWAP]


def test_what_would_be_another_function_stays() -> None:
    for kind in ("over time", "table"):
        program = chained("forward", kind, "linear")
        canonicalize(program)
        text = program.text()
        assert not time_first(program)
        assert program.text() == text


def test_a_recurrent_layer_over_the_other_extent() -> None:
    """Here the transpose belongs to the function."""
    program = chained("forward", "swapped")
    prepare(program)
    assert orders(program) == [SWAP, SWAP]
    assert [op.label for op in program.layers()] == ["forward 0", "swapped 1"]


def test_a_value_that_is_also_returned() -> None:
    program = chained("linear", "forward", "linear", returned=(2,))
    before = ran(program)
    prepare(program)
    ops = list(program.layers())
    assert ops[2].operands[0] is ops[1].results[0]
    for one, other in zip(before, ran(program), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-6)


def test_programs_for_the_target_alone_stay() -> None:
    program = calibrated()
    text = program.text()
    assert not time_first(program)
    assert conv_to_linear(program) == []
    prepare(program)
    assert program.text() == text


def one_conv(**facts: object) -> tuple[Program, list[str]]:
    rng = np.random.default_rng(2)
    net = Network()
    x = net.argument([DYNAMIC, SIZE, DYNAMIC])
    groups = int(str(facts.pop("groups", 1)))
    w = parameter(net, rng, "w", 6, SIZE // groups, int(str(facts.pop("kernel", 1))))
    op = nn.Conv1dOp("c", x, w, parameter(net, rng, "b", 6), groups=groups, **facts)  # type: ignore[arg-type]
    program = net.finish([net.add(op)])
    changed = program.clone()
    done = conv_to_linear(changed)
    changed.verify()
    given = tensor(np.random.default_rng(1), 3, SIZE, 6)
    for one, other in zip(run_float(program, [given]), run_float(changed, [given]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-6)
    return changed, done


@pytest.mark.parametrize(
    "facts", [{"kernel": 2}, {"kernel": 2, "stride": 2}, {"stride": 2}, {"pads": (1, 0)},
              {"groups": 2}],
)  # fmt: skip
def test_other_convolutions_stay(facts: dict[str, object]) -> None:
    changed, done = one_conv(**facts)
    assert done == []
    assert orders(changed) == []


def test_a_convolution_of_single_steps() -> None:
    changed, done = one_conv(dilation=3)
    assert done == ["c"]
    assert orders(changed) == [(2, 0, 1), (1, 2, 0)]
    assert sorted(changed.parameters) == ["b", "w.matrix"]


def test_annotations_and_shared_weights() -> None:
    rng = np.random.default_rng(2)
    net = Network()
    x = net.argument([DYNAMIC, SIZE, DYNAMIC])
    w = parameter(net, rng, "w", SIZE, SIZE, 1)
    ops = [nn.Conv1dOp(name, x, w) for name in ("a", "b")]
    program = net.finish([net.add(op) for op in ops] + [w])
    from xdsl.dialects.builtin import DictionaryAttr

    from mohaq.compiler.dialects.quant import ClipsAttr, GridAttr

    ops[0].calibration = DictionaryAttr({"weight": ClipsAttr.of({8: 1.5})})
    ops[0].given = DictionaryAttr({"input": GridAttr.of(8, 0.25)})
    assert conv_to_linear(program) == ["a", "b"]
    program.verify()
    first, second = program.layers()
    assert first.clips("weight") == {8: 1.5}
    assert first.given == DictionaryAttr({"input": GridAttr.of(8, 0.25)})
    assert second.calibration is None
    assert sorted(program.parameters) == ["w", "w.matrix"]
