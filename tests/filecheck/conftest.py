"""Runs the `// RUN:` lines of .mlir files, in-process.

    // RUN: mohaq-opt %s -p canonicalize | filecheck %s
    // RUN: mohaq-opt %s --split-input-file --verify-diagnostics

`%s` is the file, `%t` a fresh folder. A line may be continued with a backslash, and `2>&1`
before the bar checks standard error as well. Stages are `mohaq-opt` and `filecheck`, nothing else.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filecheck.finput import FInput
from filecheck.matcher import Matcher
from filecheck.options import parse_argv_options
from filecheck.parser import Parser

RUN = re.compile(r"//\s*RUN:\s*((?:.*\\\n\s*//)*.*)")
"""A command, with its continuation lines."""


@dataclass(frozen=True)
class Command:
    """One RUN line: the stages between bars."""

    stages: tuple[tuple[str, ...], ...]

    @staticmethod
    def parse(text: str, source: Path, scratch: str) -> Command:
        joined = re.sub(r"\\\n\s*//\s*", " ", text)
        words = shlex.split(joined.replace("%s", str(source)).replace("%t", scratch))
        stages: list[tuple[str, ...]] = []
        while "|" in words:
            at = words.index("|")
            stages.append(tuple(words[:at]))
            words = words[at + 1 :]
        return Command((*stages, tuple(words)))


class FileCheckFailure(Exception):
    """What did not hold."""


def run_opt(words: tuple[str, ...], stdin: str) -> str:
    """Output of mohaq-opt, which must succeed."""
    from mohaq.tools import opt

    merge = "2>&1" in words
    out, err = io.StringIO(), io.StringIO()
    keep = sys.stdin
    sys.stdin = io.StringIO(stdin)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out if merge else err):
            code = opt.main([w for w in words if w != "2>&1"])
    finally:
        sys.stdin = keep
    if code:
        raise FileCheckFailure(
            f"mohaq-opt exited with {code}\n{err.getvalue()}{out.getvalue() if merge else ''}"
        )
    return out.getvalue()


def run_filecheck(words: tuple[str, ...], stdin: str) -> None:
    """Match the checks of a file against a text."""
    options = parse_argv_options(["filecheck", *words])
    match_file = next(w for w in words if not w.startswith("-"))
    options.match_filename = match_file
    err = io.StringIO()
    # Lines that hold commands or expected errors are no checks.
    matcher = Matcher(options, FInput("<output>", stdin), Parser.from_opts(options))
    matcher.stderr = err
    if matcher.run():
        raise FileCheckFailure(f"{err.getvalue()}\n--- output ---\n{stdin}")


class MlirItem(pytest.Item):
    """One RUN line."""

    def __init__(self, *, command: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.command = command

    def runtest(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            text = ""
            for stage in Command.parse(self.command, self.path, scratch).stages:
                match stage[0]:
                    case "mohaq-opt":
                        text = run_opt(stage[1:], text)
                    case "filecheck":
                        run_filecheck(stage[1:], text)
                    case other:
                        raise FileCheckFailure(f"RUN lines know no '{other}'")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, FileCheckFailure):
            return f"RUN: {self.command}\n{excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"{self.path.name}: {self.name}"


class MlirFile(pytest.File):
    """A .mlir file with RUN lines."""

    def collect(self) -> Iterator[MlirItem]:
        commands = RUN.findall(self.path.read_text())
        if not commands:
            raise pytest.Collector.CollectError(f"{self.path} has no RUN line")
        for number, command in enumerate(commands):
            yield MlirItem.from_parent(self, name=f"run{number}", command=command)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> MlirFile | None:
    """Collect .mlir files of this folder."""
    if file_path.suffix == ".mlir":
        return MlirFile.from_parent(parent, path=file_path)
    return None
