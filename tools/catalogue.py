"""All passes of this installation by name, found without importing what they stand on.

They come from four places: `mohaq.passes`, the backends of this package (module `passes` of
each), the entry-point group `mohaq.passes` (`name = "module:Class"`), and `Backend.passes()` of
other installed backends, which have to be imported for it. A plug-in that cannot be loaded, or
that takes a name which is taken, is left out and named in `broken`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.plugins import installed
from mohaq.passes.description import Description, UnreadableSource, describe, read_passes
from mohaq.passes.registry import FROM_XDSL, core_modules, loader, outside_passes

if TYPE_CHECKING:
    from xdsl.passes import ModulePass

Loader = Callable[[], "type[ModulePass]"]


class Catalogue(Mapping[str, Loader]):
    """{name: function that imports and returns the class}; looks up others last.

    Attributes:
        broken: what is wrong with plug-ins, of what was looked at.
    """

    def __init__(self) -> None:
        self._broken: dict[str, MohaqError] = {}

    @property
    def broken(self) -> tuple[MohaqError, ...]:
        """See the class."""
        return tuple(self._broken.values())

    def _lost(self, error: MohaqError) -> None:
        self._broken.setdefault(error.message(), error)

    @cached_property
    def _shipped(self) -> dict[str, str]:
        """{name: module}, of the core and of the backends of this package."""
        found = core_modules()
        for plugin in installed("backend").usable.values():
            if plugin.ours:
                module = f"{plugin.entry.module}.passes"
                try:
                    found |= dict.fromkeys(read_passes(module), module)
                except UnreadableSource:
                    continue  # a backend without passes
        return found

    @cached_property
    def _installed(self) -> dict[str, Loader]:
        found, refused = outside_passes(self._shipped)
        for error in refused:
            self._lost(error)
        return found

    @cached_property
    def _from_backends(self) -> dict[str, type[ModulePass]]:
        found: dict[str, type[ModulePass]] = {}
        backends = installed("backend")
        for _, error in backends.refused:
            self._lost(error)
        strangers = [plugin for plugin in backends.usable.values() if not plugin.ours]
        if not strangers:
            return found
        from mohaq.backends.registry import get_backend

        for plugin in strangers:
            try:
                made = dict(get_backend(plugin.name).passes())
            except MohaqError as error:
                self._lost(error)
                continue
            for name, kind in made.items():
                if name in self._shipped or name in self._installed or name in found:
                    what = f"the name of its pass '{name}' is taken"
                    self._lost(MohaqError(what, where=plugin.where))
                else:
                    found[name] = kind
        return found

    def __getitem__(self, name: str) -> Loader:
        if name in self._shipped:
            return loader(name, self._shipped[name])
        if name in self._installed:
            return self._installed[name]
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
        if module is None and (plugin := installed("pass").usable.get(name)) is not None:
            module = plugin.entry.module
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
                self._lost(error)
        return found


def all_passes() -> Catalogue:
    """Passes of the core, of every backend and of plug-ins, by name."""
    return Catalogue()
