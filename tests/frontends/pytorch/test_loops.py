"""Loops over time in a model's `forward`: one operation a layer, any T and B from one import."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import mohaq
from mohaq.compiler.dialects.nn import LstmOp, RecurrentOp
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.program import Program

SIZES = ((1, 1), (7, 3), (40, 2))
CELLS: dict[str, Any] = {
    "lstm": nn.LSTMCell,
    "gru": nn.GRUCell,
    "tanh": nn.RNNCell,
    "relu": lambda i, h, **o: nn.RNNCell(i, h, nonlinearity="relu", **o),
}
READS = ("index", "unbind", "split", "slice", "iterate")
WRITES = ("stack", "cat", "view", "fill")


def agree(program: Program, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    with torch.no_grad():
        made = module.eval()(*inputs)
    theirs = made if isinstance(made, tuple) else (made,)
    ours = run_float(program, [i.numpy() for i in inputs])
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == tuple(b.shape)
        scale = max(float(b.abs().max()), 1e-3)
        assert float(np.abs(a - b.numpy()).max()) <= 1e-5 * scale


class Loop(nn.Module):
    """Cells over time, written in one of many ways."""

    def __init__(self, facts: dict[str, Any]) -> None:
        super().__init__()
        self.facts = facts
        widths = [facts["features"], *[facts["hidden"]] * facts["layers"]]
        self.cells = nn.ModuleList(
            CELLS[facts["kind"]](i, h, bias=facts["bias"]) for i, h in itertools.pairwise(widths)
        )
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(facts["hidden"], 2)
        self.start = nn.Parameter(torch.randn(1, facts["hidden"]))

    def steps(self, x: Tensor) -> Iterator[Tensor]:
        axis = 1 if self.facts["batch_first"] else 0
        order = range(x.size(axis))
        if self.facts["reverse"]:
            order = range(x.size(axis) - 1, -1, -1)
        match self.facts["read"]:
            case "index":
                for t in order:
                    yield x[:, t] if axis else x[t]
            case "unbind":
                every = x.unbind(axis)
                for t in order:
                    yield every[t]
            case "split":
                parts = torch.split(x, 1, dim=axis)
                for t in order:
                    yield parts[t].squeeze(axis)
            case "slice":
                for t in order:
                    yield x.narrow(axis, t, 1).squeeze(axis)
            case _:
                y = x.flip(axis) if self.facts["reverse"] else x
                yield from (y.transpose(0, 1) if axis else y)

    def forward(self, x: Tensor, *given: Tensor) -> Any:
        facts = self.facts
        batch = x.size(0 if facts["batch_first"] else 1)
        zero = torch.zeros(batch, facts["hidden"])
        start = self.start.expand(batch, -1) if facts["init"] == "parameter" else zero
        lstm = facts["kind"] == "lstm"
        states: list[Any] = [(start, zero) if lstm else start for _ in self.cells]
        if facts["init"] == "given":
            states[0] = (given[0], given[1]) if lstm else given[0]
        made: list[Tensor] = []
        for step in self.steps(x):
            now = step
            for n, cell in enumerate(self.cells):
                states[n] = cell(now, states[n])
                h = states[n][0] if lstm else states[n]
                now = self.drop(h) if n + 1 < len(self.cells) else h
            made.append(torch.relu(self.head(now)) if facts["head"] else now)
        if facts["reverse"] and facts["turned"]:
            made.reverse()
        axis = 1 if facts["batch_first"] else 0
        if facts["write"] == "stack":
            y = torch.stack(made, dim=axis)
        elif facts["write"] == "cat":
            y = torch.cat([m.unsqueeze(axis) for m in made], dim=axis)
        elif facts["write"] == "fill":
            shape = (batch, len(made)) if axis else (len(made), batch)
            y = torch.zeros(*shape, made[0].shape[-1])
            for t, one in enumerate(made):
                if axis:
                    y[:, t] = one
                else:
                    y[t] = one
        else:
            width = made[0].shape[-1]
            lead = (batch, len(made)) if axis else (len(made), batch)
            y = torch.cat(made, dim=axis).view(*lead, width)
        if not facts["final"]:
            return y
        return (y, *states[-1]) if lstm else (y, states[-1])


@st.composite
def loops(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "seed": draw(st.integers(0, 2**16)),
        "kind": draw(st.sampled_from(sorted(CELLS))),
        "features": draw(st.integers(1, 4)),
        "hidden": draw(st.integers(2, 4)),
        "layers": draw(st.integers(1, 3)),
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "reverse": draw(st.booleans()),
        "turned": draw(st.booleans()),
        "read": draw(st.sampled_from(READS)),
        "write": draw(st.sampled_from(WRITES)),
        "init": draw(st.sampled_from(("zero", "parameter", "given"))),
        "head": draw(st.booleans()),
        "final": draw(st.booleans()),
    }


@settings(max_examples=16, deadline=None, suppress_health_check=list(HealthCheck))
@given(facts=loops())
def test_every_way_to_write_a_loop(facts: dict[str, Any]) -> None:
    torch.manual_seed(facts["seed"])
    module = Loop(facts)

    def inputs(steps: int, batch: int) -> tuple[Tensor, ...]:
        shape = (batch, steps) if facts["batch_first"] else (steps, batch)
        x = torch.randn(*shape, facts["features"])
        count = (2 if facts["kind"] == "lstm" else 1) if facts["init"] == "given" else 0
        return (x, *(torch.randn(batch, facts["hidden"]) for _ in range(count)))

    program = mohaq.load(module, inputs(5, 4))
    found = [op for op in program.layers() if isinstance(op, RecurrentOp)]
    assert [op.label for op in found] == [f"cells.{n}" for n in range(facts["layers"])]
    turned = facts["reverse"] and facts["read"] != "iterate"
    assert found[0].direction.data == ("reverse" if turned else "forward")
    for steps, batch in SIZES:
        agree(program, module, inputs(steps, batch))


class BothWays(nn.Module):
    """A bidirectional layer by hand, then a decoder that starts from its last states."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 3)
        self.ahead, self.back = nn.GRUCell(3, 4), nn.GRUCell(3, 4)
        self.decoder = nn.LSTMCell(8, 5)
        self.norm = nn.LayerNorm(8)
        self.start = nn.Linear(8, 5)
        self.out = nn.Linear(5, 3)

    def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
        steps, batch = tokens.shape
        h = g = torch.zeros(batch, 4)
        first: list[Tensor] = []
        second: list[Tensor] = []
        for t in range(steps):
            h = self.ahead(self.table(tokens[t]), h)
            first.append(h)
        for t in reversed(range(steps)):
            g = self.back(self.table(tokens[t]), g)
            second.insert(0, g)
        s = torch.tanh(self.start(torch.cat([h, g], -1)))
        c = torch.zeros(batch, 5)
        made = []
        for a, b in zip(first, second, strict=True):
            s, c = self.decoder(self.norm(torch.cat([a, b], 1)) * 2.0, (s, c))
            made.append(torch.log_softmax(self.out(s), dim=1))
        return torch.stack(made, 1), c, first[0], second[-1]


class LayerByStep(nn.Module):
    """nn.LSTM or nn.GRU that is given one step at a time."""

    def __init__(self, kind: Any, batch_first: bool, reverse: bool) -> None:
        super().__init__()
        self.rnn = kind(3, 4, num_layers=2, batch_first=batch_first)
        self.axis, self.reverse = int(batch_first), reverse

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        state: Any = None
        batch = x.size(1 - self.axis)
        if isinstance(self.rnn, nn.LSTM):
            state = (torch.zeros(2, batch, 4), torch.zeros(2, batch, 4))
        else:
            state = torch.zeros(2, batch, 4)
        made = []
        order = range(x.size(self.axis))
        for t in reversed(order) if self.reverse else order:
            now = x.select(self.axis, t).unsqueeze(self.axis)
            y, state = self.rnn(now, state)
            made.append(y)
        last = state[0] if isinstance(state, tuple) else state
        return torch.cat(made, self.axis), last


class Tail(nn.Module):
    """A loop that leaves out the first step and keeps every output but the last."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.RNNCell(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.size(1), 4)
        made = []
        for t in range(1, x.size(0)):
            h = self.cell(x[t], h)
            made.append(h)
        return torch.stack(made[:-1])


def test_both_ways_by_hand_and_a_decoder() -> None:
    torch.manual_seed(0)
    module = BothWays()
    program = mohaq.load(module, (torch.zeros(5, 2, dtype=torch.int64),))
    found = [op for op in program.layers() if isinstance(op, RecurrentOp)]
    assert [(op.label, op.direction.data) for op in found] == [
        ("ahead", "forward"),
        ("back", "reverse"),
        ("decoder", "forward"),
    ]
    for steps, batch in SIZES:
        agree(program, module, (torch.randint(0, 9, (steps, batch)),))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_layer_that_is_given_single_steps(kind: Any, batch_first: bool) -> None:
    torch.manual_seed(0)
    module = LayerByStep(kind, batch_first, reverse=kind is nn.GRU)

    def inputs(steps: int, batch: int) -> tuple[Tensor, ...]:
        return (torch.randn(*((batch, steps) if batch_first else (steps, batch)), 3),)

    program = mohaq.load(module, inputs(5, 2))
    assert [op.label for op in program.layers()] == ["rnn.l0", "rnn.l1"]
    for steps, batch in SIZES:
        agree(program, module, inputs(steps, batch))


def test_part_of_the_steps() -> None:
    torch.manual_seed(0)
    module = Tail()
    program = mohaq.load(module, (torch.zeros(5, 2, 3),))
    assert len(list(program.layers())) == 1
    for steps, batch in ((3, 1), (7, 3), (40, 2)):
        agree(program, module, (torch.randn(steps, batch, 3),))


class Irregular(nn.Module):
    """Loops that are no single operation."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.cell = nn.LSTMCell(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = c = torch.zeros(x.size(1), 3)
        made, cells = [], []
        now = x[0]
        for t in range(x.size(0)):
            if self.how == "feedback":
                h, c = self.cell(now, (h, c))
                now = h
            elif self.how == "skips" and t % 2:
                continue
            elif self.how == "differs":
                h, c = self.cell(x[t] if t % 3 else -x[t], (h, c))
            else:
                h, c = self.cell(x[t], (h, c))
            made.append(h)
            cells.append(c)
        return torch.stack(cells if self.how == "cells" else made)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("feedback", "computed from its own output"),
        ("skips", "one after the other"),
        ("differs", "computed differently at some steps"),
        ("cells", "a state between its steps is used"),
    ],
)
def test_irregular_loops_are_named(how: str, why: str) -> None:
    with pytest.raises(mohaq.MohaqError, match=why) as caught:
        mohaq.load(Irregular(how), (torch.zeros(5, 2, 3),))
    message = str(caught.value)
    assert "cannot import 'loop over aten.lstm_cell'" in message
    assert "'cell'" in message
    assert "test_loops.py:" in message


def test_a_file_shows_one_length_only(tmp_path: Any) -> None:
    torch.manual_seed(0)
    module = Tail().eval()
    torch.export.save(torch.export.export(module, (torch.zeros(6, 2, 3),)), tmp_path / "m.pt2")
    program = mohaq.load(tmp_path / "m.pt2")
    assert len(list(program.layers())) == 1
    agree(program, module, (torch.randn(6, 2, 3),))
    assert "tensor<6x?x3xf32>" in program.text() or "tensor<6x2x3xf32>" in program.text()


def test_a_fixed_number_of_steps() -> None:
    class Three(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.LSTMCell(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            state = (torch.zeros(x.size(1), 4), torch.zeros(x.size(1), 4))
            for t in range(3):
                state = self.cell(x[t], state)
            return state[0]

    torch.manual_seed(0)
    module = Three()
    program = mohaq.load(module, (torch.zeros(5, 2, 3),))
    assert [type(op) for op in program.layers()] == [LstmOp]
    for steps, batch in ((3, 1), (7, 3)):
        agree(program, module, (torch.randn(steps, batch, 3),))


class Writes(nn.Module):
    """Writes into a tensor that is looked at through another name."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(x)
        if self.how == "part":
            y[..., 0].add_(5.0)
        elif self.how == "whole":
            first = y[0]
            y.add_(5.0)
            return y + first
        else:
            return torch.relu_(y.transpose(0, 1)).mul_(2.0)
        return y


@pytest.mark.parametrize("how", ["part", "whole"])
def test_writes_through_another_name_are_refused(how: str) -> None:
    with pytest.raises(mohaq.MohaqError, match="writes into a part of a tensor"):
        mohaq.load(Writes(how), (torch.zeros(5, 2, 3),))


def test_writes_that_nobody_else_sees() -> None:
    module = Writes("alone")
    program = mohaq.load(module, (torch.zeros(5, 2, 3),))
    agree(program, module, (torch.randn(7, 3, 3),))


def test_two_parts_are_no_loop() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 4, bidirectional=True)

        def forward(self, x: Tensor) -> Tensor:
            _, h = self.rnn(x)
            return torch.cat([h[0], h[1]], dim=1)

    module = Both()
    program = mohaq.load(module, (torch.zeros(5, 2, 3),))
    assert "nn.concat" in program.text()
    assert "nn.transpose" not in program.text()
    agree(program, module, (torch.randn(7, 3, 3),))


def test_a_loop_without_cells() -> None:
    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([torch.tanh(self.fc(one)) for one in x])

    torch.manual_seed(0)
    module = Steps()
    program = mohaq.load(module, (torch.zeros(5, 2, 3),))
    assert [op.label for op in program.layers()] == ["fc"]
    for steps, batch in SIZES:
        agree(program, module, (torch.randn(steps, batch, 3),))
