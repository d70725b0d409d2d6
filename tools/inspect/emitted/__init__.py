"""What a target runs, as a person reads it; one file a backend."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from mohaq.tools.inspect.blocks import Block, Line

if TYPE_CHECKING:
    from pathlib import Path

    from mohaq.tools.inspect.subject import CompiledSubject

READERS = ("bitfusion", "epiphany", "reference", "silago")
"""Backends whose emitted folders can be read."""


class Reader(Protocol):
    """A module of this package."""

    summary: Callable[[Path], list[Block]]
    """Instructions of each layer, and what there is beside them."""
    layer: Callable[[Path, int, str], list[Block]]
    """Schedule and instructions of a layer, given its place in the program and its name."""


def emitted_summary(subject: CompiledSubject) -> list[Block]:
    """Figures of the emitted program.

    Raises:
        MohaqError: a file is missing or damaged.
    """
    found = _reader(subject.opened.backend.name)
    return [] if found is None else found.summary(subject.emitted)


def emitted_layer(subject: CompiledSubject, layer: str) -> list[Block]:
    """Schedule and instructions of a layer.

    Raises:
        MohaqError: a file is missing or damaged.
    """
    name = subject.opened.backend.name
    found = _reader(name)
    if found is None:
        return [Line(f"mohaq cannot read the programs of '{name}'")]
    return found.layer(subject.emitted, subject.layer_names().index(layer), layer)


def _reader(backend: str) -> Reader | None:
    if backend not in READERS:
        return None
    return cast("Reader", import_module(f"mohaq.tools.inspect.emitted.{backend}"))
