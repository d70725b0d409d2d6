"""What other packages add through entry points: backends, passes, objectives and metrics.

A plug-in that cannot be used is named with its package and version, and keeps nothing else from
working: names of mohaq's own cannot be taken, and nothing is imported before it is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from mohaq.compiler.diagnostics import MohaqError

GROUPS: Mapping[str, str] = {
    "backend": "mohaq.backends",
    "pass": "mohaq.passes",
    "objective": "mohaq.objectives",
    "metric": "mohaq.metrics",
}
"""Kind of plug-in -> group of its entry points."""

OURS = "mohaq"
"""Package whose entry points are no plug-ins."""


@dataclass(frozen=True)
class Plugin:
    """One entry point of a package.

    Attributes:
        kind: a key of `GROUPS`.
        name: as users write it.
        package: and its version, as in `mohaq-toy 0.1.0`.
        entry: what is imported, and when.
    """

    kind: str
    name: str
    package: str
    entry: EntryPoint

    @property
    def ours(self) -> bool:
        """Whether it comes with mohaq."""
        return self.package.partition(" ")[0] == OURS

    @property
    def where(self) -> str:
        """For messages: what, and of whom."""
        return f"{self.kind} '{self.name}'" + ("" if self.ours else f" of {self.package}")

    def load(self) -> Any:
        """Import what the entry point names.

        Raises:
            MohaqError: the import fails.
        """
        try:
            return self.entry.load()
        except (Exception, SystemExit) as error:
            raise MohaqError(
                f"'{self.entry.value}' cannot be imported", where=self.where, why=said(error)
            ) from error

    def failed(self, doing: str, error: Exception) -> MohaqError:
        """The error for an exception that its code raised while doing something."""
        return MohaqError(
            f"{doing} failed",
            where=self.where,
            why=said(error),
            hint="MOHAQ_TRACEBACK=1 shows where",
        )


@dataclass(frozen=True)
class Plugins:
    """The plug-ins of a kind by name, and the entry points that cannot have the name they want."""

    usable: Mapping[str, Plugin]
    refused: tuple[tuple[Plugin, MohaqError], ...]

    def require(self, name: str) -> Plugin | None:
        """The plug-in of that name, None when there is none.

        Raises:
            MohaqError: several packages want the name.
        """
        if name not in self.usable:
            for plugin, error in self.refused:
                if plugin.name == name:
                    raise error
        return self.usable.get(name)


def installed(kind: str, taken: Collection[str] = ()) -> Plugins:
    """Plug-ins of a kind; nothing is imported.

    Args:
        kind: a key of `GROUPS`.
        taken: names of mohaq's own that are no entry points.
    """
    found = [
        Plugin(kind, entry.name, _package(entry), entry)
        for entry in entry_points(group=GROUPS[kind])
    ]
    own = {p.name: p for p in found if p.ours}
    usable, refused = dict(sorted(own.items())), []
    others = sorted((p for p in found if not p.ours), key=lambda p: (p.name, p.package))
    for plugin in others:
        rivals = [p.package for p in others if p.name == plugin.name and p is not plugin]
        if plugin.name in own or plugin.name in taken:
            why = f"'{plugin.name}' comes with mohaq"
        elif rivals:
            why = f"{rivals[0]} has one of the same name: uninstall one"
        else:
            usable[plugin.name] = plugin
            continue
        refused.append((plugin, MohaqError("the name is taken", where=plugin.where, why=why)))
    return Plugins(usable, tuple(refused))


def owner(code: object) -> Plugin | None:
    """The plug-in whose package defines a class or function; None for mohaq's own."""
    top = str(getattr(code, "__module__", "")).partition(".")[0]
    if top in {OURS, "xdsl", ""}:
        return None
    for kind, group in GROUPS.items():
        for entry in entry_points(group=group):
            if entry.value.partition(":")[0].partition(".")[0] == top:
                return Plugin(kind, entry.name, _package(entry), entry)
    return None


def said(error: BaseException) -> str:
    """An exception on one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _package(entry: EntryPoint) -> str:
    dist = entry.dist
    return f"{dist.name} {dist.version}" if dist is not None else "an unknown package"
