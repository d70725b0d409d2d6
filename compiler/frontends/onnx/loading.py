"""Opening an ONNX file without trusting it."""

from __future__ import annotations

import stat
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, EncodeError
from onnx import inliner

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.frontends.onnx.tensors import TensorCheck, tensors, tensors_of_node
from mohaq.compiler.frontends.onnx.wiring import check_text, check_wiring, in_order
from mohaq.compiler.frontends.refuse import shown

OLDEST_OPSET = 7
LARGEST_FILE = 2 << 30
"""Bytes; protobuf's own limit."""


def load_proto(path: Path) -> onnx.ModelProto:
    """A checked model with all tensors in memory, functions inlined, nodes in order.

    Raises:
        MohaqError: missing, damaged, too new, or reaching outside its folder.
    """
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe would never end
            raise MohaqError("cannot read the model", where=str(path), why="it is no regular file")
        if about.st_size > LARGEST_FILE:
            raise MohaqError(
                "the file is larger than 2 GiB", where=str(path), why="protobuf ends there"
            )
        data = path.read_bytes()
    except OSError as error:
        raise MohaqError("cannot read the model", where=str(path), why=error.strerror) from None
    except ValueError as error:
        raise MohaqError("cannot read the model", where=shown(str(path)), why=str(error)) from None
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise MohaqError("not an ONNX file, or damaged", where=str(path), why=str(error)) from None
    return check(model, str(path), path.parent)


def check(model: onnx.ModelProto, where: str, folder: Path | None) -> onnx.ModelProto:
    """The model checked, with external tensors read, functions inlined and nodes in order.

    Args:
        model: changed in place.
        where: for messages.
        folder: that external data must lie in; None if there may be none.

    Raises:
        MohaqError: as `load_proto`.
    """
    if not model.graph.node and not model.graph.output:
        raise MohaqError("not an ONNX model: it holds no graph", where=where)
    check_text(model, where)
    opset_of(model, where)
    check_tensor = TensorCheck(where, folder)
    for tensor in tensors(model.graph, where):
        check_tensor(tensor)
    for function in model.functions:
        for node in function.node:
            for tensor in tensors_of_node(node, where):
                check_tensor(tensor)
    ordered = model if check_wiring(model, where) else in_order(model, where)
    bare = [
        o.type.tensor_type
        for o in ordered.graph.output
        if o.type.HasField("tensor_type") and not o.type.tensor_type.HasField("shape")
    ]
    for kind in bare:  # onnx's checker wants a shape for results, which nobody else does
        kind.shape.SetInParent()
    try:
        onnx.checker.check_model(ordered)
        for kind in bare:
            kind.ClearField("shape")
        if ordered.functions:
            ordered = inliner.inline_local_functions(ordered)
    except (onnx.checker.ValidationError, ValueError, RuntimeError, EncodeError) as error:
        first = str(error).strip().partition("\n")[0]
        raise MohaqError("not a valid ONNX model", where=where, why=shown(first)) from None
    return ordered


def opset_of(model: onnx.ModelProto, where: str) -> int:
    """Version of the standard operators.

    Raises:
        MohaqError: older than 7, or newer than the installed onnx.
    """
    found = next((o.version for o in model.opset_import if o.domain in {"", "ai.onnx"}), None)
    newest = onnx.defs.onnx_opset_version()
    if found is None:
        raise MohaqError("the model does not say its opset", where=where)
    if not OLDEST_OPSET <= found <= newest:
        raise MohaqError(
            f"opset {found} is not supported",
            where=where,
            why=f"this mohaq knows {OLDEST_OPSET} to {newest}",
            hint="convert it with onnx.version_converter, or export it anew",
        )
    return int(found)
