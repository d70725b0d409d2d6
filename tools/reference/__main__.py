"""Writes the generated pages: `python -m mohaq.tools.reference docs [--support]`.

docs/support.md is written when asked for: everything on it is tried, which takes a minute.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from mohaq.compiler.files import write_text
from mohaq.tools.reference.commands import commands_page
from mohaq.tools.reference.constants import constants_page
from mohaq.tools.reference.passes import passes_page
from mohaq.tools.support.forms import FORMS
from mohaq.tools.support.page import page
from mohaq.tools.support.probe import probe, shipped

PAGES: dict[str, Callable[[], str]] = {
    "reference/commands.md": commands_page,
    "reference/constants.md": constants_page,
    "reference/passes.md": passes_page,
}
"""{path below docs/: function that returns the page}."""


def support_page() -> str:
    """docs/support.md, for the backends of this package."""
    return page(list(probe(FORMS, shipped())))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the pages below a folder."""
    parser = argparse.ArgumentParser(description="Write the generated pages.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs"))
    parser.add_argument("--support", action="store_true", help="support.md as well (a minute)")
    options = parser.parse_args(arguments)
    pages = {**PAGES, "support.md": support_page} if options.support else PAGES
    for name, make in pages.items():
        write_text(options.folder / name, make())
        print(f"wrote {options.folder / name}")


if __name__ == "__main__":
    main()
