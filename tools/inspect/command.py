"""What `mohaq inspect` does, without its options' texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mohaq.compiler.diagnostics import MohaqError
from mohaq.tools.console import say
from mohaq.tools.inspect.blocks import Block
from mohaq.tools.inspect.diff import difference
from mohaq.tools.inspect.files import check_output, write_output
from mohaq.tools.inspect.named import in_full
from mohaq.tools.inspect.subject import CompiledSubject, Subject, open_subject, program_of
from mohaq.tools.inspect.summary import summary
from mohaq.tools.inspect.terminal import print_blocks


@dataclass(frozen=True)
class Wanted:
    """What to show of a subject, and which files to write.

    lines: of listings; 0 shows all of them.
    """

    subject: str
    other: str | None = None
    op: str | None = None
    stage: str | None = None
    lines: int = 40
    dot: Path | None = None
    svg: Path | None = None
    netron: Path | None = None
    html: Path | None = None


def run(wanted: Wanted) -> None:
    """Show and write.

    Raises:
        MohaqError: nothing of that name, something damaged, options that do not fit.
    """
    outputs = [p for p in (wanted.dot, wanted.svg, wanted.netron, wanted.html) if p is not None]
    for path in outputs:
        check_output(path)
    if len({p.absolute() for p in outputs}) < len(outputs):
        raise MohaqError("two outputs have the same name")
    if wanted.netron is not None and wanted.netron.suffix != ".onnx":
        raise MohaqError("the file's name must end in .onnx", where=str(wanted.netron))
    if wanted.lines < 0:
        raise MohaqError("--instructions takes a number of lines, or 0 for all of them")
    subject = open_subject(wanted.subject)
    if wanted.other is not None:
        _compare(wanted, subject, open_subject(wanted.other))
        return
    made = _files(wanted, subject)
    blocks: list[Block]
    if wanted.op is not None:
        blocks = in_full(subject, wanted.op, wanted.stage)
    elif not made:
        blocks = summary(subject, wanted.stage)
    else:
        blocks = []
    print_blocks(blocks, wanted.lines)
    for path, data in made.items():
        write_output(path, data)
        say(f"wrote {path} ({len(data):,} bytes)")


def _compare(wanted: Wanted, first: Subject, second: Subject) -> None:
    if wanted.op is not None:
        raise MohaqError("--op and --diff exclude each other")
    if wanted.dot or wanted.svg or wanted.netron:
        raise MohaqError("a comparison is text or a page (--html)")
    blocks = difference(first, second, wanted.stage)
    if wanted.html is None:
        print_blocks(blocks, wanted.lines)
        return
    from mohaq.tools.inspect.page import document, section

    title = f"{first.title} against {second.title}"
    page = document(title, [section("Comparison", blocks, wanted.lines)])
    write_output(wanted.html, page.encode())
    say(f"wrote {wanted.html} ({len(page.encode()):,} bytes)")


def _files(wanted: Wanted, subject: Subject) -> dict[Path, bytes]:
    """Contents of all files, worked out before any of them is written."""
    made: dict[Path, bytes] = {}
    if wanted.dot or wanted.svg or wanted.netron:
        program, stage = program_of(subject, wanted.stage)
        title = f"{subject.title}, {stage}" if stage else subject.title
        if wanted.dot:
            from mohaq.tools.inspect.dot import write_dot

            made[wanted.dot] = write_dot(program, title).encode()
        if wanted.svg:
            from mohaq.tools.inspect.svg import draw

            made[wanted.svg] = draw(program, title).encode()
        if wanted.netron:
            from mohaq.tools.inspect.netron import annotated_model

            costs: Any = None
            if isinstance(subject, CompiledSubject):
                costs = subject.estimate()["layers"]
            made[wanted.netron] = annotated_model(program, costs).SerializeToString(
                deterministic=True
            )
    if wanted.html:
        from mohaq.tools.inspect.page import render

        made[wanted.html] = render(subject, wanted.stage, wanted.lines).encode()
    return made
