"""docs/reference/commands.md: every command of `mohaq` and `mohaq-opt` with all options."""

from __future__ import annotations

import argparse
import inspect
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any

import typer

from mohaq.tools import opt
from mohaq.tools.cli import app
from mohaq.tools.reference.markdown import NOTICE, plain, table

HEAD = f"""# Commands

{NOTICE}

All commands with all options. What MODEL, DATA and TARGET may be, exit codes and environment
variables are on [the page of the command line](../cli.md). Every command also has `--help`.
"""

WORDS = {str: "text", int: "number", float: "number", Path: "path", bool: "flag"}
NO_LINE = ("help", "version")


def commands_page() -> str:
    """The page as Markdown."""
    lines = [HEAD]
    for name, command in _commands(typer.main.get_command(app), "mohaq"):
        lines += [f"## {name}", "", *_command(name, command)]
    lines += ["## mohaq-opt", "", *_opt(opt.command_line())]
    return "\n".join(lines).rstrip() + "\n"


def _commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(full name, command) of everything below a group, hidden ones left out."""
    ctx = group.context_class(group, info_name=path)
    for name in group.list_commands(ctx):
        found = group.get_command(ctx, name)
        if hasattr(found, "list_commands"):
            yield from _commands(found, f"{path} {name}")
        elif not found.hidden:
            yield f"{path} {name}", found


def _command(name: str, command: Any) -> Iterator[str]:
    hints = typing.get_type_hints(inspect.unwrap(command.callback))
    shown = [p for p in command.params if not p.hidden and p.name not in NO_LINE]
    arguments = [p for p in shown if p.param_type_name == "argument"]
    usage = [name, *(_argument(p) for p in arguments), "[OPTIONS]"]
    yield from ("```text", " ".join(usage), "```", "")
    yield from _help(command.help or "")
    rows = [
        (f"`{_name(p)}`", plain(p.help or ""), "" if p.required else "optional") for p in arguments
    ]
    rows += [
        (_option(p, hints[p.name]), plain(p.help or ""), _default(p))
        for p in shown
        if p.param_type_name != "argument"
    ]
    if rows:
        yield from table(("argument or option", "", "default"), rows)
        yield ""


def _help(text: str) -> Iterator[str]:
    """Prose as it is, `Example:` lines as one block."""
    prose: list[str] = []
    examples: list[str] = []
    for line in inspect.cleandoc(text).splitlines():
        if line.startswith("Example:"):
            examples.append(line.removeprefix("Example:").strip())
        else:
            prose.append(plain(line))
    yield from "\n".join(prose).strip().splitlines()
    yield ""
    if examples:
        yield from ("```text", *examples, "```", "")


def _name(p: Any) -> str:
    return str(p.metavar or p.name).upper()


def _argument(p: Any) -> str:
    return _name(p) if p.required else f"[{_name(p)}]"


def _option(p: Any, hint: Any) -> str:
    names = ", ".join(f"`{n}`" for n in [*p.opts, *p.secondary_opts])
    kind = str(p.metavar) if p.metavar else _type(hint)
    return names if kind == "flag" else f"{names} {kind}"


def _type(hint: Any) -> str:
    """What a value looks like: text, number, path, or the choices."""
    parts = [a for a in typing.get_args(hint) if a is not NoneType]
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(str(a) for a in parts)
    if parts:
        inner = _type(parts[0])
        repeated = typing.get_origin(hint) in {list, tuple}
        return f"{inner} (may be repeated)" if repeated else inner
    if isinstance(hint, type) and issubclass(hint, Enum):
        return ", ".join(str(m.value) for m in hint)
    return WORDS[hint]


def _default(p: Any) -> str:
    if p.required:
        return "required"
    value = p.default() if callable(p.default) else p.default
    if value is None or value is False or value in ("", [], ()):
        return ""
    if value is True:
        return f"`{p.opts[0]}`" if p.secondary_opts else "on"
    return f"`{value.value if isinstance(value, Enum) else value}`"


def _opt(parser: argparse.ArgumentParser) -> Iterator[str]:
    """`mohaq-opt`, from its parser's own list: argparse prints it differently by version."""
    for part in inspect.cleandoc(parser.description or "").split("\n\n"):
        if part.startswith("    "):
            yield from ("```text", *inspect.cleandoc(part).splitlines(), "```", "")
        else:
            yield from (*plain(part[:1].upper() + part[1:]).splitlines(), "")
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction) or action.help == argparse.SUPPRESS:
            continue
        names = ", ".join(f"`{n}`" for n in action.option_strings)
        value = "" if action.nargs == 0 else str(action.metavar or action.dest).upper()
        default = "" if action.nargs == 0 or action.default is None else f"`{action.default}`"
        rows.append(
            (
                f"{names} {value}".strip() if names else f"`{value}`",
                plain(action.help or ""),
                "" if default == "``" else default,
            )
        )
    yield from table(("argument or option", "", "default"), rows)
    yield ""
