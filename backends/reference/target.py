"""Target files of the reference backend."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from mohaq.backends.base import Constant, Target
from mohaq.compiler.diagnostics import MohaqError, did_you_mean

FOLDER = Path(__file__).parent / "targets"
BACKEND_NAME = "reference"
MARKS = ("verified", "remembered", "assumed")

POSITIVE_WHOLE = (
    "datapath_bits",
    "accumulator_bits",
    "unit_cycles",
    "cache_bytes",
    "model_bytes",
)
POSITIVE = ("clock",)
NOT_NEGATIVE = (
    "reconfigure_cycles",
    "bit_energy",
    "unit_energy",
    "cache_energy",
    "shared_energy",
    "idle_power",
)


def shipped() -> tuple[str, ...]:
    """Names of the targets that come with the backend."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load_target(name_or_path: str) -> Target:
    """A shipped target by name, or a user's file.

    Raises:
        MohaqError: no such target; malformed file; a constant missing or out of range.
    """
    path = Path(name_or_path)
    if name_or_path in shipped():
        path = FOLDER / f"{name_or_path}.toml"
    elif path.suffix != ".toml":
        raise MohaqError(f"no target '{name_or_path}'", hint=did_you_mean(name_or_path, shipped()))
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
    except FileNotFoundError:
        raise MohaqError("no such target file", where=str(path)) from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MohaqError("cannot read this target file", where=str(path), why=str(error)) from None
    target = _target(data, path)
    for name in (*POSITIVE_WHOLE, *POSITIVE, *NOT_NEGATIVE):
        value = target[name]
        if name in POSITIVE_WHOLE and (value != int(value) or value < 1):
            raise MohaqError(f"'{name}' must be whole and positive, got {value}", where=str(path))
        if value < 0 or (value == 0 and name in POSITIVE):
            raise MohaqError(f"'{name}' is out of range: {value}", where=str(path))
    target.whole("reconfigure_cycles")
    return target


def _target(data: dict[str, Any], path: Path) -> Target:
    name = data.get("name")
    if data.get("backend") != BACKEND_NAME or not isinstance(name, str):
        raise MohaqError(
            f'the file must say name = "..." and backend = "{BACKEND_NAME}"', where=str(path)
        )
    rows = data.get("constants")
    if not isinstance(rows, dict):
        raise MohaqError("the file has no [constants]", where=str(path))
    return Target(
        name,
        BACKEND_NAME,
        str(data.get("description", "")),
        {key: _constant(key, row, path) for key, row in rows.items()},
        path,
    )


def _constant(key: str, row: Any, path: Path) -> Constant:
    where = f"{path}: constants.{key}"
    if not isinstance(row, dict) or set(row) != {"value", "unit", "source", "mark"}:
        raise MohaqError("a constant has value, unit, source and mark", where=where)
    value = row["value"]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MohaqError(f"the value must be a number, got {value!r}", where=where)
    if row["mark"] not in MARKS:
        raise MohaqError(
            f"mark '{row['mark']}' is unknown", where=where, hint=did_you_mean(row["mark"], MARKS)
        )
    return Constant(float(value), str(row["unit"]), str(row["source"]), row["mark"])
