"""Constant tensors of an ONNX file: sizes checked before anything is read or allocated."""

from __future__ import annotations

import math
import stat
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import external_data_helper, helper

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.frontends.refuse import shown

DEEPEST = 20
"""Levels of subgraphs; protobuf itself ends near 30."""

LARGEST_EXTERNAL = 2 << 30
"""Bytes of external data in all; a model in memory cannot be larger (protobuf)."""

SMALL = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
"""Element types of less than a byte -> bits."""

FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")


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
        yield from tensors_of_node(node, where, depth)


def tensors_of_node(node: onnx.NodeProto, where: str, depth: int = 0) -> Iterator[onnx.TensorProto]:
    """The constant tensors among a node's attributes.

    Raises:
        MohaqError: as `tensors`.
    """
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


class TensorCheck:
    """Checks tensor after tensor of one model and reads the external ones.

    Args:
        where: for messages.
        folder: that external data must lie in; None if there may be none.
    """

    def __init__(self, where: str, folder: Path | None) -> None:
        self.where, self.folder = where, folder
        self._read = 0

    def __call__(self, tensor: onnx.TensorProto) -> None:
        """Check one tensor; afterwards it holds its data.

        Raises:
            MohaqError: text, unknown element type, data that do not fit the size, external data
                that are missing or out of bounds.
        """
        place = f"{self.where}: tensor '{shown(tensor.name)}'"
        if tensor.data_type == onnx.TensorProto.STRING:
            raise MohaqError("tensors of text are not supported", where=place)
        bits = _bits(tensor.data_type)
        if bits is None:
            raise MohaqError("unknown element type", where=place, why=f"number {tensor.data_type}")
        if tensor.HasField("segment"):
            raise MohaqError("tensors in segments are not supported", where=place)
        if any(d < 0 for d in tensor.dims):
            raise MohaqError("a size is negative", where=place, why=_dims(tensor))
        count = math.prod(tensor.dims)
        needed = (count * bits + 7) // 8
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            self._read_external(tensor, place, needed)
        elif tensor.HasField("raw_data"):
            if len(tensor.raw_data) != needed:
                raise _misfit(tensor, place, needed, f"the file holds {len(tensor.raw_data)}")
        else:
            _check_fields(tensor, place, count, bits)

    def _read_external(self, tensor: onnx.TensorProto, place: str, needed: int) -> None:
        if self.folder is None:
            raise MohaqError(
                "the tensor's data lie in another file",
                where=place,
                hint="give the path of the model",
            )
        facts = {e.key: e.value for e in tensor.external_data}
        name = facts.get("location", "")
        _confine(self.folder, name, place)
        try:
            offset, length = int(facts.get("offset", 0)), int(facts.get("length", needed))
            about = (self.folder / name).stat()
            # A pipe would never end, a device has no size.
            if not stat.S_ISREG(about.st_mode):
                raise ValueError("it is no regular file")
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else shown(str(error))
            raise MohaqError(
                "external data are missing", where=place, why=f"'{shown(name)}': {why}"
            ) from None
        if length != needed or offset < 0 or offset + length > about.st_size:
            gives = f"'{shown(name)}' gives {length} bytes at {offset} of {about.st_size}"
            raise _misfit(tensor, place, needed, gives)
        self._read += needed
        if self._read > LARGEST_EXTERNAL:
            raise MohaqError("the external data are larger than 2 GiB", where=self.where)
        try:
            external_data_helper.load_external_data_for_tensor(tensor, str(self.folder))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            first = str(error).strip().partition("\n")[0]
            raise MohaqError(
                "external data cannot be read", where=place, why=shown(first)
            ) from None
        if len(tensor.raw_data) != needed:  # the file has changed meanwhile
            raise _misfit(tensor, place, needed, f"'{shown(name)}' gave {len(tensor.raw_data)}")
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _bits(kind: int) -> int | None:
    """Bits of one element; None for no such type."""
    try:
        name = onnx.TensorProto.DataType.Name(kind)
        return SMALL.get(name) or 8 * int(helper.tensor_dtype_to_np_dtype(kind).itemsize)
    except (KeyError, ValueError, TypeError):
        return None


def _dims(tensor: onnx.TensorProto) -> str:
    text = ", ".join(str(d) for d in list(tensor.dims)[:8])
    return f"[{text}, ...]" if len(tensor.dims) > 8 else f"[{text}]"


def _misfit(tensor: onnx.TensorProto, place: str, needed: int, has: str) -> MohaqError:
    return MohaqError(
        "the tensor's data do not fit its size",
        where=place,
        why=f"{_dims(tensor)} needs {needed} bytes; {has}",
    )


def _check_fields(tensor: onnx.TensorProto, place: str, count: int, bits: int) -> None:
    """Data in the typed fields: one entry an element, or two for complex ones, or packed."""
    held = sum(len(getattr(tensor, field)) for field in FIELDS)
    wanted = {count}
    if bits < 8:
        wanted.add(-(-count * bits // 8))
    name = onnx.TensorProto.DataType.Name(tensor.data_type)
    if name.startswith("COMPLEX"):
        wanted = {2 * count}
    if held not in wanted:
        raise MohaqError(
            "the tensor's data do not fit its size",
            where=place,
            why=f"{_dims(tensor)} with {held} values in the file",
        )


def _confine(folder: Path, name: str, place: str) -> None:
    """Refuse paths that lead out of the folder, through `..` or symbolic links.

    Raises:
        MohaqError: it does, or it is no path at all.
    """
    try:
        inside = bool(name) and not Path(name).is_absolute() and "\0" not in name
        inside = inside and folder.resolve() in (folder / name).resolve().parents
    except (OSError, ValueError, RuntimeError):  # too long, or links in a circle
        inside = False
    if not inside:
        raise MohaqError(
            "external data outside the model's folder are not read",
            where=place,
            why=f"'{shown(name)}'",
        )
