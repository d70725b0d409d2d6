"""Rows worked on and put back: layers see whole sequences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from xdsl.ir import SSAValue

from mohaq.compiler.analysis.rows import keep_sequences
from mohaq.compiler.dialects import nn
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program

BACK = (nn.extent_of(0), nn.extent_of(1), 3)
Build = Callable[[Network, SSAValue, SSAValue], SSAValue]


def values(*shape: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(sum(shape))
    return np.abs(rng.normal(size=shape)).astype(np.float32) + 0.1


def linear(net: Network, name: str, x: SSAValue, inputs: int, outputs: int) -> SSAValue:
    weight = net.parameter(f"{name}.w", values(outputs, inputs))
    return net.add(nn.LinearOp(name, x, weight, net.parameter(f"{name}.b", values(outputs))))


def program(build: Build) -> Program:
    """[T, B, 6] to rows, through `build`, and back to [T, B, 3]."""
    net = Network()
    x = net.sequence(6)
    return net.finish([build(net, x, net.add(nn.ReshapeOp(x, (-1, 6))))])


def back(net: Network, x: SSAValue, rows: SSAValue) -> SSAValue:
    return net.add(nn.ReshapeOp(rows, BACK, x))


def chain(net: Network, x: SSAValue, rows: SSAValue) -> SSAValue:
    stored = [net.parameter(f"n.{n}", values(4)) for n in "gbmv"]
    h = net.add(nn.BatchNormOp("n", linear(net, "a", rows, 6, 4), *stored))
    h = net.add(nn.LayerNormOp("l", net.add(nn.UnaryOp("tanh", h)), stored[0]))
    h = net.add(nn.BinaryOp("mul", h, net.parameter("s", values(1, 4))))
    return back(net, x, net.add(nn.SoftmaxOp(linear(net, "b", h, 4, 3), 1, log=True)))


def gate(net: Network, x: SSAValue, rows: SSAValue) -> SSAValue:
    one = net.add(nn.UnaryOp("sigmoid", linear(net, "a", rows, 6, 1)))
    return back(net, x, net.add(nn.BinaryOp("mul", one, linear(net, "b", rows, 6, 3))))


def read_twice(net: Network, x: SSAValue, rows: SSAValue) -> SSAValue:
    h = linear(net, "a", rows, 6, 3)
    total = net.add(nn.ReduceOp("max", h, [0], keep=True))
    return net.add(nn.BinaryOp("add", back(net, x, h), total))


@pytest.mark.parametrize("build", [chain, gate, read_twice])
def test_layers_on_rows_become_layers_on_sequences(build: Build) -> None:
    before, after = program(build), program(build)
    assert keep_sequences(after)
    after.verify()
    assert {len(op.operands[0].type.get_shape()) for op in after.layers()} == {3}  # type: ignore[attr-defined]
    assert sorted(op.label for op in after.layers()) == sorted(op.label for op in before.layers())
    for shape in ((5, 2, 6), (1, 1, 6), (9, 3, 6)):
        x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        (a,), (b,) = run_float(before, [x]), run_float(after, [x])
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def other_extents(net: Network, x: SSAValue, rows: SSAValue) -> SSAValue:
    """To [B, T, 3]: not the inverse."""
    places = (nn.extent_of(1), nn.extent_of(0), 3)
    return net.add(nn.ReshapeOp(linear(net, "a", rows, 6, 3), places, x))


def mixed_rows(net: Network, x: SSAValue, rows: SSAValue) -> SSAValue:
    """A maximum over rows is nothing that a row has alone."""
    top = net.add(nn.ReduceOp("max", rows, [0], keep=True))
    return back(net, x, linear(net, "a", net.add(nn.BinaryOp("sub", rows, top)), 6, 3))


@pytest.mark.parametrize("build", [other_extents, mixed_rows])
def test_other_programs_stay(build: Build) -> None:
    made = program(build)
    text = made.text()
    assert not keep_sequences(made)
    assert made.text() == text
