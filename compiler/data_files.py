"""Arrays and their description in one file, without pickles."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import write_bytes

Arrays = dict[str, npt.NDArray[Any]]
_META = "mohaq"


def _meta(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except json.JSONDecodeError:
        return {}  # somebody else's description; the arrays count
    return value if isinstance(value, dict) else {}


def read_arrays(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """All arrays of a `.safetensors` or `.npz` file, and its description.

    Raises:
        MohaqError: another kind of file, or one that is damaged or holds pickled objects.
    """
    if path.suffix not in (".safetensors", ".npz"):
        raise MohaqError(
            "a data set is a .safetensors or .npz file",
            where=str(path),
            why=f"got '{path.suffix or path.name}'",
        )
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="numpy") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                return arrays, _meta((file.metadata() or {}).get(_META))
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        described = arrays.pop(_META, None)
        return arrays, _meta(None if described is None else str(described))
    except (SafetensorError, ValueError, OSError, EOFError, KeyError, TypeError) as error:
        reason = str(error)
    except zipfile.BadZipFile as error:
        reason = str(error)
    raise MohaqError("the file is damaged or no data set", where=str(path), why=reason)


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]], meta: str) -> None:
    """Write arrays with a JSON description; the file appears only when complete.

    Raises:
        MohaqError: another suffix than `.safetensors` or `.npz`.
    """
    ordered = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    if path.suffix == ".safetensors":
        write_bytes(path, save(ordered, {_META: meta}))
    elif path.suffix == ".npz":
        buffer = BytesIO()
        members: dict[str, Any] = {**ordered, _META: np.asarray(meta)}
        np.savez_compressed(buffer, **members)
        write_bytes(path, buffer.getvalue())
    else:
        raise MohaqError("a data set is a .safetensors or .npz file", where=str(path))
