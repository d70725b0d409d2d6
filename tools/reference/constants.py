"""docs/reference/constants.md: every constant of the shipped targets, its source and its mark."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mohaq.backends
from mohaq.tools.reference.markdown import NOTICE, plain, table

MARKS = ("verified", "remembered", "assumed")

HEAD = f"""# Constants of the targets

{NOTICE}

What costs are computed from. `mohaq targets NAME` prints the same for any target, one of yours too.

- **verified**: read in a paper, a datasheet, published code or RTL, or follows from one by arithmetic.
- **remembered**: known to have been published, but the source was not at hand when it was written down.
- **assumed**: chosen here, or carried over from another machine. Nobody published it.
"""


def target_files() -> list[Path]:
    """The target files of this package, by backend and name."""
    folder = Path(mohaq.backends.__path__[0])
    return sorted(folder.glob("*/targets/*.toml"))


def constants_page() -> str:
    """The page as Markdown."""
    targets = [tomllib.loads(path.read_text(encoding="utf-8")) for path in target_files()]
    lines = [HEAD]
    rows = [(f"[{t['name']}](#{t['name']})", *_counts(t)) for t in targets]
    lines += [*table(("target", *MARKS), rows), ""]
    for target in targets:
        lines += [f"## {target['name']}", "", plain(target["description"]) + ".", ""]
        lines += [*table(("constant", "value", "unit", "mark", "source"), _rows(target)), ""]
    return "\n".join(lines).rstrip() + "\n"


def _counts(target: dict[str, Any]) -> tuple[str, ...]:
    found = Counter(c["mark"] for c in target["constants"].values())
    return tuple(str(found[mark]) for mark in MARKS)


def _rows(target: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    constants = target["constants"].items()
    for name, c in sorted(constants, key=lambda item: MARKS.index(item[1]["mark"])):
        yield f"`{name}`", f"{c['value']:,}", plain(c["unit"]), c["mark"], plain(c["source"])
