"""Plug-ins of other packages: broken ones are named and take nothing else down."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from installed import install
from programs import calibrated, sequences
from typer.testing import CliRunner, Result

from mohaq.backends.base import Options, Workload
from mohaq.backends.registry import find_target, get_backend, rescan, usable_backends
from mohaq.compiler.analysis.layers import layer_table
from mohaq.compiler.diagnostics import MohaqError
from mohaq.tools.cli import app
from mohaq.tools.opt import main as opt

Cli = Callable[..., Result]

WRAPPED = """
from dataclasses import replace

from mohaq.backends.base import Backend, CostModel
from mohaq.backends.reference import ReferenceBackend


class Wrapped(ReferenceBackend):
    name = "{name}"
    api_version = 1

    def targets(self):
        return ("{name}-1",)

    def load_target(self, name_or_path):
        return replace(super().load_target("reference"), name="{name}-1", backend="{name}", path=None)
{body}

BACKEND = Wrapped()
"""

COSTS = """
    def cost_model(self, table, space, target):
        inner = super().cost_model(table, space, target)

        class Costs(CostModel):
            def cost(self, genomes, workload, options):
                found = inner.cost(genomes, workload, options)
                {line}
                return found

        return Costs()
"""

BODIES = {
    "raises-targets": "    def targets(self):\n        raise RuntimeError('no luck')\n",
    "no-names": "    def targets(self):\n        return 'abc'\n",
    "steals": "    def targets(self):\n        return ('reference',)\n",
    "old": "    api_version = 0\n",
    "renamed": "    name = 'other'\n",
}

SAID = {
    "gone": "backend 'gone' of gone-package 1.2: 'nothing_here:BACKEND' cannot be imported "
    "(ModuleNotFoundError: No module named 'nothing_here')",
    "leaves": "'leaves:BACKEND' cannot be imported (SystemExit: 3)",
    "number": "backend 'number' of number-package 1.2: 'number:BACKEND' is no backend",
    "class": "hint: name an object, not its class",
    "silent": "does not say which API version it was written for",
    "old": "backend 'old' of old-package 1.2: speaks API version 0, this mohaq speaks 1",
    "renamed": "calls itself 'other'",
    "raises-targets": "'targets' failed (RuntimeError: no luck)",
    "no-names": "'targets' gives no tuple of names",
    "steals": "the name of its target 'reference' is taken (backend 'reference' has one)",
    "silago": "backend 'silago' of silago-package 1.2: the name is taken ('silago' comes with mohaq)",
}


def module(name: str) -> str:
    return name.replace("-", "_")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the import path for packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    monkeypatch.undo()
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    rescan()


def add(site: Path, name: str, text: str, value: str | None = None) -> None:
    """A package with one backend."""
    entry = value or f"{module(name)}:BACKEND"
    install(site, f"{name}-package", {"mohaq.backends": {name: entry}}, {module(name): text})
    rescan()


def wrapped(site: Path, name: str, body: str = "") -> None:
    add(site, name, WRAPPED.format(name=name, body=body))


@pytest.fixture
def crowd(site: Path) -> None:
    """A working backend among everything that can be wrong with one."""
    wrapped(site, "fine")
    add(site, "gone", "", "nothing_here:BACKEND")
    add(site, "leaves", "raise SystemExit(3)")
    add(site, "number", "BACKEND = 5")
    add(site, "class", WRAPPED.format(name="class", body=""), "class:Wrapped")
    add(site, "silent", WRAPPED.format(name="silent", body="").replace("    api_version = 1\n", ""))
    add(site, "silago", "raise AssertionError('must not be imported')", "stolen:BACKEND")
    for name, body in BODIES.items():
        wrapped(site, name, body)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOHAQ_TRACEBACK", raising=False)
    runner = CliRunner(env={"COLUMNS": "250", "NO_COLOR": "1", "TERM": "dumb"})
    return lambda *words: runner.invoke(app, [str(word) for word in words])


@pytest.mark.usefixtures("crowd")
def test_broken_backends_are_told_and_the_others_are_listed(cli: Cli) -> None:
    good, broken = usable_backends()
    assert set(good) == {"bitfusion", "epiphany", "reference", "silago", "fine"}
    assert len(broken) == len(SAID)
    listed = cli("targets")
    assert listed.exit_code == 0
    assert "fine-1" in listed.stdout
    assert "bitfusion-e" in listed.stdout
    survey = cli("plugins")
    assert survey.exit_code == 0
    for result in (listed, survey):
        assert result.stderr.count("unusable: ") == len(SAID)
        assert "Traceback" not in result.output
        for text in SAID.values():
            assert text in result.stderr
    assert survey.stdout.count("unusable") == len(SAID)


@pytest.mark.usefixtures("crowd")
def test_other_targets_work_as_if_they_were_not_there(cli: Cli, tmp_path: Path) -> None:
    calibrated().save(tmp_path / "net")
    for target in ("reference", "silago-mohaq", "fine-1"):
        made = cli("compile", "net", "-t", target, "--bits", "8", "-o", target)
        assert made.exit_code == 0, made.output
        assert made.stderr == ""
    np.savez(tmp_path / "d.npz", inputs=sequences()[0], lengths=[7])
    assert cli("run", "fine-1", "-d", "d.npz").exit_code == 0
    assert cli("passes", "calibrate").exit_code == 0


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize("name", sorted(set(SAID) - {"silago", "steals"}))
def test_a_broken_backend_that_is_asked_for_is_one_message(
    name: str, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(f'backend = "{name}"\nname = "x"\n', encoding="utf-8")
    asked = cli("targets", "mine.toml")
    if name not in {"raises-targets", "no-names"}:  # its targets do not matter to a file
        assert asked.exit_code == 2
        assert SAID[name] in asked.stderr
        assert len(asked.stderr.splitlines()) <= 2
    unknown = cli("targets", f"{name}-1")
    assert unknown.exit_code == 2
    assert f"{name}-package 1.2" in unknown.stderr
    assert "Traceback" not in unknown.output


def test_two_packages_with_one_name(site: Path) -> None:
    wrapped(site, "twice")
    install(site, "again", {"mohaq.backends": {"twice": "twice:BACKEND"}}, {})
    rescan()
    with pytest.raises(MohaqError, match=r"of again 1\.2: the name is taken.*twice-package 1\.2"):
        get_backend("twice")
    assert len(usable_backends()[1]) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("raise ZeroDivisionError('division')", r"'cost' failed \(ZeroDivisionError: division\)"),
        ("del found['energy']", "'cost' gives no 'energy'"),
        ("found['latency'] = found['latency'][:1]", r"cost 'latency' is not one number a genome"),
        ("found['size'] = found['size'] * float('nan')", "cost 'size' of a genome is nan"),
        ("found['energy'] = -found['energy']", "cost 'energy' of a genome is -"),
        ("found['energy'] = 'much'", "cost 'energy' is no array of numbers"),
        ("found = 3", "'cost' gives a int, not a Mapping"),
    ],
)
def test_costs_of_other_packages_are_checked(site: Path, line: str, message: str) -> None:
    wrapped(site, "costly", COSTS.format(line=line))
    backend, target = find_target("costly-1")
    table = layer_table(calibrated())
    space = backend.space(table, target)
    model = backend.cost_model(table, space, target)
    where = r"backend 'costly' of costly-package 1\.2: "
    with pytest.raises(MohaqError, match=where + message):
        model.cost(np.stack([space.upper] * 3), Workload(2), Options())


def test_a_search_with_broken_costs_is_one_message(site: Path, cli: Cli, tmp_path: Path) -> None:
    wrapped(site, "costly", COSTS.format(line="raise KeyError('clock')"))
    calibrated().save(tmp_path / "net")
    labels = np.zeros(7, dtype=np.int64)
    np.savez(tmp_path / "d.npz", inputs=sequences()[0], lengths=[7], labels=labels)
    found = cli("search", "net", "-t", "costly-1", "-d", "d.npz", "-o", "run")
    assert found.exit_code == 2
    assert found.stderr.count("error: ") == 1
    assert "backend 'costly' of costly-package 1.2: 'cost' failed (KeyError" in found.stderr
    assert "Traceback" not in found.output


PASSES = """
from dataclasses import dataclass
from typing import ClassVar

from xdsl.passes import ModulePass


@dataclass(frozen=True)
class Count(ModulePass):
    '''Count operations.'''

    name: ClassVar[str] = "count-operations"
    most: int = 100

    def apply(self, ctx, op):
        found = sum(1 for _ in op.walk())
        if found > self.most:
            raise ValueError(f"{found} operations")


class Plain(ModulePass):
    name = "simple"
"""


def test_passes_of_other_packages(
    site: Path, cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = {
        "count-operations": "their_passes:Count",
        "plain": "their_passes:Plain",
        "lost": "their_passes:Lost",
        "no-class": "their_passes:dataclass",
        "calibrate": "their_passes:Count",
    }
    install(site, "their-passes", {"mohaq.passes": entries}, {"their_passes": PASSES})
    calibrated().save(tmp_path / "net")
    assert opt(["net", "-p", "count-operations,canonicalize"]) == 0
    listed = cli("passes")
    assert listed.exit_code == 0
    assert "count-operations" in listed.stdout
    assert "lower-to-qnn" in listed.stdout
    for result in (listed, cli("plugins")):
        assert result.stderr.count("unusable: ") == 4
        for text in (
            "pass 'plain' of their-passes 1.2: 'their_passes:Plain' calls itself 'simple'",
            "pass 'lost' of their-passes 1.2: 'their_passes:Lost' cannot be imported",
            "'their_passes:dataclass' is no pass",
            "pass 'calibrate' of their-passes 1.2: the name is taken",
        ):
            assert text in result.stderr
    capsys.readouterr()
    assert opt(["net", "-p", "lost"]) == 2
    assert "of their-passes 1.2" in capsys.readouterr().err
    assert opt(["net", "-p", "count-operations{most=1}"]) == 2
    assert "pass 'count-operations' failed (ValueError" in capsys.readouterr().err


OBJECTIVES = """
from mohaq.compiler.search.objectives import Objective

NARROW = Objective("narrow", "slots", lambda priced: sum(b == 2 for b in priced.widths.values()))


def broken(priced):
    raise LookupError("nothing")


BROKEN = Objective("broken", "", broken)


class Half:
    name = "half"
    label_kinds = frozenset({"frame"})

    def score(self, output, label, kind="frame"):
        return 0.5, 1.0


class Failing(Half):
    name = "failing"

    def score(self, output, label, kind="frame"):
        raise ArithmeticError("no score")
"""


def test_objectives_and_metrics_of_other_packages(site: Path, cli: Cli, tmp_path: Path) -> None:
    entries = {
        "mohaq.objectives": {
            "narrow": "their_aims:NARROW", "broken": "their_aims:BROKEN",
            "size": "their_aims:NARROW", "nowhere": "their_aims:NOWHERE",
        },
        "mohaq.metrics": {
            "half": "their_aims:Half", "failing": "their_aims:Failing", "fer": "their_aims:Half",
        },
    }  # fmt: skip
    install(site, "their-aims", entries, {"their_aims": OBJECTIVES})
    survey = cli("plugins")
    assert survey.stderr.count("unusable: ") == 3
    assert "objective 'size' of their-aims 1.2: the name is taken" in survey.stderr
    assert "objective 'nowhere' of their-aims 1.2: 'their_aims:NOWHERE'" in survey.stderr
    assert "metric 'fer' of their-aims 1.2: the name is taken" in survey.stderr
    calibrated().save(tmp_path / "net")
    labels = np.zeros(7, dtype=np.int64)
    np.savez(tmp_path / "d.npz", inputs=sequences()[0], lengths=[7], labels=labels)

    def search(objectives: str, metric: str) -> Result:
        words = ("-t", "reference", "-d", "d.npz", "-g", "1", "--population", "4")
        return cli(
            "search", "net", *words, "-m", metric, "--objectives", objectives,
            "-o", f"{objectives}{metric}",
        )  # fmt: skip

    assert search("error,narrow", "half").exit_code == 0
    failed = search("error,broken", "fer")
    assert failed.exit_code == 2
    assert "of their-aims 1.2: objective 'broken' failed (LookupError" in failed.stderr
    failed = search("error,size", "failing")
    assert failed.exit_code == 2
    assert "the metric of their-aims 1.2 failed (ArithmeticError" in failed.stderr
