"""What the outcome of a compilation depends on beside its inputs: code and libraries."""

from __future__ import annotations

import contextlib
import hashlib
import platform
import secrets
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import mohaq

IGNORED = ("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")
PLUGINS = "mohaq."
"""Entry-point groups that start so bring code of other packages into a compilation."""


def fingerprint() -> str:
    """Hash of everything that is installed here and may change what a compilation gives.

    These are the files of mohaq itself (the semantics, passes, backends, shipped models and data);
    those of every package outside that registers something for mohaq (backends, passes, metrics,
    objectives); name and version of all installed packages; Python and the machine's kind. Nothing
    is imported for it. If a file cannot be read, the hash is one that never comes again.
    """
    digest = hashlib.sha256()
    said = [sys.version, sys.platform, platform.machine(), *installed()]
    for line in said:
        digest.update(f"{line}\n".encode())
    for place in [Path(mohaq.__file__).parent, *_plugins()]:
        try:
            digest.update(tree_hash(place).encode())
        except OSError:
            digest.update(secrets.token_bytes(32))
    return digest.hexdigest()


def installed() -> list[str]:
    """Name and version of every package on the path, as their metadata folders are called."""
    found = set()
    for place in sys.path:
        with contextlib.suppress(OSError):  # no folder, or none that Python could import from
            names = list(Path(place or ".").iterdir())
            found |= {n.name for n in names if n.suffix in {".dist-info", ".egg-info"}}
    return sorted(found)


def tree_hash(place: Path) -> str:
    """Hash of a file, or of the names and contents of all files below a folder."""
    digest = hashlib.sha256()
    for name, path in sorted(_files(place)):
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _files(place: Path, prefix: str = "") -> Iterator[tuple[str, Path]]:
    if place.is_file():
        yield prefix + place.name, place
        return
    for path in place.iterdir():
        if path.is_dir():  # links to folders too: the package is laid out with them
            if path.name not in IGNORED:
                yield from _files(path, f"{prefix}{path.name}/")
        elif path.suffix not in {".pyc", ".nbc", ".nbi"}:
            yield prefix + path.name, path


def _plugins() -> list[Path]:
    """Top-level packages and modules outside mohaq that register something for it."""
    every = entry_points()
    tops = {
        entry.module.partition(".")[0]
        for group in every.groups
        if group.startswith(PLUGINS)
        for entry in every.select(group=group)
    }
    found: list[Path] = []
    for name in sorted(tops - {"mohaq"}):
        try:
            spec = find_spec(name)
        except (ImportError, ValueError):
            continue  # it cannot be imported, so no code of it can take part
        if spec is None:
            continue
        if spec.submodule_search_locations:
            found += [Path(place) for place in spec.submodule_search_locations]
        elif spec.origin is not None and Path(spec.origin).is_file():
            found.append(Path(spec.origin))
    return found
