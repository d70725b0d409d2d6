"""Programs of which the target runs a part: host, target, host, and nothing lost between them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from programs import tensor
from small_onnx import quantized_gru
from xdsl.ir import SSAValue

import mohaq
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.dialects.types import DYNAMIC
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program

Array = npt.NDArray[Any]


def lstm(net: Network, rng: np.random.Generator, x: SSAValue, **facts: Any) -> nn.LstmOp:
    count = 2 if facts.get("direction") == "bidirectional" else 1
    op = nn.LstmOp(
        "lstm",
        x,
        net.parameter("lstm.w", tensor(rng, count, 4, 6, 8)),
        net.parameter("lstm.r", tensor(rng, count, 4, 6, 6)),
        net.parameter("lstm.b", tensor(rng, count, 4, 6)),
        **facts,
    )
    net.add(op)
    return op


def norm(net: Network, rng: np.random.Generator, x: SSAValue, axis: int) -> SSAValue:
    gamma, beta, mean = (net.parameter(f"norm.{t}", tensor(rng, 8)) for t in "gbm")
    var = net.parameter("norm.v", np.abs(tensor(rng, 8)) + 0.5)
    return net.add(nn.BatchNormOp("norm", x, gamma, beta, mean, var, axis=axis))


def recogniser() -> Program:
    """[B, C, T] -> convolution, norm, relu, point convolution, BiLSTM, linear -> softmax."""
    rng = np.random.default_rng(8)
    net = Network()
    x = net.argument([DYNAMIC, 3, DYNAMIC], name="signal")
    kernel = net.parameter("front.w", tensor(rng, 8, 3, 3, gain=2.0))
    y = norm(net, rng, net.add(nn.Conv1dOp("front", x, kernel, pads=(1, 1))), 1)
    point = net.parameter("point.w", tensor(rng, 8, 8, 1, gain=3.0))
    y = net.add(nn.Conv1dOp("point", net.add(nn.UnaryOp("relu", y)), point))
    h = lstm(net, rng, net.add(nn.TransposeOp(y, (2, 0, 1))), direction="bidirectional")
    out = net.linear("out", h.result, tensor(rng, 5, 12, gain=3.0), tensor(rng, 5))
    scores = net.add(nn.TransposeOp(net.add(nn.SoftmaxOp(out)), (1, 0, 2)))
    return net.finish([scores], ["scores"])


def signals(lengths: tuple[int, ...], channels: int = 3) -> list[Array]:
    rng = np.random.default_rng(4)
    return [rng.normal(size=(channels, t)).astype(np.float32) for t in lengths]


def compiled(program: Program, data: list[Array], out: Path, bits: int = 8) -> mohaq.CompiledFolder:
    mohaq.calibrate(program, data)
    mohaq.compile(program, "reference", mohaq.Assignment.uniform(bits), out)
    return mohaq.CompiledFolder(out)


def test_host_target_host(tmp_path: Path) -> None:
    program = recogniser()
    whole = program.clone()
    opened = compiled(program, signals((20, 9, 14)), tmp_path / "out", bits=16)
    assert opened.host is not None
    # The norm went into the convolution, and the point convolution is a linear layer.
    assert set(opened.host.refused) == {"front"}
    assert [op.label for op in opened.stage("1-quantized").layers()] == ["point", "lstm", "out"]
    assert [op.label for op in opened.stage("host-before").layers()] == ["front"]
    assert (opened.host.bytes_in, opened.host.bytes_out) == (16, 10)
    assert (opened.host.batch_axis, opened.host.result_batch_axis) == (0, 0)
    for x in signals((20, 1, 33)):
        ran = opened.run(x, check=True)
        assert ran.equal
        (real,) = run_float(whole, [x[None]])
        assert ran.outputs.shape == (x.shape[1], 5)
        np.testing.assert_allclose(ran.outputs, real[0], rtol=0, atol=2e-3)
        np.testing.assert_allclose(ran.outputs.sum(axis=1), 1, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(opened.run(x[None]).outputs, ran.outputs[None])
    with pytest.raises(mohaq.MohaqError, match=r"takes \['\?', 3, '\?'\], got \[1, 4, 9\]"):
        opened.run(np.zeros((4, 9), dtype=np.float32))


def test_widths_matter(tmp_path: Path) -> None:
    """Fewer bits, larger errors: the target's part decides the result."""
    program, data = recogniser(), signals((20, 9, 14))
    whole = program.clone()
    (real,) = run_float(whole, [data[0][None]])
    errors = [
        float(np.abs(compiled(program, data, tmp_path / str(b), b).run(data[0]).outputs - real[0])
        .mean())
        for b in (16, 8, 4, 2)
    ]  # fmt: skip
    assert errors == sorted(errors)
    assert errors[0] < 0.1 * errors[2]


def separate(net: Network, rng: np.random.Generator, x: SSAValue) -> tuple[nn.LstmOp, list[Any]]:
    """States that go to the target as they are."""
    h, c = net.state(1, 6, name="h"), net.state(1, 6, name="c")
    op = lstm(net, rng, x, initial_h=h, initial_c=c)
    return op, [op.final_h, op.final_c]


def stacked(net: Network, rng: np.random.Generator, x: SSAValue) -> tuple[nn.LstmOp, list[Any]]:
    """Both states in one argument [2, B, H], which the host takes apart and puts together."""
    both = net.argument([2, DYNAMIC, 6], name="state")
    parts = [net.add(nn.SliceOp(both, 0, n, n + 1)) for n in (0, 1)]
    op = lstm(net, rng, x, initial_h=parts[0], initial_c=parts[1])
    return op, [net.add(nn.ConcatOp([op.final_h, op.final_c], 0))]


States = Callable[[Network, np.random.Generator, SSAValue], tuple[nn.LstmOp, list[Any]]]


def streaming(states: States, *, batch_first: bool) -> Program:
    """Layer norm, LSTM, linear, softmax, and the states that it ends in."""
    rng = np.random.default_rng(9)
    net = Network()
    x = net.sequence(8)
    gamma = net.parameter("n.g", np.abs(tensor(rng, 8)) + 1)
    y = net.add(nn.LayerNormOp("n", x, gamma))
    if batch_first:
        y = net.add(nn.TransposeOp(y, (1, 0, 2)))
    op, ends = states(net, rng, y)
    h = net.add(nn.TransposeOp(op.result, (1, 0, 2))) if batch_first else op.result
    out = net.linear("out", h, tensor(rng, 5, 6, gain=3.0), tensor(rng, 5))
    return net.finish([net.add(nn.SoftmaxOp(out, log=True)), *ends])


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("states", [separate, stacked])
def test_chunks_with_carried_states(tmp_path: Path, states: States, batch_first: bool) -> None:
    program = streaming(states, batch_first=batch_first)
    rng = np.random.default_rng(1)
    data = [rng.normal(size=(t, 8)).astype(np.float32) for t in (25, 12)]
    opened = compiled(program, data, tmp_path / "out")
    assert opened.host is not None
    assert set(opened.host.refused) == {"n"}
    whole = opened.run(data[0], check=True)
    assert whole.equal
    outputs, integers, carried = [], [], None
    for chunk in np.split(data[0], [1, 4, 13]):
        ran = opened.run(chunk, states=carried, check=True)
        assert ran.equal
        carried = ran.states
        outputs.append(ran.outputs)
        integers.append(ran.simulation.outputs[0])  # sequences come first, states after them
    np.testing.assert_array_equal(np.concatenate(integers), whole.simulation.outputs[0])
    np.testing.assert_array_equal(np.concatenate(outputs), whole.outputs)
    assert carried is not None
    for one, other in zip(carried, whole.states, strict=True):
        np.testing.assert_array_equal(one, other)
    fresh = opened.run(data[0][13:]).outputs
    assert not np.array_equal(fresh, outputs[-1])  # states do something
    with pytest.raises(mohaq.MohaqError, match=f"takes {len(whole.states)} states"):
        opened.run(data[0], states=[*whole.states, np.zeros((1, 1, 6))])


class Tagger(torch.nn.Module):
    """Linear, BiLSTM, linear, as most people write it: x [B, T, F]."""

    def __init__(self) -> None:
        super().__init__()
        self.front = torch.nn.Linear(6, 8)
        self.lstm = torch.nn.LSTM(8, 7, batch_first=True, bidirectional=True)
        self.out = torch.nn.Linear(14, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logarithms of probabilities [B, T, 5]."""
        h, _ = self.lstm(self.front(x))
        return torch.log_softmax(self.out(h), -1)


def test_a_batch_first_module(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Tagger().eval()
    program = mohaq.load(module, (torch.zeros(2, 5, 6),))
    rng = np.random.default_rng(3)
    data = [rng.normal(size=(t, 6)).astype(np.float32) for t in (10, 7, 13)]
    opened = compiled(program, data, tmp_path / "out", bits=16)
    assert opened.host is not None
    assert opened.host.refused == {}  # all layers run on the target, transposes at the border
    assert [op.label for op in opened.stage("1-quantized").layers()] == ["front", "lstm", "out"]
    for x in data:
        ran = opened.run(x, check=True)
        assert ran.equal
        with torch.no_grad():
            real = module(torch.from_numpy(x)[None])[0].numpy()
        np.testing.assert_allclose(ran.outputs, real, rtol=0, atol=2e-3)


class LastStep(torch.nn.Module):
    """A class for a whole sequence; the head outweighs the recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = torch.nn.GRU(4, 3, batch_first=True)
        self.head = torch.nn.Linear(3, 60)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, 4] -> [B, 60]."""
        h, _ = self.gru(x)
        out: torch.Tensor = self.head(h[:, -1])
        return out


class Windows(torch.nn.Module):
    """No recurrence: a convolution, and a linear layer for each step or for the mean."""

    def __init__(self, *, mean: bool) -> None:
        super().__init__()
        self.mean = mean
        self.conv = torch.nn.Conv1d(4, 8, 3, padding=0 if mean else 1)
        self.head = torch.nn.Linear(8, 9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 4, T] -> [B, T, 9] or [B, 9]."""
        y = torch.relu(self.conv(x))
        out: torch.Tensor = self.head(y.mean(2) if self.mean else y.transpose(1, 2))
        return out


@pytest.mark.parametrize("target", ["reference", "bitfusion-e"])
@pytest.mark.parametrize(
    ("module", "shape"),
    [(LastStep(), (6, 4)), (Windows(mean=True), (4, 6)), (Windows(mean=False), (4, 6))],
    ids=["last step", "mean", "steps"],
)
def test_the_target_runs_the_head_alone(
    tmp_path: Path, module: torch.nn.Module, shape: tuple[int, int], target: str
) -> None:
    program = mohaq.load(module.eval(), (torch.zeros(2, *shape),))
    rng = np.random.default_rng(3)
    data = [rng.normal(size=shape).astype(np.float32) for _ in range(3)]
    mohaq.calibrate(program, data)
    mohaq.compile(program, target, mohaq.Assignment.uniform(16), tmp_path / "out")
    opened = mohaq.CompiledFolder(tmp_path / "out")
    assert opened.host is not None
    assert [op.label for op in opened.stage("1-quantized").layers()] == ["head"]
    for x in data:
        ran = opened.run(x, check=True)
        assert ran.equal
        with torch.no_grad():
            real = module(torch.from_numpy(x)[None])[0].numpy()
        np.testing.assert_allclose(ran.outputs, real, rtol=0, atol=1e-3)


def test_rows_without_time(tmp_path: Path) -> None:
    """A linear layer that takes [N, F] runs on the target whole."""
    torch.manual_seed(0)
    module = torch.nn.Linear(4, 3).eval()
    program = mohaq.load(module, (torch.zeros(2, 4),))
    x = np.random.default_rng(3).normal(size=(5, 4)).astype(np.float32)
    opened = compiled(program, [x], tmp_path / "out", bits=16)
    assert opened.host is None
    ran = opened.run(x, check=True)
    assert ran.equal
    with torch.no_grad():
        real = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ran.outputs, real, rtol=0, atol=1e-3)


def strided() -> Program:
    """[B, 3, T] -> convolutions that do not overlap -> LSTM -> such convolutions -> scores."""
    rng = np.random.default_rng(11)
    net = Network()
    x = net.argument([DYNAMIC, 3, DYNAMIC])

    def conv(name: str, value: SSAValue, outputs: int, inputs: int, kernel: int) -> SSAValue:
        weight = net.parameter(name, tensor(rng, outputs, inputs, kernel, gain=2.0))
        return net.add(nn.Conv1dOp(name, value, weight, stride=kernel))

    y = conv("b", net.add(nn.UnaryOp("relu", conv("a", x, 40, 3, 5))), 8, 40, 2)
    op, ends = separate(net, rng, net.add(nn.TransposeOp(y, (2, 0, 1))))
    h = net.add(nn.TransposeOp(op.result, (1, 2, 0)))
    y = conv("d", net.add(nn.UnaryOp("relu", conv("c", h, 300, 6, 2))), 37, 300, 2)
    return net.finish([net.add(nn.SoftmaxOp(y, 1)), *ends])


def test_what_the_host_computes_does_not_depend_on_the_chunks(tmp_path: Path) -> None:
    opened = compiled(strided(), signals((200, 120)), tmp_path / "out")
    assert opened.host is not None
    assert set(opened.host.refused) == {"a", "b", "c", "d"}
    (x,) = signals((1200,))
    whole = opened.run(x)
    assert whole.outputs.shape == (37, 30)
    for size in (40, 280, 520):
        outputs, states = [], None
        for start in range(0, x.shape[1], size):
            ran = opened.run(x[:, start : start + size], states=states)
            states = ran.states
            outputs.append(ran.outputs)
        np.testing.assert_array_equal(np.concatenate(outputs, 1), whole.outputs)


DAMAGE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no arguments": lambda h: h.pop("arguments"),
    "an argument without a shape": lambda h: h["arguments"][0].pop("shape"),
    "no arguments at all": lambda h: h.update(arguments=[]),
    "shape is text": lambda h: h["arguments"][0].update(shape="abc"),
    "sources are numbers": lambda h: h.update(core_inputs=[3]),
    "no inputs": lambda h: h.update(core_inputs=[]),
    "an unknown part": lambda h: h.update(results=[["elsewhere", 0]]),
    "a result that is not there": lambda h: h.update(results=[["after", 7]]),
    "a negative number": lambda h: h.update(after_inputs=[["core", -1]]),
    "no results": lambda h: h.update(results=[]),
    "an argument that is not there": lambda h: h.update(core_inputs=[["argument", 5]]),
    "a wrong axis": lambda h: h.update(batch_axis=9),
    "an axis in words": lambda h: h.update(result_batch_axis="last"),
    "bytes in words": lambda h: h.update(bytes_to_target_per_frame="few"),
    "refused is a list": lambda h: h.update(refused=[1]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("hosted") / "out"
    compiled(recogniser(), signals((9,)), out)
    return out


@pytest.mark.parametrize("what", [*DAMAGE, "a list", "text"])
def test_a_damaged_plan_is_one_error(folder: Path, what: str) -> None:
    manifest = folder / "manifest.json"
    text = manifest.read_text()
    data = json.loads(text)
    if what in DAMAGE:
        DAMAGE[what](data["host"])
    else:
        data["host"] = [] if what == "a list" else "host"
    try:
        manifest.write_text(json.dumps(data))
        with pytest.raises(mohaq.MohaqError, match=r"(manifest|folder) is damaged") as caught:
            mohaq.CompiledFolder(folder).run(signals((5,))[0])
        assert str(folder) in str(caught.value)
    finally:
        manifest.write_text(text)


def test_a_host_program_that_is_missing(folder: Path) -> None:
    hidden = folder.parent / "hidden"
    (folder / "host-before").rename(hidden)
    try:
        with pytest.raises(mohaq.MohaqError, match="host-before gives 0 values"):
            mohaq.CompiledFolder(folder).run(signals((5,))[0])
    finally:
        hidden.rename(folder / "host-before")


def test_a_quantized_model_keeps_its_scales(tmp_path: Path) -> None:
    """Symmetric int8 with scales of its own: compiled for 8 bits without another rounding."""
    program = mohaq.load(quantized_gru())
    rng = np.random.default_rng(0)
    data = [rng.normal(size=(t, 2)).astype(np.float32) for t in (6, 11)]
    real = run_float(program, [data[1][:, None]])[0]
    opened = compiled(program, data, tmp_path / "out")
    held = {op.label: op for op in opened.stage("1-quantized").layers()}
    given = {op.label: op.given for op in program.layers() if op.given is not None}
    assert set(given) == {"gru", "out"}
    assert set(given["gru"].data) == {"input", "weight", "recurrent"}
    for slot, grid in given["gru"].data.items():
        assert isinstance(grid, GridAttr)
        assert held["gru"].grid(slot) == grid
    ran = opened.run(data[1], check=True)
    assert ran.equal
    assert opened.host is not None
    assert set(opened.host.refused) == {"out"}  # it reads the last state alone
    assert ran.outputs.shape == (4,)
    assert float(np.abs(ran.outputs - real[0]).max()) < 0.02
