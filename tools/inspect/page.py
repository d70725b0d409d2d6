"""One self-contained HTML page: overview, picture, every layer in full. No script, no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files

from mohaq.compiler.diagnostics import MohaqError
from mohaq.tools.inspect.blocks import Block, Cell, Line, Listing, Table
from mohaq.tools.inspect.figures import layer_of
from mohaq.tools.inspect.graph import Node
from mohaq.tools.inspect.named import in_full
from mohaq.tools.inspect.subject import AssignmentSubject, CompiledSubject, Subject, program_of
from mohaq.tools.inspect.summary import summary
from mohaq.tools.inspect.svg import draw
from mohaq.tools.inspect.terminal import limited


def render(subject: Subject, stage: str | None, lines: int) -> str:
    """The page of a subject; of each listing the first `lines` lines (0: all).

    Raises:
        MohaqError: what the subject needs is missing or damaged.
    """
    sections = [_section("Overview", blocks_html(summary(subject, stage), lines))]
    if not isinstance(subject, AssignmentSubject):
        names = _layers(subject, stage)
        anchors = {name: f"layer-{n}" for n, name in enumerate(names)}
        sections.insert(0, _picture(subject, stage, anchors))
        parts = []
        for name, anchor in anchors.items():
            inner = blocks_html(in_full(subject, name, stage), lines)
            parts.append(
                f"<details><summary>{escape(name)}</summary>\n"
                f'<div id="{anchor}">\n{inner}</div></details>'
            )
        if parts:
            sections.append(_section("Layers", "\n".join(parts)))
    return document(subject.title, sections)


def document(title: str, sections: Sequence[str]) -> str:
    """A page around sections."""
    css = files("mohaq.tools.inspect").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{css}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{''.join(sections)}"
        "<footer>written by mohaq inspect</footer>\n</body>\n</html>\n"
    )


def section(title: str, blocks: Sequence[Block], lines: int) -> str:
    """A section of blocks."""
    return _section(title, blocks_html(blocks, lines))


def blocks_html(blocks: Sequence[Block], lines: int) -> str:
    """Blocks one below the other; all text is escaped."""
    return "\n".join(text for block in blocks for text in _block(block, lines)) + "\n"


def _block(block: Block, lines: int) -> Iterator[str]:
    match block:
        case Line(text, bold):
            yield f'<p class="b">{escape(text)}</p>' if bold else f"<p>{escape(text)}</p>"
        case Listing(title, _):
            held = "\n".join(escape(line) for line in limited(block, lines))
            yield f'<p class="b">{escape(title)}</p>\n<pre>{held}</pre>'
        case Table(title, columns, rows, text):
            yield f'<div class="wide"><table><caption>{escape(title)}</caption>'
            yield "<tr>" + "".join(_tag("th", c, n < text) for n, c in enumerate(columns)) + "</tr>"
            for row in rows:
                yield "<tr>" + "".join(_tag("td", c, n < text) for n, c in enumerate(row)) + "</tr>"
            yield "</table></div>"


def _tag(name: str, cell: object, words: bool) -> str:
    marks = ["w"] if words else []
    if isinstance(cell, Cell) and cell.mark:
        marks.append(cell.mark)
    held = f' class="{" ".join(marks)}"' if marks else ""
    return f"<{name}{held}>{escape(str(cell))}</{name}>"


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{body}"


def _picture(subject: Subject, stage: str | None, anchors: dict[str, str]) -> str:
    def link(node: Node) -> str | None:
        return f"#{anchors[node.layer]}" if node.layer in anchors else None

    try:
        program, where = program_of(subject, stage)
        drawn = draw(program, f"{subject.title}, {where}" if where else subject.title, link)
    except MohaqError as error:
        return _section("Graph", f"<p>No picture: {escape(error.message())}</p>\n")
    return _section("Graph", f'<div class="picture">\n{drawn}</div>\n')


def _layers(subject: Subject, stage: str | None) -> list[str]:
    """Layers that can be shown in full."""
    if isinstance(subject, CompiledSubject) and stage is None:
        return subject.layer_names()
    try:
        program, _ = program_of(subject, stage)
    except MohaqError:
        return []
    names = [layer_of(op) for op in program.entry.walk()]
    return list(dict.fromkeys(name for name in names if name))
