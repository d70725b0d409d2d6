"""Cutting programs into host, target, host: what goes where, and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from programs import calibrated, sru, tensor
from xdsl.ir import SSAValue

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import DYNAMIC
from mohaq.compiler.driver.device import integer_check
from mohaq.compiler.driver.prepare import prepare
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.network import Network
from mohaq.compiler.partition import Partition, Source, partition
from mohaq.compiler.program import Program

RNG = np.random.default_rng(5)
Array = npt.NDArray[Any]


def labels(program: Program | None) -> list[str]:
    return [] if program is None else [op.label for op in program.layers()]


def in_parts(part: Partition, arguments: list[Array]) -> list[Array]:
    """Results of the three programs, values handed on as the partition says."""
    values: dict[str, Any] = {"argument": arguments}
    if part.before is not None:
        values["before"] = run_float(part.before, arguments)
    values["core"] = run_float(part.core, [values[s.part][s.number] for s in part.core_inputs])
    if part.after is not None:
        values["after"] = run_float(
            part.after, [values[s.part][s.number] for s in part.after_inputs]
        )
    return [values[s.part][s.number] for s in part.results]


def cut(program: Program, *arguments: Array) -> Partition:
    """The partition; its parts compute what the program computes, which it leaves alone."""
    text = program.text()
    part = partition(program, integer_check)
    assert program.text() == text
    for made in (part.before, part.core, part.after):
        if made is not None:
            made.verify()
    assert sorted(labels(part.before) + labels(part.core) + labels(part.after)) == sorted(
        labels(program)
    )
    for one, other in zip(
        in_parts(part, list(arguments)), run_float(program, list(arguments)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    return part


def lstm(net: Network, name: str, x: SSAValue, inputs: int, hidden: int, **facts: Any) -> nn.LstmOp:
    op = nn.LstmOp(
        name,
        x,
        net.parameter(f"{name}.w", tensor(RNG, 1, 4, hidden, inputs)),
        net.parameter(f"{name}.r", tensor(RNG, 1, 4, hidden, hidden)),
        **facts,
    )
    net.add(op)
    return op


def test_batch_first() -> None:
    net = Network()
    x = net.argument([DYNAMIC, DYNAMIC, 4], name="frames")
    a = net.linear("a", x, tensor(RNG, 4, 4))
    h, _ = sru(net, RNG, "l", net.add(nn.TransposeOp(a, (1, 0, 2))), 4, 3)
    b = net.linear("b", net.add(nn.TransposeOp(h, (1, 0, 2))), tensor(RNG, 5, 6))
    program = net.finish([net.add(nn.SoftmaxOp(b))], ["scores"])
    given = tensor(RNG, 2, 6, 4)
    loose = cut(program, given)
    assert labels(loose.core) == ["l"]
    assert set(loose.refused) == {"a", "b"}
    prepare(program)
    part = cut(program, given)
    assert labels(part.core) == ["a", "l", "b"]
    assert part.refused == {}
    assert not part.whole
    assert part.core_inputs == (Source("before", 0),)
    assert part.after_inputs == (Source("core", 0),)
    assert part.results == (Source("after", 0),)


@pytest.mark.parametrize(("first", "second"), [(3, 8), (8, 3)])
def test_the_heavier_side_goes_on_the_target(first: int, second: int) -> None:
    net = Network()
    h, _ = sru(net, RNG, "one", net.sequence(4), 4, first, direction="forward")
    h = net.add(nn.UnaryOp("relu", h))
    h, _ = sru(net, RNG, "two", h, first, second, direction="forward")
    part = cut(net.finish([h]), tensor(RNG, 5, 2, 4))
    heavy, light = ("two", "one") if second > first else ("one", "two")
    assert labels(part.core) == [heavy]
    assert part.refused == {light: "it is not connected with the part on the target"}
    assert labels(part.before if heavy == "two" else part.after) == [light]
    assert (part.after is None) == (heavy == "two")


def test_an_embedding_in_front() -> None:
    net = Network()
    tokens = net.argument([DYNAMIC, DYNAMIC], name="tokens", indices=True)
    x = net.add(nn.EmbeddingOp("table", tokens, net.parameter("table", tensor(RNG, 7, 4))))
    op = lstm(net, "l", x, 4, 3)
    part = cut(net.finish([net.linear("fc", op.result, tensor(RNG, 2, 3))]), np.array([[1], [6]]))
    assert labels(part.before) == ["table"]
    assert labels(part.core) == ["l", "fc"]
    assert part.after is None
    assert set(part.refused) == {"table"}
    assert part.results == (Source("core", 0),)


def test_states_from_arguments_and_from_the_host() -> None:
    net = Network()
    x = net.sequence(4)
    stacked = net.argument([2, DYNAMIC, 3], name="state")
    given = [net.state(1, 3, name=name) for name in ("h", "c")]
    h0 = net.add(nn.SliceOp(stacked, 0, 0, 1))
    c0 = net.add(nn.SliceOp(stacked, 0, 1))
    a = lstm(net, "a", x, 4, 3, initial_h=h0, initial_c=c0)
    b = lstm(net, "b", a.result, 3, 3, initial_h=given[0], initial_c=given[1])
    end = net.add(nn.ConcatOp([a.final_h, a.final_c], 0))
    program = net.finish([b.result, end, b.final_h, h0, x])
    part = cut(
        program, tensor(RNG, 5, 2, 4), tensor(RNG, 2, 2, 3), *(tensor(RNG, 1, 2, 3) for _ in "hc")
    )
    assert labels(part.core) == ["a", "b"]
    assert part.core_inputs[0] == Source("argument", 0)
    assert set(part.core_inputs[1:]) == {
        Source("before", 0), Source("before", 1), Source("argument", 2), Source("argument", 3),
    }  # fmt: skip
    assert [s.part for s in part.results] == ["core", "after", "core", "before", "argument"]


def test_a_state_that_depends_on_the_target_stays_off_it() -> None:
    """Otherwise the target would wait for the host, and the host for the target."""
    net = Network()
    a = lstm(net, "a", net.sequence(4), 4, 6)
    halved = net.add(nn.UnaryOp("tanh", a.final_h))
    b = lstm(net, "b", a.result, 6, 6, initial_h=halved, initial_c=a.final_c)
    part = cut(net.finish([b.result]), tensor(RNG, 5, 2, 4))
    assert len(labels(part.core)) == 1
    assert len(part.refused) == 1


def test_results_from_everywhere() -> None:
    net = Network()
    x = net.sequence(4)
    front = net.add(nn.UnaryOp("square", x))
    op = lstm(net, "l", front, 4, 3)
    scores = net.add(nn.SoftmaxOp(op.result))
    program = net.finish(
        [scores, op.result, op.final_c, front, scores], ["scores", None, "cell", None, None]
    )
    part = cut(program, tensor(RNG, 3, 1, 4))
    assert part.results == (
        Source("after", 0), Source("core", 0), Source("core", 1), Source("before", 0),
        Source("after", 0),
    )  # fmt: skip


def test_host_values_that_pass_the_target_by() -> None:
    net = Network()
    x = net.sequence(4)
    gate = net.add(nn.UnaryOp("sigmoid", x))
    op = lstm(net, "l", x, 4, 4)
    part = cut(net.finish([net.add(nn.BinaryOp("mul", gate, op.result))]), tensor(RNG, 3, 1, 4))
    assert part.core_inputs == (Source("argument", 0),)
    assert set(part.after_inputs) == {Source("before", 0), Source("core", 0)}


def test_nothing_fits() -> None:
    net = Network()
    x = net.argument([DYNAMIC, 4, DYNAMIC])
    lengths = net.argument([DYNAMIC], indices=True)
    y = net.add(nn.Conv1dOp("front", x, net.parameter("k", tensor(RNG, 3, 4, 3))))
    op = lstm(net, "l", net.add(nn.TransposeOp(y, (2, 0, 1))), 3, 3, lengths=lengths)
    with pytest.raises(MohaqError, match="no layer of the program can run") as caught:
        partition(net.finish([op.result]), integer_check)
    why = str(caught.value.why)
    assert "'front': " in why
    assert "'l': " in why


def test_no_layers_at_all() -> None:
    net = Network()
    program = net.finish([net.add(nn.UnaryOp("relu", net.sequence(3)))])
    with pytest.raises(MohaqError, match="no layer") as caught:
        partition(program, integer_check)
    assert caught.value.why == "it has no layers"


def test_the_target_runs_everything() -> None:
    program = calibrated()
    part = cut(program, tensor(RNG, 4, 1, 5))
    assert part.whole
    assert part.core.text() == program.text()
    assert part.core_inputs == (Source("argument", 0),)
    assert part.results == tuple(Source("core", n) for n in range(len(part.results)))
    assert part.refused == {}
