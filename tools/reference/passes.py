"""docs/reference/passes.md: every pass with its options."""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.passes import ModulePass, PassOptionInfo, get_pass_option_infos

from mohaq.backends.registry import usable_backends
from mohaq.passes.registry import FROM_XDSL, core_passes
from mohaq.tools.reference.markdown import NOTICE, plain, table

HEAD = f"""# Passes

{NOTICE}

`mohaq-opt` runs these in the order of `--pipeline`; `mohaq passes NAME` prints the same. Options
stand in braces with blanks between them, lists have commas, names may have hyphens for underscores:
`calibrate{{data="cal.npz" widths=4,8}},uniform{{bits=8}}`. An option without a default is required.
A backend of yours adds its own; they are not on this page.
"""


def tree_passes() -> dict[str, type[ModulePass]]:
    """Passes of this package, by name; those of installed plug-ins are left out."""
    found = {name: load() for name, load in core_passes().items()}
    for backend in usable_backends()[0].values():
        if type(backend).__module__.startswith("mohaq.backends."):
            found |= backend.passes()
    return dict(sorted(found.items()))


def description(name: str, kind: type[ModulePass]) -> str:
    """What a pass does: the first line is a summary."""
    if name in FROM_XDSL:
        return FROM_XDSL[name][1]
    own = vars(kind).get("__doc__") or ""
    lines = own.strip().splitlines()
    return "\n".join([*lines[:1], *(line.strip() for line in lines[1:])])


def passes_page() -> str:
    """The page as Markdown."""
    groups: dict[str, list[str]] = {}
    for name, kind in tree_passes().items():
        groups.setdefault(_group(kind), []).extend(_entry(name, kind))
    lines = [HEAD]
    for title in sorted(groups, key=lambda t: (t != "Core", t)):
        lines += [f"## {title}", "", *groups[title]]
    return "\n".join(lines).rstrip() + "\n"


def _group(kind: type[ModulePass]) -> str:
    parts = kind.__module__.split(".")
    return f"Backend {parts[2]}" if parts[1] == "backends" else "Core"


def _entry(name: str, kind: type[ModulePass]) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    yield plain(description(name, kind))
    yield ""
    if options := get_pass_option_infos(kind):
        rows = [(f"`{o.name}`", f"`{type_name(o)}`", _default(o)) for o in options]
        yield from table(("option", "type", "default"), rows)
        yield ""


def type_name(option: PassOptionInfo) -> str:
    """The type of an option's values; xDSL quotes annotations that are strings."""
    return option.expected_type.strip("'")


def _default(option: PassOptionInfo) -> str:
    if option.default_value is None:
        return "required"
    return f"`{option.default_value}`" if option.default_value else "(empty)"
