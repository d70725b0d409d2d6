"""Parameters: named arrays beside a program, in one safetensors file (DESIGN D2)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from xdsl.dialects.builtin import Float32Type, IntegerType, Signedness, TensorType
from xdsl.ir import Attribute

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.types import float_tensor, int_range, int_tensor
from mohaq.compiler.files import write_bytes

Array = npt.NDArray[Any]


def array_hash(array: Array) -> str:
    """sha256 over dtype, shape and row-major little-endian bytes."""
    data = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    digest = hashlib.sha256(f"{array.dtype.name}{array.shape}".encode())
    digest.update(data.tobytes())
    return digest.hexdigest()


class ParameterStore(MutableMapping[str, Array]):
    """{name: array}; arrays are read-only once stored, so hashes and caches stay true."""

    def __init__(self, arrays: Mapping[str, Array] | None = None) -> None:
        self._arrays: dict[str, Array] = {}
        self._hashes: dict[str, str] = {}
        for name, array in (arrays or {}).items():
            self[name] = array

    def __getitem__(self, name: str) -> Array:
        try:
            return self._arrays[name]
        except KeyError:
            raise MohaqError(
                f"parameter '{name}' has no data", hint="is the .safetensors file the right one?"
            ) from None

    def __setitem__(self, name: str, array: Array) -> None:
        held = np.asarray(array, order="C")  # ascontiguousarray would give numbers an extent
        if held is array or np.shares_memory(held, array):
            held = held.copy()
        held.setflags(write=False)
        self._arrays[name] = held
        self._hashes.pop(name, None)

    def __delitem__(self, name: str) -> None:
        del self._arrays[name]
        self._hashes.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def sha256(self, name: str) -> str:
        """Content hash of one array."""
        if name not in self._hashes:
            self._hashes[name] = array_hash(self[name])
        return self._hashes[name]

    def copy(self) -> ParameterStore:
        """A store with the same (shared, read-only) arrays."""
        made = ParameterStore()
        made._arrays = dict(self._arrays)
        made._hashes = dict(self._hashes)
        return made

    def save(self, path: Path, names: Mapping[str, object] | None = None) -> None:
        """Write all (or the named) arrays to a safetensors file, atomically."""
        chosen = {n: self._arrays[n] for n in sorted(names if names is not None else self)}
        write_bytes(path, save(chosen))

    @staticmethod
    def load(path: Path) -> ParameterStore:
        """Read a safetensors file.

        Raises:
            MohaqError: missing, truncated or not safetensors.
        """
        if not Path(path).is_file():
            raise MohaqError("no such parameter file", where=str(path))
        try:
            return ParameterStore(load_file(path))
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise MohaqError(
                "cannot read this parameter file",
                where=str(path),
                why=str(error),
                hint="parameters are .safetensors files; other formats are not loaded",
            ) from None


def tensor_type(array: Array, width: int | None = None) -> TensorType[Attribute]:
    """IR type of an array: float32, or integers of the given (default: storage) width."""
    if array.dtype == np.float32:
        return float_tensor(array.shape)
    if array.dtype.kind not in "iu":
        raise MohaqError(f"parameters are float32 or integers, not {array.dtype}")
    return int_tensor(
        array.shape, width or 8 * array.dtype.itemsize, signed=array.dtype.kind == "i"
    )


def storage_dtype(width: int, *, signed: bool = True) -> np.dtype[Any]:
    """Smallest NumPy integer that stores `width` bits."""
    for size in (8, 16, 32, 64):
        if width <= size:
            return np.dtype(f"{'' if signed else 'u'}int{size}")
    raise MohaqError(f"no storage for {width}-bit integers")


def check_array(name: str, array: Array, kind: TensorType[Attribute]) -> None:
    """Check data against the declared type: shape, element kind, value range, no NaN.

    Raises:
        MohaqError: they disagree.
    """
    where = f"parameter '{name}'"
    if tuple(array.shape) != kind.get_shape():
        raise MohaqError(
            f"data has shape {tuple(array.shape)}, the program says {kind}", where=where
        )
    element = kind.element_type
    if isinstance(element, Float32Type):
        if array.dtype != np.float32:
            raise MohaqError(f"data is {array.dtype}, the program says {kind}", where=where)
        if not np.isfinite(array).all():
            raise MohaqError("data holds NaN or infinity", where=where)
    elif isinstance(element, IntegerType):
        signed = element.signedness.data is Signedness.SIGNED
        width = element.width.data
        if array.dtype != storage_dtype(width, signed=signed):
            raise MohaqError(f"data is {array.dtype}, the program says {kind}", where=where)
        low, high = int_range(width, signed=signed)
        if array.size and (int(array.min()) < low or int(array.max()) > high):
            raise MohaqError(f"data leaves the range of {element}", where=where)
    else:
        raise MohaqError(f"unsupported parameter type {kind}", where=where)
