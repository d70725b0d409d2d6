"""Operators with integer operands: said again as DequantizeLinear, product and QuantizeLinear."""

from __future__ import annotations

from typing import Any

from onnx import helper

from mohaq.compiler.frontends.onnx.convert import REFUSED, GraphImporter, Held, Node, converts

STATIC = "static quantization: QuantizeLinear with constant scales"
NO_SCALE = "its result is a tensor of integers without a scale"


class _Spelling:
    """Nodes that say one node in other words, under names of their own."""

    def __init__(self, work: GraphImporter, node: Node) -> None:
        self.work, self.node = work, node
        self._count = 0

    def __call__(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Convert one more node; gives the name of its result."""
        self._count += 1
        base = self.node.name if self._count == 1 else f"{self.node.name}.{kind}"
        result = f"{self.node.outputs[0]}.{self._count}.{kind}"
        made = helper.make_node(kind, list(inputs), [result], base, **attributes)
        self.work.convert(Node(made))
        return result

    def real(self, value: str, scale: str, zero: str, axis: int | None = None) -> str:
        """The real values that integers stand for."""
        given = {} if axis is None else {"axis": axis}
        return self("DequantizeLinear", value, scale, zero, **given)


def _scales(work: GraphImporter, node: Node, position: int) -> int:
    return int(work.constant(node, position, "scale").size)


@converts("QLinearMatMul", to="nn.linear or nn.matmul, nn.fake_quantize")
def qlinear_matmul(work: GraphImporter, node: Node) -> Held:
    """QuantizeLinear(MatMul(DequantizeLinear(a), DequantizeLinear(b)))."""
    say = _Spelling(work, node)
    a, b = node.inputs[:3], node.inputs[3:6]
    # Scales of a belong to rows, those of b to columns.
    left = say.real(a[0], a[1], a[2], -2 if _scales(work, node, 1) > 1 else None)
    right = say.real(b[0], b[1], b[2], -1 if _scales(work, node, 4) > 1 else None)
    product = say("MatMul", left, right)
    return work.values[say("QuantizeLinear", product, *node.inputs[6:8])]


@converts("QLinearConv", to="nn.conv1d, nn.fake_quantize")
def qlinear_conv(work: GraphImporter, node: Node) -> Held:
    """QuantizeLinear(Conv(DequantizeLinear(x), DequantizeLinear(w), bias))."""
    say = _Spelling(work, node)
    x, w, y = node.inputs[:3], node.inputs[3:6], node.inputs[6:8]
    left = say.real(*x)
    weight = say.real(w[0], w[1], w[2], 0 if _scales(work, node, 4) > 1 else None)
    parts = [left, weight]
    if node.given(8):  # the operator page: scale x_scale * w_scale, zero point 0
        scale = say("Mul", x[1], w[1])
        parts.append(
            say("DequantizeLinear", node.inputs[8], scale, axis=0)
            if _scales(work, node, 4) > 1
            else say("DequantizeLinear", node.inputs[8], scale)
        )
    attributes = {a.name: helper.get_attribute_value(a) for a in node.proto.attribute}
    result = say("Conv", *parts, **attributes)
    return work.values[say("QuantizeLinear", result, *y)]


REFUSED.update(
    {
        "DynamicQuantizeLinear": ("its scale is computed from the data at run time", STATIC),
        "MatMulInteger": (NO_SCALE, f"QLinearMatMul, or {STATIC}"),
        "ConvInteger": (NO_SCALE, f"QLinearConv, or {STATIC}"),
    }
)
