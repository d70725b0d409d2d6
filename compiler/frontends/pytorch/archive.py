"""What may be in a `.pt2` file before torch is allowed to open it.

`torch.export.load` unpickles some kinds of entries, and evaluates the expressions that describe
symbolic sizes as Python. Files written by `torch.export.save` from plain models hold raw tensors
and JSON; anything else is refused here, so nothing in a model file ever runs.
"""

from __future__ import annotations

import ast
import io
import json
import math
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.frontends.refuse import shown

REFUSED = {
    "data/aotinductor/": "compiled code",
    "/custom_obj_": "a pickled object",
    "/opaque_obj_": "a pickled object",
    "serialized_state_dict": "the archive format of torch 2.7 and older, which is pickled",
    "serialized_constants": "the archive format of torch 2.7 and older, which is pickled",
}


TARGETS = ("torch.ops.", "_operator.", "torch.sym_")
"""What a node may call."""

SIZE_FUNCTIONS = {
    "Add", "And", "CeilDiv", "CeilToInt", "CleanDiv", "Eq", "Float", "FloorDiv", "FloorToInt",
    "Ge", "Gt", "Integer", "Le", "Lt", "Max", "Min", "Mod", "ModularIndexing", "Mul", "Ne", "Not",
    "Or", "PythonMod", "Rational",
}  # fmt: skip
"""Functions in expressions of sizes; they end soon on any numbers."""

LONGEST = 2000
"""Characters of an expression of sizes."""

BEYOND = 1 << 63


def check_archive(path: Path) -> None:
    """Check that opening the file cannot run code nor need more memory than the file is large.

    Raises:
        MohaqError: not a zip archive, damaged, or holding something that would be unpickled or
            evaluated.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_entries(archive, path)
            for name in archive.namelist():
                _check_entry(archive, name, path)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError) as error:
        raise MohaqError("not a .pt2 file", where=str(path), why=str(error)) from None
    except (ValueError, RuntimeError, RecursionError, struct.error) as error:
        raise _damaged(path, str(error)) from None


def _check_entries(archive: zipfile.ZipFile, path: Path) -> None:
    """Names, sizes and checksums."""
    size = path.stat().st_size
    names = set()
    for entry in archive.infolist():
        # The reader of torch may not tell capitals apart.
        if entry.filename.casefold() in names:
            raise _damaged(path, f"two entries are called '{shown(entry.filename)}'")
        names.add(entry.filename.casefold())
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > size:
            raise _damaged(path, f"'{shown(entry.filename)}' is compressed or larger than the file")
    broken = archive.testzip()
    if broken is not None:
        raise _damaged(path, f"wrong checksum of '{shown(broken)}'")


def _check_entry(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    for part, what in REFUSED.items():
        if part in f"/{name}":
            raise _unsafe(path, what, name)
    inner = name.partition("/")[2]  # entries lie under the archive's own name
    if name.endswith("_config.json"):
        for entry in _json(archive, name, path, "config").values():
            if not isinstance(entry, dict) or entry.get("use_pickle"):
                raise _unsafe(path, "a pickled tensor", name)
            _check_size(entry, path, name)
    elif inner.startswith("models/"):
        _check_model(_json(archive, name, path), path, name)
    elif inner.startswith("data/sample_inputs/"):
        data = archive.read(name)
        if data:
            try:
                torch.load(io.BytesIO(data), weights_only=True)
            except Exception as error:
                raise _unsafe(path, "example inputs that are no plain tensors", name) from error
    elif name.endswith((".pt", ".pkl")):
        raise _unsafe(path, "a pickled entry", name)


def _json(
    archive: zipfile.ZipFile, name: str, path: Path, part: str | None = None
) -> dict[str, Any]:
    held = json.loads(archive.read(name))
    found = held.get(part) or {} if part and isinstance(held, dict) else held
    if not isinstance(found, dict):
        raise _damaged(path, f"'{shown(name)}' is no table")
    return found


def _check_size(entry: dict[str, Any], path: Path, name: str) -> None:
    """A tensor has no more elements than the file has bytes."""
    sizes = (entry.get("tensor_meta") or {}).get("sizes", [])
    numbers = [one.get("as_int") for one in sizes]
    if not all(type(n) is int and n >= 0 for n in numbers):
        raise _damaged(path, f"a tensor in '{shown(name)}' has no size")
    if math.prod(numbers) > path.stat().st_size:
        raise _damaged(path, f"a tensor in '{shown(name)}' is larger than the file")


def _check_model(model: dict[str, Any], path: Path, name: str) -> None:
    """Expressions of sizes, which torch evaluates, and targets, which it looks up."""
    waiting: list[Any] = [model]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
            text, target = one.get("expr_str"), one.get("target")
            if text is not None and not is_size(text):
                raise _unsafe(path, f"code in place of a size, '{shown(str(text))}'", name)
            if isinstance(target, str) and "inputs" in one and not target.startswith(TARGETS):
                raise _unsafe(path, f"a call of '{shown(target)}'", name)


def is_size(text: Any) -> bool:
    """Whether a text is an expression of sizes and nothing else."""
    if not isinstance(text, str) or len(text) > LONGEST:
        return False
    try:
        return _is_size(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _is_size(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=bool()):
            return True
        case ast.Constant(value=int() | float() as number):
            return abs(number) < BEYOND
        case ast.Name(id=name):
            return re.fullmatch(r"[suz]+\d+|true|false|int_oo|oo", name) is not None
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=one):
            return _is_size(one)
        case ast.BinOp(left=a, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right=b):
            return _is_size(a) and _is_size(b)
        case ast.BinOp(left=a, op=ast.Pow(), right=b):
            return _is_power(a, b)
        case ast.Compare(left=a, comparators=others):
            return all(_is_size(n) for n in (a, *others))
        case ast.Call(func=ast.Name(id="Symbol"), args=[ast.Constant(value=str() as name)]):
            options = all(k.arg and isinstance(k.value, ast.Constant) for k in node.keywords)
            return options and re.fullmatch(r"\w{1,80}", name) is not None
        case ast.Call(func=ast.Name(id="Pow" | "PowByNatural"), args=[a, b], keywords=[]):
            return _is_power(a, b)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return name in SIZE_FUNCTIONS and all(_is_size(a) for a in arguments)
    return False


def _is_power(base: ast.expr, exponent: ast.expr) -> bool:
    """A symbol to a small power; towers of powers would not end."""
    if isinstance(exponent, ast.Call) and len(exponent.args) == 1:
        exponent = exponent.args[0]
    symbol = isinstance(base, ast.Name) or (
        isinstance(base, ast.Call) and isinstance(base.func, ast.Name) and base.func.id == "Symbol"
    )
    if not (isinstance(exponent, ast.Constant) and type(exponent.value) is int):
        return False
    return symbol and 0 <= exponent.value <= 8 and _is_size(base)


def _damaged(path: Path, why: str) -> MohaqError:
    return MohaqError("damaged .pt2 file", where=str(path), why=" ".join(why.split())[:200])


def _unsafe(path: Path, what: str, entry: str) -> MohaqError:
    return MohaqError(
        f"this .pt2 file holds {what}, which mohaq does not load",
        where=f"{path}: {shown(entry)}",
        hint="save the model with torch.export.save of a current torch, tensors only; "
        "or import the module itself: mohaq import package:function",
    )
