"""What pages name must exist: commands with their options, modules, files, links."""

from __future__ import annotations

import pkgutil
import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
from xdsl.passes import get_pass_option_infos

from mohaq.tools import opt
from mohaq.tools.cli import app
from mohaq.tools.reference.passes import tree_passes

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    p
    for p in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if "reference" not in p.parts and p.name not in {"CHANGELOG.md", "support.md"}
)
CLI = ROOT / "docs/cli.md"
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
TREE = re.compile(r"(?:compiler|passes|backends|tools|tests|docs|src|\.ci)/[\w./-]*\w")


def code(page: str) -> Iterator[str]:
    """Lines of code blocks, and code within lines; continued lines are joined."""
    fenced = False
    for line in page.replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip()
        else:
            yield from INLINE.findall(line)


@cache
def tools() -> tuple[Any, set[str]]:
    """`mohaq` as its parser sees it, and the options of `mohaq-opt`."""
    names = {o for a in opt.command_line()._actions for o in a.option_strings}
    return typer.main.get_command(app), names


def options_of(words: list[str]) -> tuple[set[str], list[str]]:
    """(options of the command that some words start with, the words behind it)."""
    command, names = tools()
    rest = words[1:]
    if words[0] == "mohaq-opt":
        return names, rest
    while rest and hasattr(command, "commands") and rest[0] in command.commands:
        command, rest = command.commands[rest[0]], rest[1:]
    if hasattr(command, "commands") and rest and re.fullmatch(r"[a-z][a-z-]*", rest[0]):
        raise AssertionError(f"no command '{rest[0]}'")
    names = {o for p in command.params for o in [*p.opts, *p.secondary_opts]}
    return names | {"--help", "-h"}, rest


def wrong(line: str) -> str | None:
    """What is wrong with a command line, or None."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return None
    known, rest = options_of(words)
    for word in rest:
        if word in {"|", ">", "&&", ";"}:
            break
        name = word.partition("=")[0]
        if re.fullmatch(r"--?[a-z][a-z-]*", name) and name not in known:
            return f"no option {name}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    for line in code(text):
        if re.match(r"mohaq(-opt)? ", line):
            assert wrong(line) is None, f"{line}: {wrong(line)}"
        if module := re.match(r"python -m ([\w.]+)", line):
            assert find_spec(module[1]) is not None, line
        if TREE.fullmatch(line):
            assert (ROOT / line).exists(), f"no file {line}"


KEYS = {
    "mohaq.bits",
    "mohaq.macs_per_frame",
    "mohaq.weight_bytes",
    "mohaq.cycles",
    "mohaq.metrics",
    "mohaq.objectives",
    "mohaq.layer",
    "mohaq.quant",
    "mohaq.grids",
}
"""Names of entry-point groups and of keys in ONNX metadata."""


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_names_in_python_exist(page: Path) -> None:
    for line in code(page.read_text()):
        for name in re.findall(r"(?<![\w./])mohaq(?:\.\w++)++(?![\w/-])", line):
            assert name in KEYS or resolves(name), f"no {name}"


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_pipelines_have_passes_with_these_options(page: Path) -> None:
    table, text = tree_passes(), page.read_text()
    for line in code(text):
        for name, options in re.findall(r"\b([a-z]+(?:-[a-z]+)*)\{([^{}]*)\}", line):
            if name not in table:
                written_here = f'"{name}"' in text  # the page's own example
                assert written_here or "-" not in name, f"no pass {name}"
                continue
            known = {o.name for o in get_pass_option_infos(table[name])}
            for option in re.findall(r"(?:^|\s)(\w+)=", options):
                assert option in known, f"{name} has no option {option}"


def test_the_tables_of_the_command_line_name_options_of_their_command() -> None:
    rows = re.findall(
        r"^\| `(\w[\w-]*(?: build| fsdd)?)\b[^`]*` \|(.*)$", CLI.read_text(), re.MULTILINE
    )
    known = tools()[0].commands  # other tables have rows of the same form
    commands = [(name, text) for name, text in rows if name.split()[0] in known]
    assert len(commands) > 12
    for name, text in commands:
        for option in re.findall(r"`(--?[a-z][\w-]*)", text):
            assert wrong(f"mohaq {name} {option}") is None, f"{name} has no {option}"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_of_the_top_pages(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)(#[\w-]+)?\)", (ROOT / name).read_text())
    assert links
    for path, anchor in links:
        if path.startswith("http"):
            continue
        assert (ROOT / path).exists(), path
        if anchor:
            heads = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), re.MULTILINE)
            slugs = {"#" + re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in heads}
            assert anchor in slugs, f"{path}{anchor}"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("mohaq compile net --bitz 8 -o out", "no option --bitz"),
        ("mohaq search m --objectives a,b -z 3", "no option -z"),
        ("mohaq-opt x --dump DIR", "no option --dump"),
        ("mohaq corpus build -o D -p tiny", "no option -p"),
    ],
)
def test_a_wrong_command_line_is_noticed(line: str, why: str) -> None:
    assert wrong(line) == why


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(AssertionError, match="no command 'simulate'"):
        wrong("mohaq simulate out")
    assert wrong("mohaq COMMAND --help") is None
    assert wrong('mohaq-opt net -p "uniform{bits=4},lower-to-qnn" -o out  # comment') is None
