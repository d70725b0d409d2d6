"""Running `mohaq inspect` in tests, and reading its tables."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from mohaq.tools.cli import app

TARGETS = ("reference", "silago-mohaq", "bitfusion-mohaq", "epiphany-e16")


def inspected(*words: object) -> Result:
    """The command's result, wide and without colours."""
    runner = CliRunner(env={"COLUMNS": "220", "NO_COLOR": "1", "TERM": "dumb"})
    return runner.invoke(app, ["inspect", *map(str, words)])


def shown(*words: object) -> str:
    """Output of a command that works."""
    result = inspected(*words)
    assert result.exit_code == 0, result.output + result.stderr
    return result.output


def refused(result: Result, *words: str) -> None:
    """Exit code 2 and one message that says all these words."""
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("error: ") == 1
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr


def row(text: str, first: str) -> list[str]:
    """Cells of the table row that starts with a name."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("│┃").split("│")]
        if cells[0] == first:
            return cells
    raise AssertionError(f"no row '{first}' in\n{text}")


def rows(text: str, title: str) -> list[list[str]]:
    """Rows of the table under a title."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(title))
    found: list[list[str]] = []
    for line in lines[start + 4 :]:
        if not line.startswith("│"):
            return found
        found.append([cell.strip() for cell in line.strip("│").split("│")])
    return found
