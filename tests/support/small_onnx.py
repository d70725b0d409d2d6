"""Small ONNX models, and ways to damage them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import ml_dtypes  # noqa: F401  gives NumPy the names int4 and uint4
import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import helper, numpy_helper

Array = npt.NDArray[Any]
FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def info(name: str, shape: list[Any] | None, kind: int = FLOAT) -> onnx.ValueInfoProto:
    """An input or a result."""
    return helper.make_tensor_value_info(name, kind, shape)


def constant(name: str, values: Any) -> onnx.TensorProto:
    """An initializer."""
    return numpy_helper.from_array(np.asarray(values), name)


def weights(name: str, *shape: int, seed: int = 0) -> onnx.TensorProto:
    """Random weights."""
    rng = np.random.default_rng([seed, *name.encode()])
    return constant(name, (0.4 * rng.normal(size=shape)).astype(np.float32))


def integers(name: str, *shape: int, dtype: str = "int8", seed: int = 0) -> onnx.TensorProto:
    """Random integer weights."""
    rng = np.random.default_rng([seed, *name.encode()])
    width = int("".join(c for c in dtype if c.isdigit()))
    high = (1 << width) - 1 if dtype.startswith("u") else (1 << (width - 1)) - 1
    low = 0 if dtype.startswith("u") else -high
    return constant(name, rng.integers(low, high, size=shape, endpoint=True).astype(dtype))


def model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    initializers: list[onnx.TensorProto] | None = None,
    *,
    opset: int = 21,
    functions: list[onnx.FunctionProto] | None = None,
) -> onnx.ModelProto:
    """A model; functions live in the domain `local`."""
    graph = helper.make_graph(nodes, "small", inputs, outputs, initializers or [])
    imports = [helper.make_opsetid("", opset)]
    if functions:
        imports.append(helper.make_opsetid("local", 1))
    return helper.make_model(graph, opset_imports=imports, functions=functions or [], ir_version=10)


def lstm() -> onnx.ModelProto:
    """An LSTM: x [T, B, 2] -> y [T, B, 3]."""
    return model(
        [
            helper.make_node("LSTM", ["x", "W", "R", "B"], ["all"], "lstm", hidden_size=3),
            helper.make_node("Squeeze", ["all", "axis"], ["y"], "squeeze"),
        ],
        [info("x", ["T", "B", 2])],
        [info("y", ["T", "B", 3])],
        [
            weights("W", 1, 12, 2),
            weights("R", 1, 12, 3),
            weights("B", 1, 24),
            constant("axis", [1]),
        ],
    )


def quantized_gru() -> onnx.ModelProto:
    """A GRU and a Gemm with quantized weights and input: x [T, B, 2] -> y [B, 4]."""
    scales = {"sx": 0.02, "sw": 0.004, "sr": 0.006, "sg": 0.01}
    return model(
        [
            helper.make_node("QuantizeLinear", ["x", "sx", "zero"], ["xq"]),
            helper.make_node("DequantizeLinear", ["xq", "sx", "zero"], ["xd"]),
            helper.make_node("DequantizeLinear", ["Wq", "sw", "zero"], ["W"]),
            helper.make_node("DequantizeLinear", ["Rq", "sr", "zero"], ["R"]),
            helper.make_node("DequantizeLinear", ["Gq", "sg", "zero"], ["G"]),
            helper.make_node("GRU", ["xd", "W", "R"], ["", "last"], "gru", hidden_size=3),
            helper.make_node("Squeeze", ["last", "axis"], ["h"]),
            helper.make_node("Gemm", ["h", "G"], ["y"], "out", transB=1),
        ],
        [info("x", ["T", "B", 2])],
        [info("y", ["B", 4])],
        [
            integers("Wq", 1, 9, 2),
            integers("Rq", 1, 9, 3),
            integers("Gq", 4, 3),
            *(constant(name, np.float32(value)) for name, value in scales.items()),
            constant("zero", np.int8(0)),
            constant("axis", [0]),
        ],
    )


def branches() -> onnx.ModelProto:
    """An If on `sr`: tanh(x W1) at 16000, tanh(relu(x) W2) else; x [T, B, 2] -> y [T, B, 3]."""
    one = helper.make_graph(
        [helper.make_node("MatMul", ["x", "W1"], ["p"])],
        "one",
        [],
        [info("p", None)],
        [weights("W1", 2, 3)],
    )
    two = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["r"]),
            helper.make_node("MatMul", ["r", "W2"], ["q"]),
        ],
        "two",
        [],
        [info("q", None)],
    )
    return model(
        [
            helper.make_node("Equal", ["sr", "rate"], ["same"], "compare"),
            helper.make_node("If", ["same"], ["o"], "if", then_branch=one, else_branch=two),
            helper.make_node("Tanh", ["o"], ["y"]),
        ],
        [info("x", ["T", "B", 2]), info("sr", [], INT64)],
        [info("y", ["T", "B", 3])],
        [weights("W2", 2, 3), constant("rate", np.int64(16000))],
    )


MODELS: Mapping[str, tuple[onnx.ModelProto, dict[str, Any]]] = {
    "lstm": (lstm(), {}),
    "gru": (quantized_gru(), {}),
    "if": (branches(), {"sr": 16000}),
}
"""Name -> model and the inputs to fix."""


def broken_bytes(data: bytes, draw: random.Random) -> bytes:
    """Cut, flip, replace or insert a few bytes."""
    broken = bytearray(data)
    for _ in range(draw.randint(1, 3)):
        place = draw.randrange(max(len(broken), 1))
        match draw.randrange(4):
            case 0:
                del broken[place:]
            case 1 if broken:
                broken[place] ^= 1 << draw.randrange(8)
            case 2:
                broken[place:place] = draw.randbytes(draw.randint(1, 5))
            case _ if broken:
                broken[place] = draw.randrange(256)
    return bytes(broken)


HOSTILE = ["", "../../x", "a\nb\"'", "x" * 10_000, "é\0", "<b>&"]
NUMBERS = [0, 1, -1, 2, 3, 7, 16, 22, 255, 2**31 - 1, -(2**31), 2**40, 2**62, -(2**63)]
REALS = [0.0, 1.0, -1.0, float("nan"), float("inf"), 1e30]


def broken_fields(model: onnx.ModelProto, draw: random.Random) -> onnx.ModelProto:
    """Still protobuf, but with fields changed, left out, doubled or shuffled."""
    broken = onnx.ModelProto()
    broken.CopyFrom(model)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        messages = list(_messages(broken))
        names = sorted({t for m in messages for t in _texts(m)})
        message = draw.choice(messages)
        held = [field for field, _ in message.ListFields()]
        known = list(message.DESCRIPTOR.fields)
        field = draw.choice(held) if held and draw.random() < 0.8 else draw.choice(known)
        same = [m.SerializeToString() for m in messages if m.DESCRIPTOR is field.message_type]
        if field.is_repeated:
            _break_list(getattr(message, field.name), field, same, names, draw)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            message.ClearField(field.name)
            if same and draw.random() < 0.6:
                getattr(message, field.name).ParseFromString(draw.choice(same))
        elif draw.random() < 0.2:
            message.ClearField(field.name)
        else:
            _assign(message, field, _value(field, names, draw))
    return broken


def _messages(message: Message, depth: int = 0) -> list[Message]:
    found = [message]
    if depth < 12:
        for field, value in message.ListFields():
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                for inner in value if field.is_repeated else [value]:
                    found += _messages(inner, depth + 1)
    return found


def _texts(message: Message) -> list[str]:
    return [
        text
        for field, value in message.ListFields()
        if field.type == FieldDescriptor.TYPE_STRING
        for text in (value if field.is_repeated else [value])
    ]


def _value(field: FieldDescriptor, names: list[str], draw: random.Random) -> Any:
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return draw.choice(names + HOSTILE)
        case FieldDescriptor.TYPE_BYTES:
            return draw.choice([b"", b"\xff\xfe", draw.randbytes(draw.randrange(20)), b"../x"])
        case FieldDescriptor.TYPE_FLOAT | FieldDescriptor.TYPE_DOUBLE:
            return draw.choice(REALS)
        case FieldDescriptor.TYPE_ENUM:
            return draw.choice(list(field.enum_type.values_by_number))
        case FieldDescriptor.TYPE_INT32:
            return draw.choice([n for n in NUMBERS if -(2**31) <= n < 2**31])
        case FieldDescriptor.TYPE_UINT64:
            return draw.choice([abs(n) for n in NUMBERS])
        case _:
            return draw.choice(NUMBERS)


def _assign(message: Message, field: FieldDescriptor, value: Any) -> None:
    setattr(message, field.name, value)


def _break_list(
    values: Any, field: FieldDescriptor, same: list[bytes], names: list[str], draw: random.Random
) -> None:
    choice = draw.randrange(4)
    if choice == 0 and len(values):
        del values[draw.randrange(len(values))]
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        if choice == 1 and len(values) > 1:
            kind = type(values[0])
            held = [kind.FromString(v.SerializeToString()) for v in values]
            draw.shuffle(held)
            del values[:]
            values.extend(held)
        elif same:
            values.add().ParseFromString(draw.choice(same))
    elif choice in (1, 2) and len(values):
        values[draw.randrange(len(values))] = _value(field, names, draw)
    else:
        values.append(_value(field, names, draw))
