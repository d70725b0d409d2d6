"""Scales that move between layers: the same function, balanced ranges, and nothing else moves."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import cell, sequences, sru, tensor
from xdsl.dialects.builtin import DictionaryAttr
from xdsl.ir import SSAValue

from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.param import LoadOp
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program, argument_grids, result_grids
from mohaq.compiler.quantizer import dequantize, quantize
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.calibrate import calibrate
from mohaq.passes.equalize import equalize
from mohaq.passes.lower_to_qnn import lower_to_qnn

Make = Callable[[Network, np.random.Generator, SSAValue], SSAValue]
UNITS = 4
DIRECTIONS = ("forward", "reverse", "bidirectional")


def spread(rng: np.random.Generator, *shape: int, axis: int) -> np.ndarray:
    """Weights whose rows or columns have ranges far apart."""
    factors = np.exp(rng.normal(size=shape[axis]) * 1.5)
    return (
        tensor(rng, *shape) * np.moveaxis(factors[:, *[None] * (len(shape) - 1)], 0, axis)
    ).astype(np.float32)


def linear(net: Network, rng: np.random.Generator, x: SSAValue, name: str = "a") -> SSAValue:
    inputs = shape_of(x)[-1]
    bias = tensor(rng, UNITS) if rng.integers(2) else None
    return net.linear(name, x, spread(rng, UNITS, inputs, axis=0), bias)


def recurrent(kind: str, name: str = "a", **facts: Any) -> Make:
    def make(net: Network, rng: np.random.Generator, x: SSAValue) -> SSAValue:
        direction = DIRECTIONS[int(rng.integers(3))]
        given = dict(facts)
        if "functions" in given:
            names = given.pop("functions") * nn.DIRECTIONS[direction]
            given["activations"] = [FunctionAttr.of(n) for n in names]
        bias = bool(rng.integers(2))
        inputs = shape_of(x)[-1]
        op = cell(
            net,
            rng,
            kind,
            name,
            x,
            inputs,
            UNITS,
            direction=direction,
            bias=bias,
            gain=0.7,
            **given,
        )
        return op.results[0]

    return make


def gated(name: str = "a", **facts: Any) -> Make:
    def make(net: Network, rng: np.random.Generator, x: SSAValue) -> SSAValue:
        direction = DIRECTIONS[int(rng.integers(3))]
        return sru(net, rng, name, x, shape_of(x)[-1], UNITS, direction=direction, **facts)[0]

    return make


PRODUCERS: dict[str, Make] = {
    "linear": linear,
    "rnn relu": recurrent("rnn", functions=["relu"]),
    "rnn identity": recurrent("rnn", functions=["identity"]),
    "rnn leaky": recurrent("rnn", functions=["leaky_relu"]),
    "ligru": recurrent("ligru"),
    "lstm projected": recurrent("lstm", projection=3, peephole=True),
    "sru": gated(),
    "sru projected": gated(skip="projected", skip_scale=1.5),
    "sru relu": gated(activation="relu"),
}
CONSUMERS: dict[str, Make] = {
    "linear": lambda net, rng, x: linear(net, rng, x, "b"),
    "rnn": recurrent("rnn", "b"),
    "gru": recurrent("gru", "b"),
    "lstm": recurrent("lstm", "b"),
    "ligru": recurrent("ligru", "b"),
    "qrnn": recurrent("qrnn", "b"),
    "qrnn window": recurrent("qrnn", "b", window=2),
    "sru": gated("b"),
    "sru projected": gated("b", skip="projected"),
}
BETWEEN = ("", "relu", "leaky_relu", "abs", "identity")


def outputs(program: Program, x: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(v) for v in run_float(program, [x])]


def unary(net: Network, kind: str, x: SSAValue) -> SSAValue:
    if not kind:
        return x
    return net.add(nn.UnaryOp(kind, x))


@settings(deadline=None, max_examples=120, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(sorted(PRODUCERS)),
    st.sampled_from(BETWEEN),
    st.sampled_from(sorted(CONSUMERS)),
    st.integers(0, 2**32 - 1),
)
def test_the_function_stays_the_same(first: str, between: str, second: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = Network()
    a = PRODUCERS[first](net, rng, net.sequence(3))
    b = CONSUMERS[second](net, rng, unary(net, between, a))
    program = net.finish([b])
    x = rng.normal(size=(5, 2, 3)).astype(np.float32)
    before = outputs(program, x)
    done = equalize(program)
    program.verify()
    (link,) = [link for link in done.links if link.producer.label == "a"]
    assert [c.label for c in link.consumers] == ["b"]
    assert link.factors.max() / link.factors.min() > 1.001
    for old, new in zip(before, outputs(program, x), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-5)
    # Nothing to do any more: the ranges of both sides are equal.
    text = program.text()
    (again,) = [link for link in equalize(program).links if link.producer.label == "a"]
    inner = (link.factors > 1 / 15) & (link.factors < 15)
    np.testing.assert_allclose(again.factors[inner], 1.0, rtol=5e-3)
    assert [op.label for op in program.layers()] == ["a", "b"]
    assert text.count("nn.") == program.text().count("nn.")


def chain(seed: int, sizes: tuple[int, ...] = (5, 8, 8, 8, 3), between: str = "relu") -> Program:
    """Linear layers with a function between them, rows and columns of very different ranges."""
    rng = np.random.default_rng(seed)
    net = Network()
    x = net.sequence(sizes[0])
    for n, (inputs, units) in enumerate(pairwise(sizes)):
        if n:
            x = unary(net, between, x)
        x = net.linear(f"fc{n}", x, spread(rng, units, inputs, axis=n % 2), tensor(rng, units))
    return net.finish([x])


def weights(program: Program) -> dict[str, np.ndarray]:
    return {
        op.label: program.parameters[op.operands[1].owner.symbol]
        for op in program.layers()
        if isinstance(op.operands[1].owner, LoadOp)
    }


def test_ranges_of_neighbours_become_equal() -> None:
    program = chain(0)
    x = np.random.default_rng(1).normal(size=(6, 2, 5)).astype(np.float32)
    before = outputs(program, x)
    done = equalize(program, limit=1e6)
    assert [link.producer.label for link in done.links] == ["fc0", "fc1", "fc2"]
    assert [(one.layer, one.why) for one in done.untouched] == [
        ("fc3", "it is a result of the program")
    ]
    held = list(weights(program).values())
    for left, right in pairwise(held):
        np.testing.assert_allclose(np.abs(left).max(axis=1), np.abs(right).max(axis=0), rtol=0.02)
    np.testing.assert_allclose(outputs(program, x)[0], before[0], rtol=1e-5, atol=1e-5)


def test_a_weight_of_few_bits_loses_less() -> None:
    """What it is for: one scale for a tensor serves rows of different ranges badly."""
    gains = []
    for seed in range(6):
        errors = []
        for balanced in (False, True):
            program = chain(seed, (5, 16, 16, 3), "")
            if balanced:
                equalize(program)
            data = sequences(seed, lengths=(40,))
            expected = run_float(program, [data[0][:, None]])[0]
            calibrate(program, data)
            apply_assignment(program, dict.fromkeys(calibrated_table(program).searched(), 4))
            lowered = lower_to_qnn(program)
            (before,), (after,) = argument_grids(lowered.entry), result_grids(lowered.entry)
            assert before is not None
            assert after is not None
            (found,) = run_integer(lowered, [quantize(data[0][:, None], before)])
            errors.append(float(np.mean((dequantize(found, after) - expected) ** 2)))
        gains.append(errors[1] / errors[0])
    assert np.exp(np.mean(np.log(gains))) < 0.7


def test_factors_keep_within_the_limit() -> None:
    program = chain(0)
    free = equalize(chain(0), limit=1e9)
    assert max(link.factors.max() / 1 for link in free.links) > 2
    for link in equalize(program, limit=2.0).links:
        assert link.factors.max() <= 2.0
        assert link.factors.min() >= 0.5
    before = chain(0)
    equalize(before, limit=1.0)
    for name, values in weights(before).items():
        np.testing.assert_array_equal(values, weights(chain(0))[name])
    for limit in (0.5, float("nan"), -1.0):
        with pytest.raises(MohaqError, match="at least 1"):
            equalize(chain(0), limit=limit)


def test_channels_of_zeros_stay() -> None:
    program = chain(0)
    dead = weights(program)["fc1"].copy()
    dead[2] = 0
    program.parameters["fc1.weight"] = dead
    (_, link, _) = equalize(program).links
    assert link.factors[2] == 1.0
    assert all(np.isfinite(w).all() for w in weights(program).values())


def test_all_readers_share_the_factors() -> None:
    rng = np.random.default_rng(3)
    net = Network()
    a = linear(net, rng, net.sequence(3))
    b = net.linear("b", unary(net, "relu", a), spread(rng, 2, UNITS, axis=1))
    c = recurrent("gru", "c")(net, rng, a)
    program = net.finish([b, c])
    x = rng.normal(size=(4, 2, 3)).astype(np.float32)
    before = outputs(program, x)
    (link,) = equalize(program).links
    assert {one.label for one in link.consumers} == {"b", "c"}
    for old, new in zip(before, outputs(program, x), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-5)


def test_a_shared_parameter_gets_a_copy_for_each_layer() -> None:
    rng = np.random.default_rng(3)
    net = Network()
    shared = net.parameter("w", spread(rng, 3, 3, axis=0))
    first = net.add(nn.LinearOp("a", net.sequence(3), shared))
    second = net.add(nn.LinearOp("b", first, shared))
    third = net.add(nn.LinearOp("c", unary(net, "tanh", second), shared))
    program = net.finish([third])
    x = rng.normal(size=(4, 2, 3)).astype(np.float32)
    before = outputs(program, x)
    assert len(equalize(program).links) == 1
    np.testing.assert_allclose(outputs(program, x)[0], before[0], rtol=1e-5, atol=1e-5)
    assert len({op.operands[1].owner.symbol for op in program.layers()}) == 3  # type: ignore[union-attr]


def _refused(why: str, build: Callable[[Network, np.random.Generator], list[SSAValue]]) -> None:
    rng = np.random.default_rng(0)
    net = Network()
    program = net.finish(build(net, rng))
    text, held = program.text(), dict(program.parameters)
    done = equalize(program)
    assert done.links == []
    assert why in next(one.line() for one in done.untouched if one.layer == "a")
    assert program.text() == text
    assert dict(program.parameters).keys() == held.keys()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (recurrent("rnn"), "the function tanh"),
        (recurrent("rnn", functions=["relu"], clip=1.0), "clipped"),
        (recurrent("rnn", functions=["relu"], states=True), "state"),
        (recurrent("ligru", functions=["sigmoid", "tanh"]), "the function tanh"),
        (recurrent("lstm"), "bounded"),
        (recurrent("lstm", projection=3, states=True), "state"),
        (recurrent("gru"), "bounded"),
        (recurrent("qrnn"), "bounded"),
        (gated(activation="tanh"), "the function tanh"),
    ],
)
def test_cells_that_are_not_homogeneous_stay(make: Make, why: str) -> None:
    def build(net: Network, rng: np.random.Generator) -> list[SSAValue]:
        return [linear(net, rng, make(net, rng, net.sequence(3)), "b")]

    _refused(why, build)


def test_an_identity_skip_lets_nothing_through() -> None:
    def build(net: Network, rng: np.random.Generator) -> list[SSAValue]:
        a = linear(net, rng, net.sequence(3))
        return [sru(net, rng, "b", a, UNITS, UNITS, direction="forward", skip="identity")[0]]

    _refused("skip of 'b'", build)

    def first(net: Network, rng: np.random.Generator) -> list[SSAValue]:
        x = net.sequence(UNITS)
        a = sru(net, rng, "a", x, UNITS, UNITS, direction="forward", skip="identity")[0]
        return [linear(net, rng, a, "b")]

    _refused("its skip", first)


@pytest.mark.parametrize("kind", ["tanh", "sigmoid", "elu", "square"])
def test_other_functions_let_nothing_through(kind: str) -> None:
    def build(net: Network, rng: np.random.Generator) -> list[SSAValue]:
        return [linear(net, rng, unary(net, kind, linear(net, rng, net.sequence(3))), "b")]

    _refused(kind, build)


def test_other_readers_keep_the_scales() -> None:
    def added(net: Network, rng: np.random.Generator) -> list[SSAValue]:
        a = linear(net, rng, net.sequence(3))
        total = net.add(nn.BinaryOp("add", a, linear(net, rng, a, "b")))
        return [linear(net, rng, total, "c")]

    _refused("nn.binary", added)

    def shown(net: Network, rng: np.random.Generator) -> list[SSAValue]:
        a = linear(net, rng, net.sequence(3))
        return [a, linear(net, rng, a, "b")]

    _refused("result of the program", shown)


def test_grids_of_an_imported_model_stay() -> None:
    program = chain(0)
    next(iter(program.layers())).attributes["given"] = DictionaryAttr(
        {"weight": GridAttr.of(8, 0.1)}
    )
    done = equalize(program)
    assert [link.producer.label for link in done.links] == ["fc1", "fc2"]
    assert "grids of its own" in done.untouched[0].why


def test_layers_that_change_lose_their_calibration() -> None:
    program = chain(0, between="")
    calibrate(program, sequences())
    apply_assignment(program, dict.fromkeys(calibrated_table(program).searched(), 8))
    equalize(program)
    assert all(op.calibration is None and op.quant is None for op in program.layers())
    with pytest.raises(MohaqError, match="has no calibration"):
        calibrated_table(program)
