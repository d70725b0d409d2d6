"""The documentation builds without a warning, and its pages fetch nothing from a network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FETCHED = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=["']?(https?:)?//[^>]*>""")


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """`mkdocs build --strict`, as `make docs` runs it; with --quiet it would count no warnings."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    return subprocess.run(
        [*command, "-f", str(config), "-d", str(site)],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    built = build(ROOT / "mkdocs.yml", folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_page_is_there_and_in_the_navigation(site: Path) -> None:
    home = (site / "index.html").read_text()
    pages = [p.relative_to(ROOT / "docs") for p in (ROOT / "docs").rglob("*.md")]
    assert len(pages) > 25
    for page in pages:
        built = page.with_suffix(".html")
        assert (site / built).is_file()
        assert page.name == "index.md" or f'href="{built}"' in home, f"{page} is not in .nav.yml"


def test_nothing_is_fetched(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert pages
    for page in pages:
        found = FETCHED.search(page.read_text())
        assert found is None, f"{page.name} fetches {found and found[0]}"
    assert 'rel="preconnect"' not in (site / "index.html").read_text()


def test_broken_links_stop_the_build(tmp_path: Path) -> None:
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    (tmp_path / "docs").mkdir()
    links = "[a](gone.md) [b](quickstart.md#nowhere) [c](../README.md)"
    (tmp_path / "docs/index.md").write_text(f"# Home\n\n{links}\n")
    (tmp_path / "docs/quickstart.md").write_text("# Quick start\n")
    built = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert built.returncode != 0
    for message in ("gone.md", "#nowhere", "../README.md"):
        assert message in built.stdout + built.stderr
