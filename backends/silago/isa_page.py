"""The tables of docs/isa/silago.md, made from the field table and the rules.

`python -m mohaq.backends.silago.isa_page docs/isa/silago.md` writes them anew between their marks.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from mohaq.backends.silago.isa.fields import BY_OPCODE, DPU_MODES, Field
from mohaq.backends.silago.simulator.datapath import MODELLED
from mohaq.backends.silago.verify.rules import STATIC, TEXT, TIMING
from mohaq.compiler.diagnostics import MohaqError


def fields_table() -> str:
    """Fields by instruction, as Markdown."""
    lines = ["| opcode | instruction | words | fields `name[hi:lo]` |", "|---|---|---|---|"]
    for opcode, layout in sorted(BY_OPCODE.items()):
        cells = " ".join(_field(f) for f in layout.fields) or "none"
        words = "1" if layout.max_words == 1 else f"1..{layout.max_words}"
        if layout.name == "SRAM":
            words = "3"
        lines.append(f"| {opcode} | {layout.name} | {words} | {cells} |")
    return "\n".join(lines)


def modes_table() -> str:
    """DPU modes by number, with whether the simulators know them."""
    known = [f"{n} {name}" for n, name in enumerate(DPU_MODES) if n in MODELLED]
    other = [f"{n} {name}" for n, name in enumerate(DPU_MODES) if n not in MODELLED]
    return f"Known: {', '.join(known)}.\n\nRefused: {', '.join(other)}."


def rules_table() -> str:
    """All rules of the verifier."""
    lines = ["| rule | what must hold |", "|---|---|"]
    lines += [
        f"| `{n}` | {text} |" for n, text in (*STATIC.items(), *TIMING.items(), *TEXT.items())
    ]
    return "\n".join(lines)


def _field(item: Field) -> str:
    place = f"{item.hi}:{item.lo}" if item.width > 1 else str(item.hi)
    text = f"{item.name}[{place}]"
    if item.fixed:
        return f"*{text}={item.default}*"
    return f"`{text}`"


TABLES: Mapping[str, str] = {
    "fields": fields_table(),
    "modes": modes_table(),
    "rules": rules_table(),
}
"""Text by the name of its mark."""


def written(page: str) -> str:
    """The page with its tables made anew.

    Raises:
        MohaqError: a mark is missing.
    """
    for name, text in TABLES.items():
        mark = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", re.DOTALL)
        if not (found := mark.search(page)):
            raise MohaqError(f"the page has no mark '{name}'")
        page = f"{page[: found.start()]}{text}\n{page[found.end() :]}"
    return page


def main() -> None:
    """Write the tables of the page named on the command line."""
    path = Path(sys.argv[1])
    path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
