"""The ISA page has the tables of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from mohaq.backends.silago.isa_page import TABLES, written
from mohaq.compiler.diagnostics import MohaqError

PAGE = Path(__file__).parents[3] / "docs/isa/silago.md"


def test_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert written(page) == page, "python -m mohaq.backends.silago.isa_page docs/isa/silago.md"
    assert "`l1_iter[65:60]`" in TABLES["fields"]
    assert "*unused_0[15:10]=2*" in TABLES["fields"]


def test_page_without_marks() -> None:
    with pytest.raises(MohaqError, match="no mark 'fields'"):
        written("# SiLago\n")
