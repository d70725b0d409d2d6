"""Backends by name and targets by name or file, found through entry points."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from mohaq.backends.base import API_VERSION, Backend, Target
from mohaq.compiler.diagnostics import MohaqError, did_you_mean

GROUP = "mohaq.backends"


@cache
def _entries() -> dict[str, EntryPoint]:
    return {e.name: e for e in entry_points(group=GROUP)}


def backend_names() -> tuple[str, ...]:
    """Names of all installed backends, broken ones included."""
    return tuple(sorted(_entries()))


@cache
def get_backend(name: str) -> Backend:
    """A backend by name.

    Raises:
        MohaqError: not installed, cannot be imported, not a backend, wrong API version.
    """
    entries = _entries()
    if name not in entries:
        raise MohaqError(f"no backend '{name}'", hint=did_you_mean(name, entries))
    where = f"backend '{name}' ({entries[name].value})"
    try:
        found = entries[name].load()
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise MohaqError("cannot be imported", where=where, why=why) from error
    if not isinstance(found, Backend):
        raise MohaqError("is not a mohaq.backends.base.Backend", where=where)
    if found.api_version != API_VERSION:
        raise MohaqError(
            f"speaks API version {found.api_version}, this mohaq speaks {API_VERSION}", where=where
        )
    return found


def usable_backends() -> tuple[dict[str, Backend], dict[str, MohaqError]]:
    """All backends that load, and the errors of those that do not."""
    good: dict[str, Backend] = {}
    broken: dict[str, MohaqError] = {}
    for name in backend_names():
        try:
            good[name] = get_backend(name)
        except MohaqError as error:
            broken[name] = error
    return good, broken


def find_target(name_or_path: str) -> tuple[Backend, Target]:
    """A target by name (of any backend) or by the path of a TOML file.

    Raises:
        MohaqError: nothing of that name; a malformed file.
    """
    if name_or_path.endswith(".toml") or Path(name_or_path).is_file():
        backend = get_backend(_declared_backend(Path(name_or_path)))
        return backend, backend.load_target(name_or_path)
    backends, broken = usable_backends()
    known: list[str] = []
    for backend in backends.values():
        if name_or_path in backend.targets():
            return backend, backend.load_target(name_or_path)
        known.extend(backend.targets())
    lost = "; ".join(str(e) for e in broken.values()) or None
    raise MohaqError(
        f"no target '{name_or_path}'",
        why=lost,
        hint=(did_you_mean(name_or_path, known) or "") + " (or the path of a target .toml)",
    )


def _declared_backend(path: Path) -> str:
    try:
        with path.open("rb") as file:
            name = tomllib.load(file).get("backend")
    except FileNotFoundError:
        raise MohaqError("no such target file", where=str(path)) from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MohaqError("cannot read this target file", where=str(path), why=str(error)) from None
    if not isinstance(name, str):
        raise MohaqError('the target file must say backend = "name"', where=str(path))
    return name
