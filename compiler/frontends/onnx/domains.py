"""Operators of other domains."""

from __future__ import annotations

from mohaq.compiler.frontends.refuse import refuse, shown

STANDARD = {"", "ai.onnx"}
ONNXRUNTIME = "com.microsoft"
BORROWED = {"QuantizeLinear", "DequantizeLinear"}
"""Standard operators that onnxruntime's tools put in its own domain, for types that the opset lacks."""


def check_domain(domain: str, kind: str, name: str) -> None:
    """Refuse what is no standard operator.

    Args:
        domain: of the node.
        kind: its operator.
        name: of the node, for messages.

    Raises:
        MohaqError: the domain is unknown.
    """
    if domain in STANDARD or (domain == ONNXRUNTIME and kind in BORROWED):
        return
    advice = "standard operators (onnxruntime's quantization tool: quant_format=QDQ)"
    raise refuse(
        f"{shown(domain)}.{kind}",
        name=name,
        why="operators of other domains are not known",
        instead=advice if domain == ONNXRUNTIME else None,
    )
