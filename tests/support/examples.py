"""The examples of a page: fenced blocks, and the comment above a block that says how to treat it.

<!-- example: slow -->               runs in the slow suite only
<!-- example: file NAME -->          is written to NAME
<!-- example: output -->             its lines must be printed by the block before
<!-- example: not run: REASON -->    does not run
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MARK = re.compile(r"<!-- example: (.*?) -->")
FENCE = re.compile(r"```(\w*)$")
RUNS = ("bash", "python")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its mark, the line of its first line of text, its text."""

    language: str
    mark: str
    line: int
    text: str


def blocks(page: str) -> list[Block]:
    """All blocks that run, are written, or are compared, in order.

    Raises:
        ValueError: a mark that says nothing, or stands above no block; a command outside a fence.
    """
    found: list[Block] = []
    mark, inside, start = "", None, 0
    lines = page.splitlines()
    for number, line in enumerate(lines, 1):
        if inside is not None:
            if line == "```":
                block = Block(inside, mark, start, "\n".join(lines[start - 1 : number - 1]) + "\n")
                found.append(block)
                mark, inside = "", None
        elif fence := FENCE.match(line):
            inside, start = fence[1], number + 1
        elif marked := MARK.fullmatch(line):
            mark = marked[1]
            if not re.fullmatch(r"slow|file [\w.]+|output|not run: .+", mark):
                raise ValueError(f"line {number}: no such mark: {mark}")
        elif line.startswith(("    mohaq", "    python", "    import")):
            raise ValueError(f"line {number}: a command outside a fenced block never runs")
        elif line and mark:
            raise ValueError(f"line {number}: a mark stands directly above its block")
    if inside is not None or mark:
        raise ValueError("a block without an end, or a mark without a block")
    return [b for b in found if b.language in RUNS or b.mark]
