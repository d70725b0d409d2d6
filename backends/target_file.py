"""Target files: one TOML a machine, every constant with a unit, a source and a mark."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mohaq.backends.base import Constant, Target
from mohaq.compiler.diagnostics import MohaqError, did_you_mean

MARKS = ("verified", "remembered", "assumed")
SCHEMA = "mohaq.target/1"
TOP = frozenset({"schema", "backend", "name", "description", "constants"})


@dataclass(frozen=True)
class TargetFiles:
    """How the target files of one backend look.

    Attributes:
        folder: of the shipped ones.
        backend: its name.
        title: what messages call it.
        known: names of the constants that a file may have.
        check: raises a MohaqError where the constants make no machine; None: all of them do.
    """

    folder: Path
    backend: str
    title: str
    known: Collection[str]
    check: Callable[[Target], object] | None = None

    def shipped(self) -> tuple[str, ...]:
        """Names of the targets that come with the backend."""
        return tuple(sorted(p.stem for p in self.folder.glob("*.toml")))

    def load(self, name_or_path: str) -> Target:
        """A shipped target by name, or a TOML file by path.

        Raises:
            MohaqError: unknown name, malformed file, or what `check` raises.
        """
        if name_or_path in self.shipped():
            path, own = self.folder / f"{name_or_path}.toml", True
        else:
            path, own = Path(name_or_path), False
            if not path.is_file():
                raise MohaqError(
                    f"no {self.title} target '{name_or_path}'",
                    hint=did_you_mean(name_or_path, self.shipped()),
                )
        where = path.name if own else str(path)
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise MohaqError("cannot read this target file", where=where, why=str(error)) from None
        target = self._target(data, path, where)
        if self.check is not None:
            self.check(target)
        return target

    def _target(self, data: dict[str, Any], path: Path, where: str) -> Target:
        if data.get("schema") != SCHEMA or data.get("backend") != self.backend:
            raise MohaqError(
                f"not a {self.title} target file",
                where=where,
                hint=f'it must say schema = "{SCHEMA}" and backend = "{self.backend}"',
            )
        if unknown := sorted(set(data) - TOP):
            raise MohaqError(f"unknown key '{unknown[0]}'", where=where)
        name, description, tables = (data.get(k) for k in ("name", "description", "constants"))
        if not isinstance(name, str) or not isinstance(description, str) or not name:
            raise MohaqError("'name' and 'description' must be texts", where=where)
        if not isinstance(tables, dict):
            raise MohaqError("'constants' must be a table", where=where)
        for key in tables:
            if key not in self.known:
                raise MohaqError(
                    f"unknown constant '{key}'", where=where, hint=did_you_mean(key, self.known)
                )
        constants = {key: _constant(key, value, where) for key, value in tables.items()}
        return Target(name, self.backend, description, constants, path)


def _constant(name: str, table: Any, where: str) -> Constant:
    if not isinstance(table, dict) or set(table) != {"value", "unit", "source", "mark"}:
        raise MohaqError(
            f"constant '{name}' needs exactly value, unit, source and mark", where=where
        )
    value = table["value"]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MohaqError(f"the value of '{name}' must be a number, got {value!r}", where=where)
    if table["mark"] not in MARKS:
        raise MohaqError(f"the mark of '{name}' must be one of {', '.join(MARKS)}", where=where)
    if not all(isinstance(table[k], str) and table[k] for k in ("unit", "source")):
        raise MohaqError(f"unit and source of '{name}' must be texts", where=where)
    return Constant(value, table["unit"], table["source"], table["mark"])
