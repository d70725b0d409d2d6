"""Opening an ONNX file without trusting it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import external_data_helper, helper

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.frontends.refuse import shown

OLDEST_OPSET = 7
LARGEST_FILE = 2 << 30
"""Bytes; protobuf's own limit."""

DEEPEST = 32
"""Levels of subgraphs."""


def load_proto(path: Path) -> onnx.ModelProto:
    """A checked model with all tensors in memory.

    Raises:
        MohaqError: missing, damaged, too new, or reaching outside its folder.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise MohaqError(
                "the file is larger than 2 GiB", where=str(path), why="protobuf ends there"
            )
        data = path.read_bytes()
    except OSError as error:
        raise MohaqError("cannot read the model", where=str(path), why=error.strerror) from None
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise MohaqError("not an ONNX file, or damaged", where=str(path), why=str(error)) from None
    check(model, str(path), path.parent)
    return model


def check(model: onnx.ModelProto, where: str, folder: Path | None) -> None:
    """Check a model and read its external tensors.

    Args:
        model: changed in place.
        where: for messages.
        folder: that external data must lie in; None if there may be none.

    Raises:
        MohaqError: as `load_proto`.
    """
    if not model.graph.node and not model.graph.output:
        raise MohaqError("not an ONNX model: it holds no graph", where=where)
    opset_of(model, where)
    for tensor in tensors(model.graph, where):
        _check_tensor(tensor, where, folder)
    for function in model.functions:
        for node in function.node:
            for tensor in _of_node(node, where, 0):
                _check_tensor(tensor, where, folder)
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        first = str(error).strip().partition("\n")[0]
        raise MohaqError("not a valid ONNX model", where=where, why=shown(first)) from None


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


def tensors(graph: onnx.GraphProto, where: str, depth: int = 0) -> Iterator[onnx.TensorProto]:
    """All constant tensors of a graph and its subgraphs.

    Raises:
        MohaqError: nested too deeply, or sparse tensors.
    """
    if depth > DEEPEST:
        raise MohaqError(f"subgraphs are nested more than {DEEPEST} deep", where=where)
    if graph.sparse_initializer:
        raise MohaqError("sparse tensors are not supported", where=where)
    yield from graph.initializer
    for node in graph.node:
        yield from _of_node(node, where, depth)


def _of_node(node: onnx.NodeProto, where: str, depth: int) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
            raise MohaqError(
                "sparse tensors are not supported", where=f"{where}: '{shown(node.name)}'"
            )
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield from tensors(graph, where, depth + 1)


def _check_tensor(tensor: onnx.TensorProto, where: str, folder: Path | None) -> None:
    place = f"{where}: tensor '{shown(tensor.name)}'"
    if tensor.data_type == onnx.TensorProto.STRING:
        raise MohaqError("tensors of text are not supported", where=place)
    try:
        itemsize = _bits(tensor.data_type)
    except (KeyError, TypeError) as error:
        raise MohaqError("unknown element type", where=place, why=str(error)) from None
    if any(d < 0 for d in tensor.dims):
        raise MohaqError("a size is negative", where=place, why=str(list(tensor.dims)))
    needed = (math.prod(tensor.dims) * itemsize + 7) // 8
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        _read_external(tensor, place, folder, needed)
        return
    if tensor.HasField("raw_data"):
        if len(tensor.raw_data) != needed:
            raise MohaqError(
                "the tensor's data do not fit its size",
                where=place,
                why=f"{list(tensor.dims)} needs {needed} bytes, the file holds {len(tensor.raw_data)}",
            )
        return
    held = sum(
        len(field)
        for field in (
            tensor.float_data,
            tensor.int32_data,
            tensor.int64_data,
            tensor.double_data,
            tensor.uint64_data,
        )
    )
    if held > math.prod(tensor.dims) or held * 8 < math.prod(tensor.dims):
        raise MohaqError(
            "the tensor's data do not fit its size",
            where=place,
            why=f"{list(tensor.dims)} with {held} values in the file",
        )


def _bits(kind: int) -> int:
    """Bits of one element."""
    small = {
        onnx.TensorProto.INT4: 4,
        onnx.TensorProto.UINT4: 4,
        getattr(onnx.TensorProto, "FLOAT4E2M1", -1): 4,
        getattr(onnx.TensorProto, "INT2", -2): 2,
        getattr(onnx.TensorProto, "UINT2", -3): 2,
    }
    return small[kind] if kind in small else 8 * int(helper.tensor_dtype_to_np_dtype(kind).itemsize)


def _read_external(tensor: onnx.TensorProto, place: str, folder: Path | None, needed: int) -> None:
    if folder is None:
        raise MohaqError(
            "the tensor's data lie in another file", where=place, hint="give the path of the model"
        )
    facts = {e.key: e.value for e in tensor.external_data}
    name = facts.get("location", "")
    path = folder / name
    base = folder.resolve()
    if not name or Path(name).is_absolute() or base not in path.resolve().parents:
        raise MohaqError(
            "external data outside the model's folder are not read",
            where=place,
            why=f"'{shown(name)}'",
        )
    try:
        offset, length = int(facts.get("offset", 0)), int(facts.get("length", needed))
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise MohaqError(
            "external data are missing", where=place, why=f"'{shown(name)}': {why}"
        ) from None
    if length != needed or offset < 0 or offset + length > size:
        raise MohaqError(
            "the tensor's data do not fit its size",
            where=place,
            why=f"{list(tensor.dims)} needs {needed} bytes; '{shown(name)}' gives {length} bytes "
            f"at {offset} of {size}",
        )
    external_data_helper.load_external_data_for_tensor(tensor, str(folder))
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]
