"""Turns a `Report` into one HTML file; everything is inlined."""

from __future__ import annotations

import html
import json
import re
from importlib.resources import files
from pathlib import Path

from plotly.offline import get_plotlyjs

from mohaq.compiler.files import write_text
from mohaq.tools.report.model import Report

_HOLE = re.compile(r"%%([A-Z]+)%%")


def render(report: Report) -> str:
    """The page.

    Raises:
        MohaqError: there is nothing to show.
    """
    data = json.dumps(report.payload(), allow_nan=False, ensure_ascii=False)
    parts = {
        "TITLE": html.escape(report.title),
        "CSS": _asset("page.css"),
        "JS": _asset("page.js"),
        "PLOTLY": get_plotlyjs(),
        "DATA": script_safe(data),
    }
    # One pass, so that text of the model that looks like a hole stays text.
    return _HOLE.sub(lambda hole: parts[hole[1]], _asset("page.html"))


def write_report(report: Report, path: Path) -> None:
    """Write the page, atomically."""
    write_text(path, render(report))


def script_safe(text: str) -> str:
    """JSON that cannot end the script element it stands in."""
    return (
        text.replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def _asset(name: str) -> str:
    return files("mohaq.tools.report").joinpath(name).read_text(encoding="utf-8")
