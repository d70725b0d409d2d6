"""fold-batchnorm: the same function, fewer operations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from programs import tensor
from xdsl.dialects.builtin import DictionaryAttr
from xdsl.ir import SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program
from mohaq.passes.fold_batchnorm import fold_batchnorm

RNG = np.random.default_rng(3)


def norm(net: Network, name: str, x: SSAValue, size: int, axis: int) -> SSAValue:
    gamma, beta, mean = (net.parameter(f"{name}.{t}", tensor(RNG, size, gain=2.0)) for t in "gbm")
    var = net.parameter(f"{name}.v", np.abs(tensor(RNG, size)) + 0.2)
    return net.add(nn.BatchNormOp(name, x, gamma, beta, mean, var, axis=axis))


def after_linear() -> Program:
    net = Network()
    h = net.linear("a", net.sequence(4), tensor(RNG, 5, 4))
    return net.finish([norm(net, "n", h, 5, 2)])


def before_linear() -> Program:
    net = Network()
    h = norm(net, "n", net.sequence(4), 4, 2)
    return net.finish([net.linear("a", h, tensor(RNG, 5, 4), tensor(RNG, 5))])


def after_conv() -> Program:
    net = Network()
    x = net.add(nn.TransposeOp(net.sequence(4), (1, 2, 0)))
    w, b = net.parameter("w", tensor(RNG, 6, 2, 3)), net.parameter("b", tensor(RNG, 6))
    h = net.add(nn.Conv1dOp("a", x, w, b, pads=(1, 1), groups=2))
    return net.finish([norm(net, "n", h, 6, 1)])


def light() -> Program:
    net = Network()
    data = tensor(RNG, 2, 2, 4, 3)
    data[:, :, 3] = np.abs(data[:, :, 3]) + 0.2
    op = nn.LiGruOp(
        "a",
        net.sequence(4),
        net.parameter("w", tensor(RNG, 2, 2, 3, 4)),
        net.parameter("r", tensor(RNG, 2, 2, 3, 3)),
        norm=net.parameter("n", data),
        direction="bidirectional",
    )
    net.add(op)
    return net.finish(list(op.results))


@pytest.mark.parametrize("build", [after_linear, before_linear, after_conv, light])
def test_the_function_stays(build: object) -> None:
    program: Program = build()  # type: ignore[operator]
    folded = program.clone()
    assert fold_batchnorm(folded) == ["a"]
    folded.verify()
    ops = list(folded.entry.body.block.ops)
    assert not any(isinstance(op, nn.BatchNormOp) for op in ops)
    assert not any(isinstance(op, nn.LiGruOp) and op.norm is not None for op in ops)
    x = tensor(RNG, 7, 2, 4)
    for one, other in zip(run_float(program, [x]), run_float(folded, [x]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-6)


def test_a_result_with_another_reader_stays() -> None:
    net = Network()
    h = net.linear("a", net.sequence(4), tensor(RNG, 5, 4))
    program = net.finish([norm(net, "n", h, 5, 2), h])
    assert fold_batchnorm(program) == []


@pytest.mark.parametrize(
    ("build", "slot", "folds"),
    [
        (after_linear, "weight", False),
        (after_linear, "input", True),
        (before_linear, "weight", False),
        (before_linear, "input", False),
    ],
)
def test_grids_that_the_model_came_with(
    build: Callable[[], Program], slot: str, folds: bool
) -> None:
    """Folding must not scale weights off their grid, nor shift what an input's grid was for."""
    program = build()
    (layer,) = [op for op in program.layers() if op.label == "a"]
    given = DictionaryAttr({slot: GridAttr.of(8, 0.25)})
    layer.given = given
    assert fold_batchnorm(program) == (["a"] if folds else [])
    (layer,) = [op for op in program.layers() if op.label == "a"]
    assert layer.given == given


def test_two_norms_before_a_layer() -> None:
    net = Network()
    h = norm(net, "m", norm(net, "n", net.sequence(4), 4, 2), 4, 2)
    program = net.finish([net.linear("a", h, tensor(RNG, 5, 4))])
    x = tensor(RNG, 7, 2, 4)
    (before,) = run_float(program, [x])
    assert fold_batchnorm(program) == ["a"]
    assert [op.label for op in program.layers()] == ["a"]
    np.testing.assert_allclose(run_float(program, [x])[0], before, rtol=1e-5, atol=2e-5)
