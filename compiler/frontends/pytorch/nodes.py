"""What the nodes of an exported graph say of themselves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch.fx import Node


def operation_name(node: Node) -> str:
    """`aten.linear` for `aten.linear.default`."""
    text = str(node.target) if node.op == "call_function" else f"{node.op} {node.target}"
    parts = text.split(".")
    return ".".join(parts[:2]) if len(parts) > 2 else text


def arguments_by_name(node: Node) -> dict[str, Any]:
    """Arguments under the names of the operation's schema."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return {str(n): a for n, a in enumerate(node.args)} | dict(node.kwargs)
    found: dict[str, Any] = {}
    for argument, value in zip(schema.arguments, node.args, strict=False):
        found[argument.name] = value
    return found | dict(node.kwargs)


def layer_path(node: Node) -> str:
    """Path of the module that made a node; empty for the model itself."""
    stack = node.meta.get("nn_module_stack") or {}
    path = next(reversed(stack.values()))[0] if stack else ""
    return re.sub(r"L\['self'\]\.?|L__self___?", "", str(path))


TORCH = str(Path(torch.__file__).parent)


def source_of(node: Node) -> str | None:
    """`file.py:12` of the user's line that made a node."""
    trace = node.meta.get("stack_trace") or ""
    lines = re.findall(r'File "([^"]+)", line (\d+)', trace)
    own = [(f, n) for f, n in lines if not f.startswith(TORCH)]
    if not (own or lines):
        return None
    file, line = (own or lines)[-1]
    return f"{Path(file).name}:{line}"
