"""Writes the generated pages: `python -m mohaq.tools.reference docs`.

docs/support.md is written by `mohaq support --write`, because it takes longer.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mohaq.compiler.files import write_text
from mohaq.tools.reference.commands import commands_page
from mohaq.tools.reference.constants import constants_page
from mohaq.tools.reference.passes import passes_page

PAGES = {
    "reference/commands.md": commands_page,
    "reference/constants.md": constants_page,
    "reference/passes.md": passes_page,
}
"""{path below docs/: function that returns the page}."""


def main(folder: Path) -> None:
    """Write every page below `folder`."""
    for name, make in PAGES.items():
        write_text(folder / name, make())
        print(f"wrote {folder / name}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
