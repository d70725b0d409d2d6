"""docs/support.md from the probed rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mohaq.tools.support.probe import Cell, Row

HEAD = """# What is supported

<!-- Written by `mohaq support --write`, in docs/ by `make reference`; do not edit. -->

Every field was found by trying: a small program of the operation was run by the float
interpreter, converted to torch.fx and ONNX and compared with it, compiled for each target, and the
emitted program was run in the target's simulator and compared with the integer reference bit for
bit. `mohaq support` prints the same for what is installed.

- PyTorch, ONNX: whether an importer makes this operation; the lists below say from what.
- float, torch.fx, ONNX export: runs in the interpreter; `program.to_fx()`, `program.to_onnx()`.
- Targets: the widths that the searched slots may have. *host*: the operation runs in the host
  region of a compiled program, before or after the part on the target; the notes say why.
"""


def page(rows: Sequence[Row]) -> str:
    """The page as Markdown."""
    notes: dict[str, int] = {}
    columns = list(rows[0].cells)
    lines = [HEAD, "| operation | PyTorch | ONNX | " + " | ".join(columns) + " |"]
    lines.append("|---" * (len(columns) + 3) + "|")
    for row in rows:
        cells = [_cell(row.cells[c], notes) for c in columns]
        names = [_mark(row.pytorch), _mark(row.onnx)]
        lines.append("| " + " | ".join([row.form.title, *names, *cells]) + " |")
    lines.append("")
    lines += [f"{number}. {text}" for text, number in notes.items()]
    lines += ["", *_names("PyTorch operations", "pytorch", rows)]
    lines += ["", *_names("ONNX operators", "onnx", rows)]
    lines += ["", *_others()]
    return "\n".join(lines) + "\n"


def _mark(names: Sequence[str]) -> str:
    return "yes" if names else "no"


def _cell(cell: Cell, notes: dict[str, int]) -> str:
    if cell.reason is None:
        return cell.text
    number = notes.setdefault(_clean(cell.reason), len(notes) + 1)
    return f"{cell.text} ({number})"


def _clean(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _names(title: str, which: str, rows: Sequence[Row]) -> list[str]:
    found: dict[str, tuple[str, ...]] = {}
    for row in rows:
        found.setdefault(row.form.kind.name, getattr(row, which))
    lines = [f"## {title}", "", "| becomes | from |", "|---|---|"]
    lines += [
        f"| `{kind}` | {', '.join(f'`{n}`' for n in names)} |"
        for kind, names in sorted(found.items())
        if names
    ]
    return lines


def _others() -> list[str]:
    """What importers take that makes no operation."""
    from mohaq.compiler.frontends.onnx import supported as onnx_names
    from mohaq.compiler.frontends.pytorch import supported as torch_names

    lines = ["## Without an operation of their own", ""]
    sources: Mapping[str, Mapping[str, str]] = {"PyTorch": torch_names(), "ONNX": onnx_names()}
    for title, names in sources.items():
        rest = sorted(n for n, op in names.items() if "nn." not in op)
        lines.append(f"- {title}: " + ", ".join(f"`{n}` ({names[n]})" for n in rest))
    return lines
