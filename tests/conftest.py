"""Skips are allowed only when tests/allowed_skips.txt names them (DESIGN D15)."""

from __future__ import annotations

import fnmatch
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ALLOWED = Path(__file__).with_name("allowed_skips.txt")
STRICT = bool(os.environ.get("CI") or os.environ.get("MOHAQ_STRICT_SKIPS"))
"""`make test` and continuous integration are strict; a bare `pytest` only reports."""


def allowed_patterns() -> list[str]:
    """Patterns of test ids, one a line, each followed by ` # reason`."""
    lines = [line.strip() for line in ALLOWED.read_text().splitlines()]
    found = []
    for line in lines:
        if not line or line.startswith("#"):
            continue
        pattern, _, reason = line.partition(" # ")
        assert reason.strip(), f"{ALLOWED.name}: '{line}' gives no reason"
        found.append(pattern.strip())
    return found


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders for the compile caches of tests, none of them made yet."""
    root = tmp_path_factory.mktemp("caches")
    return (root / str(n) for n in itertools.count())


@pytest.fixture(autouse=True)
def _own_cache(caches: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's compile cache, nor that of another test."""
    monkeypatch.setenv("MOHAQ_CACHE", str(next(caches)))


class SkipGuard:
    """Collects skips of a whole run (with pytest-xdist: in the controlling process)."""

    def __init__(self) -> None:
        self.patterns = allowed_patterns()
        self.unlisted: dict[str, str] = {}

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        if not any(fnmatch.fnmatchcase(report.nodeid, p) for p in self.patterns):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            self.unlisted[report.nodeid] = str(reason)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unlisted and STRICT and session.exitstatus in (0, pytest.ExitCode.OK):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.unlisted:
            return
        terminalreporter.section("skips that tests/allowed_skips.txt does not list", red=True)
        for nodeid, reason in sorted(self.unlisted.items()):
            terminalreporter.write_line(f"{nodeid}  {reason}")


def pytest_configure(config: pytest.Config) -> None:
    """Install the guard where all reports arrive."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipGuard(), "mohaq-skip-guard")
