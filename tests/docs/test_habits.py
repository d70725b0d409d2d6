"""What CONTRIBUTING.md promises about checks, notes and the changelog."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile."""
    text = (ROOT / "Makefile").read_text()
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    assert found is not None
    return [line.strip() for line in found[1].splitlines()]


def test_pre_commit_runs_what_ci_runs() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert all(not hook["pass_filenames"] and hook["always_run"] for hook in hooks)
    entries = [hook["entry"] for hook in hooks]
    assert entries == [line.replace("$(BIN)", ".venv/bin") for line in recipe("lint")]
    assert re.search(r"^test: lint ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert (ROOT / ".ci/run").read_text().rstrip().endswith("exec make test")


def test_make_docs_is_strict() -> None:
    command = recipe("docs")[0]
    assert "mkdocs build --strict" in command
    assert "--quiet" not in command, "it would count no warnings"


def test_design_notes_are_numbered_once() -> None:
    notes = sorted((ROOT / "docs/design").glob("*.md"))
    numbers = [note.name[:3] for note in notes]
    assert numbers == [f"{n:03}" for n in range(1, len(notes) + 1)]
    for note in notes:
        assert note.read_text().startswith(f"# {note.name[:3]}: ")


def test_unreleased_changes_are_grouped() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    unreleased = text.partition("\n## Unreleased\n")[2].partition("\n## ")[0]
    groups = re.findall(r"^### (.+)$", unreleased, re.MULTILINE)
    kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
    assert groups == [k for k in kinds if k in groups]
    assert "Added" in groups
