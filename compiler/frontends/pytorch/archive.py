"""What may be in a `.pt2` file before torch is allowed to open it.

`torch.export.load` unpickles some kinds of entries. Files written by `torch.export.save` from
plain models hold raw tensors and JSON; anything else is refused here, so no pickle of a model
file ever runs.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import torch

from mohaq.compiler.diagnostics import MohaqError

REFUSED = {
    "data/aotinductor/": "compiled code",
    "/custom_obj_": "a pickled object",
    "/opaque_obj_": "a pickled object",
    "serialized_state_dict": "the archive format of torch 2.7 and older, which is pickled",
    "serialized_constants": "the archive format of torch 2.7 and older, which is pickled",
}


def check_archive(path: Path) -> None:
    """Check that opening the file cannot run code.

    Raises:
        MohaqError: not a zip archive, damaged, or holding something that would be unpickled.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                _check_entry(archive, name, path)
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise MohaqError("not a .pt2 file", where=str(path), why=str(error)) from None


def _check_entry(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    for part, what in REFUSED.items():
        if part in f"/{name}":
            raise _unsafe(path, what, name)
    inner = name.partition("/")[2]  # entries lie under the archive's own name
    if name.endswith("_config.json"):
        try:
            config = json.loads(archive.read(name)).get("config") or {}
            pickled = [k for k, v in config.items() if v.get("use_pickle")]
        except (ValueError, AttributeError, zipfile.BadZipFile) as error:
            raise MohaqError("damaged .pt2 file", where=f"{path}: {name}", why=str(error)) from None
        if pickled:
            raise _unsafe(path, f"a pickled tensor '{pickled[0]}'", name)
    elif inner.startswith("data/sample_inputs/"):
        data = archive.read(name)
        if data:
            try:
                torch.load(io.BytesIO(data), weights_only=True)
            except Exception as error:
                raise _unsafe(path, "example inputs that are no plain tensors", name) from error
    elif name.endswith((".pt", ".pkl")):
        raise _unsafe(path, "a pickled entry", name)


def _unsafe(path: Path, what: str, entry: str) -> MohaqError:
    return MohaqError(
        f"this .pt2 file holds {what}, which mohaq does not load",
        where=f"{path}: {entry}",
        hint="save the model with torch.export.save of a current torch, tensors only; "
        "or import the module itself: mohaq import package:function",
    )
