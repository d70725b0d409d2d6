"""Backends by name and targets by name or file, found through entry points.

Backends of other packages are imported only where no shipped one is meant; one that cannot be
used is reported with its package, and the others go on.
"""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from mohaq.backends.base import API_VERSION, Backend, Target
from mohaq.backends.outside import outside
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.plugins import Plugin, Plugins, installed


@cache
def _plugins() -> Plugins:
    return installed("backend")


def rescan() -> None:
    """Look at the installed packages again, as after an installation into a running session."""
    importlib.invalidate_caches()
    _plugins.cache_clear()
    get_backend.cache_clear()


def backend_names() -> tuple[str, ...]:
    """Names of all installed backends, broken ones included; shipped ones first."""
    return tuple(_plugins().usable)


@cache
def get_backend(name: str) -> Backend:
    """A backend by name.

    Raises:
        MohaqError: not installed, cannot be imported, not a backend, wrong API version; the
            message names the package.
    """
    plugin = _plugins().require(name)
    if plugin is None:
        raise MohaqError(f"no backend '{name}'", hint=did_you_mean(name, backend_names()))
    found = plugin.load()
    _check(found, plugin)
    return found if plugin.ours else outside(found, plugin)


def _check(found: object, plugin: Plugin) -> None:
    """Refuse what is no backend of this version."""
    if not isinstance(found, Backend):
        own = isinstance(found, type) and issubclass(found, Backend)
        raise MohaqError(
            f"'{plugin.entry.value}' is no backend",
            where=plugin.where,
            why=f"it is a {type(found).__name__}",
            hint="name an object, not its class" if own else "it must be a Backend object",
        )
    # The default in `Backend` is this mohaq's version, not the one a package was written for.
    classes = type(found).__mro__[: type(found).__mro__.index(Backend)]
    if not plugin.ours and not any("api_version" in vars(c) for c in classes):
        raise MohaqError(
            "does not say which API version it was written for",
            where=plugin.where,
            hint=f"set api_version = {API_VERSION} in the class",
        )
    if found.api_version != API_VERSION:
        raise MohaqError(
            f"speaks API version {found.api_version}, this mohaq speaks {API_VERSION}",
            where=plugin.where,
        )
    if getattr(found, "name", None) != plugin.name:
        raise MohaqError(
            f"calls itself '{getattr(found, 'name', None)}'",
            where=plugin.where,
            hint="its name and the name of the entry point must be the same",
        )


def usable_backends() -> tuple[dict[str, Backend], dict[str, MohaqError]]:
    """All backends that work, and the errors of those that do not, by what and whose they are."""
    good: dict[str, Backend] = {}
    broken = {plugin.where: error for plugin, error in _plugins().refused}
    targets: dict[str, str] = {}
    for name, plugin in _plugins().usable.items():
        try:
            backend = get_backend(name)
            for target in backend.targets():
                if not plugin.ours and target in targets:
                    raise MohaqError(
                        f"the name of its target '{target}' is taken",
                        where=plugin.where,
                        why=f"backend '{targets[target]}' has one",
                    )
        except MohaqError as error:
            broken[plugin.where] = error
            continue
        targets.update(dict.fromkeys(backend.targets(), name))
        good[name] = backend
    return good, broken


def find_target(name_or_path: str) -> tuple[Backend, Target]:
    """A target by name (of any backend) or by the path of a TOML file.

    Raises:
        MohaqError: nothing of that name; a malformed file; a backend that cannot be used.
    """
    if name_or_path.endswith(".toml") or Path(name_or_path).is_file():
        backend = get_backend(_declared_backend(Path(name_or_path)))
        return backend, backend.load_target(name_or_path)
    for backend in _shipped():
        if name_or_path in backend.targets():
            return backend, backend.load_target(name_or_path)
    backends, broken = usable_backends()
    for backend in backends.values():
        if name_or_path in backend.targets():
            return backend, backend.load_target(name_or_path)
    known = [target for backend in backends.values() for target in backend.targets()]
    lost = "; ".join(str(e).replace("\n  hint:", ";") for e in broken.values()) or None
    raise MohaqError(
        f"no target '{name_or_path}'",
        why=lost,
        hint=(did_you_mean(name_or_path, known) or "") + " (or the path of a target .toml)",
    )


def _shipped() -> Iterator[Backend]:
    for name, plugin in _plugins().usable.items():
        if plugin.ours:
            yield get_backend(name)


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
