"""All passes of this installation by name, found without importing what they stand on.

They come from four places: `mohaq.passes`, the backends of this package (module `passes` of
each), the entry-point group `mohaq.passes` (`name = "module:Class"`), and `Backend.passes()` of
other installed backends, which have to be imported for it. A plug-in that cannot be loaded, or
that takes a name which is taken, is left out and named in `broken`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from mohaq.compiler.diagnostics import MohaqError
from mohaq.passes.description import Description, UnreadableSource, describe, read_passes
from mohaq.passes.registry import FROM_XDSL, core_modules, loader

if TYPE_CHECKING:
    from xdsl.passes import ModulePass

Loader = Callable[[], "type[ModulePass]"]

PASSES, BACKENDS = "mohaq.passes", "mohaq.backends"
"""Groups of entry points."""


class Catalogue(Mapping[str, Loader]):
    """{name: function that imports and returns the class}; looks up others last.

    Attributes:
        broken: {plug-in: what is wrong with it}, of what was looked at.
    """

    def __init__(self) -> None:
        self.broken: dict[str, str] = {}

    @cached_property
    def _shipped(self) -> dict[str, str]:
        """{name: module}, of the core and of the backends of this package."""
        found = core_modules()
        for entry in sorted(entry_points(group=BACKENDS)):
            if _ours(entry):
                module = f"{entry.module}.passes"
                try:
                    found |= dict.fromkeys(read_passes(module), module)
                except UnreadableSource:
                    continue  # a backend without passes
        return found

    @cached_property
    def _installed(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for entry in sorted(entry_points(group=PASSES)):
            if entry.name in self._shipped or entry.name in found:
                self.broken[f"pass '{entry.name}' ({entry.value})"] = "the name is taken"
            else:
                found[entry.name] = entry
        return found

    @cached_property
    def _from_backends(self) -> dict[str, type[ModulePass]]:
        found: dict[str, type[ModulePass]] = {}
        strangers = [e for e in sorted(entry_points(group=BACKENDS)) if not _ours(e)]
        if not strangers:
            return found
        from mohaq.backends.registry import get_backend

        for entry in strangers:
            try:
                made = dict(get_backend(entry.name).passes())
            except Exception as error:  # noqa: BLE001  others' code; it must not take us down
                self.broken[f"backend '{entry.name}' ({entry.value})"] = _reason(error)
                continue
            for name, kind in made.items():
                if name in self._shipped or name in self._installed or name in found:
                    self.broken[f"pass '{name}' of backend '{entry.name}'"] = "the name is taken"
                else:
                    found[name] = kind
        return found

    def __getitem__(self, name: str) -> Loader:
        if name in self._shipped:
            return loader(name, self._shipped[name])
        if name in self._installed:
            entry = self._installed[name]
            return lambda: _load(entry)
        kind = self._from_backends[name]
        return lambda: kind

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._shipped, *self._installed, *self._from_backends}))

    def __len__(self) -> int:
        return len(self._shipped) + len(self._installed) + len(self._from_backends)

    def describe(self, name: str) -> Description:
        """What a pass says about itself; from its source where that can be read.

        Raises:
            MohaqError: a plug-in's pass that cannot be loaded.
            KeyError: there is no such pass.
        """
        module = self._shipped.get(name)
        if module is None and name in self._installed:
            module = self._installed[name].module
        if module is not None:
            try:
                made = read_passes(module)[name]
            except (UnreadableSource, KeyError):
                return describe(self[name](), name)
            if name in FROM_XDSL:
                return Description(name, module, FROM_XDSL[name][1], made.options)
            return made
        return describe(self[name](), name)

    def descriptions(self) -> list[Description]:
        """All that can be described; `broken` names the rest."""
        found = []
        for name in self:
            try:
                found.append(self.describe(name))
            except MohaqError as error:
                self.broken[f"pass '{name}'"] = str(error)
        return found


def all_passes() -> Catalogue:
    """Passes of the core, of every backend and of plug-ins, by name."""
    return Catalogue()


def _ours(entry: EntryPoint) -> bool:
    return entry.module.startswith("mohaq.")


def _load(entry: EntryPoint) -> type[ModulePass]:
    """The class of an entry point.

    Raises:
        MohaqError: it cannot be imported, or is no pass of that name.
    """
    from xdsl.passes import ModulePass

    where = f"pass '{entry.name}' ({entry.value})"
    try:
        found = entry.load()
    except Exception as error:
        raise MohaqError("cannot be imported", where=where, why=_reason(error)) from error
    if not (isinstance(found, type) and issubclass(found, ModulePass)):
        raise MohaqError("is not an xdsl.passes.ModulePass", where=where)
    if getattr(found, "name", None) != entry.name:
        raise MohaqError(
            f"calls itself '{getattr(found, 'name', None)}'",
            where=where,
            hint="the entry point and the class must give the same name",
        )
    return found


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, MohaqError) else f"{type(error).__name__}: {error}"
