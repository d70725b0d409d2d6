"""One small program for every form of every `nn` operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.ir import Operation, SSAValue

from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import DYNAMIC
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program

FEATURES = HIDDEN = 6
STEPS = 4

Layer = Callable[["Sketch", SSAValue], Operation]


@dataclass(frozen=True)
class Form:
    """An operation in one of its forms.

    title: e.g. `lstm, projection`. kind: the operation. build: adds it to a network that has one
    sequence [T, B, 6] as input.
    """

    title: str
    kind: type[Operation]
    build: Layer

    def program(self) -> Program:
        """A program of this operation alone."""
        sketch = Sketch()
        op = self.build(sketch, sketch.net.sequence(FEATURES, name="x"))
        sketch.net.add(op)
        return sketch.net.finish([op.results[0]])


class Sketch:
    """A network under construction with random parameters of the usual size."""

    def __init__(self) -> None:
        self.net = Network()
        self.rng = np.random.default_rng(7)
        self.lengths: SSAValue | None = None

    def weights(self, *shape: int) -> SSAValue:
        """A fresh parameter."""
        return self.net.parameter(f"w{self.rng.integers(1 << 30)}", self.values(*shape))

    def values(self, *shape: int) -> npt.NDArray[Any]:
        """Normal values that keep products near one."""
        made: npt.NDArray[Any] = self.rng.normal(size=shape) / np.sqrt(shape[-1])
        return made.astype(np.float32)

    def gates(self, count: int, gates: int) -> tuple[SSAValue, SSAValue, SSAValue]:
        """weight, recurrent and bias of a cell."""
        return (
            self.weights(count, gates, HIDDEN, FEATURES),
            self.weights(count, gates, HIDDEN, HIDDEN),
            self.weights(count, gates, HIDDEN),
        )


def _cell(kind: type[Any], gates: int, **facts: Any) -> Layer:
    def build(sketch: Sketch, x: SSAValue) -> Operation:
        count = nn.DIRECTIONS[facts.get("direction", "forward")]
        made: Operation = kind("layer", x, *sketch.gates(count, gates), **facts)
        return made

    return build


def _lengths(kind: type[Any], gates: int) -> Layer:
    def build(sketch: Sketch, x: SSAValue) -> Operation:
        lengths = sketch.net.argument([DYNAMIC], name="lengths", indices=True)
        made: Operation = kind("layer", x, *sketch.gates(1, gates), lengths=lengths)
        return made

    return build


def _lstm(**sizes: tuple[int, ...]) -> Layer:
    def build(sketch: Sketch, x: SSAValue) -> Operation:
        weight, recurrent, bias = sketch.gates(1, 4)
        extra: dict[str, Any] = {n: sketch.weights(*shape) for n, shape in sizes.items()}
        if "projection" in extra:
            recurrent = sketch.weights(1, 4, HIDDEN, sizes["projection"][1])
        return nn.LstmOp("layer", x, weight, recurrent, bias, **extra)

    return build


def _gru(sketch: Sketch, x: SSAValue) -> Operation:
    given = sketch.gates(1, 3)
    return nn.GruOp("layer", x, *given, recurrent_bias=sketch.weights(1, HIDDEN), reset_after=True)


def _normed(sketch: Sketch, x: SSAValue) -> Operation:
    data = np.abs(sketch.values(1, 2, 4, HIDDEN)) + 0.1
    norm = sketch.net.parameter("norm", data)
    return nn.LiGruOp("layer", x, *sketch.gates(1, 2), norm=norm)


def _sru(skip: str, activation: str = "identity") -> Layer:
    def build(sketch: Sketch, x: SSAValue) -> Operation:
        return nn.SruOp(
            "layer",
            x,
            sketch.weights(1, 4 if skip == "projected" else 3, HIDDEN, FEATURES),
            sketch.weights(1, 2, HIDDEN),
            sketch.weights(1, 2, HIDDEN),
            skip=skip,
            activation=activation,
        )

    return build


def _qrnn(pooling: str, window: int) -> Layer:
    def build(sketch: Sketch, x: SSAValue) -> Operation:
        gates = nn.POOLINGS[pooling]
        weight = sketch.weights(1, gates, HIDDEN, window, FEATURES)
        bias = sketch.weights(1, gates, HIDDEN)
        return nn.QrnnOp("layer", x, weight, bias, pooling=pooling)

    return build


def _conv(sketch: Sketch, x: SSAValue) -> Operation:
    turned = sketch.net.add(nn.TransposeOp(x, (1, 2, 0)))
    return nn.Conv1dOp("layer", turned, sketch.weights(5, FEATURES, 3), pads=(1, 1))


def _pool(sketch: Sketch, x: SSAValue) -> Operation:
    turned = sketch.net.add(nn.TransposeOp(x, (1, 2, 0)))
    return nn.Pool1dOp("max", turned, 2, 2)


def _plane(sketch: Sketch, x: SSAValue) -> SSAValue:
    """[B, 1, T, 6]."""
    return sketch.net.add(nn.UnsqueezeOp(sketch.net.add(nn.TransposeOp(x, (1, 0, 2))), [1]))


def _conv2d(sketch: Sketch, x: SSAValue) -> Operation:
    weight = sketch.weights(5, 1, 3, 3)
    return nn.Conv2dOp("layer", _plane(sketch, x), weight, strides=(1, 2), pads=(1, 1, 1, 1))


def _choice(sketch: Sketch, x: SSAValue) -> Operation:
    mask = sketch.net.add(nn.CompareOp("less", x, sketch.weights(FEATURES)))
    return nn.SelectOp(mask, x, sketch.weights(FEATURES))


def _cast(sketch: Sketch, x: SSAValue) -> Operation:
    return nn.CastOp(sketch.net.add(nn.CastOp(x, whole=True)), whole=False)


def _like(sketch: Sketch, x: SSAValue) -> Operation:
    rows = sketch.net.add(nn.ReshapeOp(x, (-1, FEATURES)))
    return nn.ReshapeOp(rows, (nn.extent_of(0), -1, FEATURES), x)


def _batch_norm(sketch: Sketch, x: SSAValue) -> Operation:
    var = sketch.net.parameter("var", np.abs(sketch.values(FEATURES)) + 0.1)
    gamma, beta, mean = (sketch.weights(FEATURES) for _ in range(3))
    return nn.BatchNormOp("layer", x, gamma, beta, mean, var, axis=2)


def _embedding(sketch: Sketch, _: SSAValue) -> Operation:
    indices = sketch.net.argument([DYNAMIC, DYNAMIC], name="tokens", indices=True)
    return nn.EmbeddingOp("layer", indices, sketch.weights(9, FEATURES))


FORMS: tuple[Form, ...] = (
    Form("rnn (tanh)", nn.RnnOp, _cell(nn.RnnOp, 1)),
    Form(
        "rnn (relu)",
        nn.RnnOp,
        _cell(nn.RnnOp, 1, activations=[nn.FunctionAttr.of("relu")]),
    ),
    Form("lstm", nn.LstmOp, _cell(nn.LstmOp, 4)),
    Form("lstm, reverse", nn.LstmOp, _cell(nn.LstmOp, 4, direction="reverse")),
    Form("lstm, bidirectional", nn.LstmOp, _cell(nn.LstmOp, 4, direction="bidirectional")),
    Form("lstm, peepholes", nn.LstmOp, _lstm(peephole=(1, 3, HIDDEN))),
    Form("lstm, projection", nn.LstmOp, _lstm(projection=(1, 3, HIDDEN))),
    Form("lstm, coupled gates", nn.LstmOp, _cell(nn.LstmOp, 4, coupled=True)),
    Form(
        "lstm, hard sigmoid",
        nn.LstmOp,
        _cell(
            nn.LstmOp,
            4,
            activations=[nn.FunctionAttr.of(f) for f in ("hard_sigmoid", "tanh", "tanh")],
        ),
    ),
    Form("lstm, clip", nn.LstmOp, _cell(nn.LstmOp, 4, clip=3.0)),
    Form("lstm, lengths", nn.LstmOp, _lengths(nn.LstmOp, 4)),
    Form("gru, reset before", nn.GruOp, _cell(nn.GruOp, 3, reset_after=False)),
    Form("gru, reset after", nn.GruOp, _gru),
    Form("ligru", nn.LiGruOp, _cell(nn.LiGruOp, 2)),
    Form("ligru, batch norm", nn.LiGruOp, _normed),
    Form("sru", nn.SruOp, _sru("none")),
    Form("sru, identity skip", nn.SruOp, _sru("identity")),
    Form("sru, projected skip", nn.SruOp, _sru("projected")),
    Form("sru, tanh output", nn.SruOp, _sru("none", "tanh")),
    Form("sru, relu output", nn.SruOp, _sru("none", "relu")),
    Form("qrnn, f", nn.QrnnOp, _qrnn("f", 1)),
    Form("qrnn, fo", nn.QrnnOp, _qrnn("fo", 1)),
    Form("qrnn, ifo", nn.QrnnOp, _qrnn("ifo", 1)),
    Form("qrnn, window 2", nn.QrnnOp, _qrnn("fo", 2)),
    Form("linear", nn.LinearOp, lambda s, x: nn.LinearOp("layer", x, s.weights(5, FEATURES))),
    Form("conv1d", nn.Conv1dOp, _conv),
    Form("pool1d", nn.Pool1dOp, _pool),
    Form("conv2d", nn.Conv2dOp, _conv2d),
    Form("pool2d", nn.Pool2dOp, lambda s, x: nn.Pool2dOp("mean", _plane(s, x), (2, 3), (1, 2))),
    Form("compare", nn.CompareOp, lambda s, x: nn.CompareOp("less", x, s.weights(FEATURES))),
    Form("select", nn.SelectOp, _choice),
    Form("cast", nn.CastOp, _cast),
    Form("arg_reduce", nn.ArgReduceOp, lambda _, x: nn.ArgReduceOp("max", x, 2)),
    Form("batch_norm", nn.BatchNormOp, _batch_norm),
    Form(
        "layer_norm",
        nn.LayerNormOp,
        lambda s, x: nn.LayerNormOp("layer", x, s.weights(FEATURES), s.weights(FEATURES)),
    ),
    Form("embedding", nn.EmbeddingOp, _embedding),
    Form(
        "fake_quantize",
        nn.FakeQuantizeOp,
        lambda s, x: nn.FakeQuantizeOp(x, s.net.parameter("scale", np.array([0.02]))),
    ),
    Form("unary", nn.UnaryOp, lambda _, x: nn.UnaryOp("relu", x)),
    Form("binary", nn.BinaryOp, lambda s, x: nn.BinaryOp("add", x, s.weights(FEATURES))),
    Form(
        "matmul",
        nn.MatmulOp,
        lambda s, x: nn.MatmulOp(x, s.net.add(nn.TransposeOp(x, (0, 2, 1)))),
    ),
    Form("softmax", nn.SoftmaxOp, lambda _, x: nn.SoftmaxOp(x)),
    Form("reduce", nn.ReduceOp, lambda _, x: nn.ReduceOp("mean", x, [2])),
    Form("transpose", nn.TransposeOp, lambda _, x: nn.TransposeOp(x, (1, 0, 2))),
    Form("reshape", nn.ReshapeOp, lambda _, x: nn.ReshapeOp(x, (0, 0, 2, 3))),
    Form("reshape, like", nn.ReshapeOp, _like),
    Form("unsqueeze", nn.UnsqueezeOp, lambda _, x: nn.UnsqueezeOp(x, [0])),
    Form(
        "squeeze",
        nn.SqueezeOp,
        lambda s, x: nn.SqueezeOp(s.net.add(nn.UnsqueezeOp(x, [0])), [0]),
    ),
    Form("slice", nn.SliceOp, lambda _, x: nn.SliceOp(x, 2, 1, 4)),
    Form("flip", nn.FlipOp, lambda _, x: nn.FlipOp(x, 0)),
    Form("concat", nn.ConcatOp, lambda _, x: nn.ConcatOp([x, x], 2)),
    Form("pad", nn.PadOp, lambda _, x: nn.PadOp(x, 2, 1, 1)),
)
"""Every operation of the dialect, recurrent layers first."""
