"""The demo's steps. Each prints what it does and how long it took."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mohaq.backends.base import Backend, Target, Workload
from mohaq.backends.registry import find_target
from mohaq.compiler.assignment import Slot, bits_text
from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.driver import CompiledFolder, compile_program
from mohaq.compiler.files import dump_json, write_text
from mohaq.compiler.program import Program
from mohaq.compiler.search.front import Point, SearchResult, point_names
from mohaq.compiler.search.search import search
from mohaq.tools.console import kib, progress_bar, progress_line, say, si, table, time_text
from mohaq.tools.front import print_front
from mohaq.tools.measure import costs, errors, reference_rows
from mohaq.tools.report.load import load_report
from mohaq.tools.report.page import write_report
from mohaq.tools.simulate import print_runs
from mohaq.tools.simulate import simulate as run_simulation
from mohaq.tools.sources import SPEECH, calibrate_on, load_data, load_model
from mohaq.tools.watch import resumable, watch_search

MARGIN = 0.02
"""The demo chooses the point of least energy within so much of the float error."""

METRICS = ("fer", "per")
CHOSEN, REPORT, SUMMARY = "chosen", "report.html", "summary.json"


@dataclass(frozen=True)
class DemoOptions:
    """What the command line asked for."""

    out: Path
    target: str
    model: str
    generations: int
    seed: int
    utterances: int
    simulate: int
    workers: int


@contextlib.contextmanager
def step(number: int, title: str) -> Iterator[None]:
    """Print a step's title before and its time after."""
    say(f"[{number}/6] {title}", style="bold")
    begin = time.perf_counter()
    yield
    say(f"      {time.perf_counter() - begin:.1f} s", style="dim")


def run_demo(options: DemoOptions) -> None:
    """Run all steps.

    Raises:
        CheckFailed: the simulated program differs from the integer reference or its estimate.
        MohaqError: the run folder holds another search.
    """
    begin = time.perf_counter()
    if options.model not in SPEECH:
        hint = did_you_mean(options.model, SPEECH)
        raise MohaqError(f"the demo has no model '{options.model}'", hint=hint)
    backend, machine = find_target(options.target)
    with step(1, f"import the trained phone recogniser {options.model} through torch.export"):
        program = load_model(options.model)
        layers = ", ".join(op.label for op in program.layers())
        say(f"      one operation a layer: {layers}")
    with (
        step(2, "calibrate: a clip for every slot and width"),
        progress_bar("calibration utterances") as show,
    ):
        calibrate_on(program, load_data("speech:calibration"), progress=show)
    with step(3, f"search the bits of every layer for {machine.name} (NSGA-III)"):
        data = load_data("speech:validation")
        found = _search(program, data.subset(min(options.utterances, len(data))), options)
    print_front(found)
    name, point, why = choose(found)
    with step(4, f"compile {name}: {why}"):
        say(f"      weight x input bits: {bits_text(point.widths)}")
        folder = options.out / CHOSEN
        index = point_names(len(found.front)).index(name)
        with progress_line() as tell:
            compile_program(
                program,
                options.target,
                found.assignment(index),
                folder,
                name=options.model,
                workload=Workload(round(data.frames / len(data))),
                progress=tell,
            )
    test = load_data("speech:test")
    with step(5, f"simulate {options.simulate} test utterances from the emitted words"):
        with progress_bar("utterances") as show:
            runs = run_simulation(
                CompiledFolder(folder),
                test.subset(min(options.simulate, len(test))).inputs,
                check=True,
                progress=show,
            )
        print_runs(runs)
        runs.require_equal()
    with step(6, f"measure all {len(test)} test utterances, write the report"):
        rows = _measure(program, backend, machine, test, found, name, point)
        unit = backend.latency_unit(machine)
        _print_rows(rows, machine.name, len(test), unit)
        extra = {row["name"]: row["errors"] for row in rows}
        report = load_report(options.out, chosen=name, extra=extra)
        write_report(report, options.out / REPORT)
        summary = {
            "target": machine.name,
            "latency_unit": unit,
            "chosen": {"id": name, "rule": why, "widths": _widths(point.widths)},
            "test": rows,
            "simulated": {"utterances": len(runs.runs), "bit_exact": True},
        }
        write_text(options.out / SUMMARY, dump_json(summary))
    _paths(options.out, time.perf_counter() - begin)


def _search(program: Program, data: Dataset, options: DemoOptions) -> SearchResult:
    with resumable(options.out), watch_search() as observer:
        return search(
            program,
            target=options.target,
            data=data,
            out=options.out,
            metric="fer",
            generations=options.generations,
            seed=options.seed,
            workers=options.workers,
            observer=observer,
            name=options.model,
        )


def choose(found: SearchResult) -> tuple[str, Point, str]:
    """(id, point, reason): least energy with an error within two points of float.

    When no point comes that close, the one of least error.
    """
    names = point_names(len(found.front))
    base = next(r["objectives"]["error"] for r in found.reference if r["name"] == "float")
    limit = base + MARGIN
    near = [i for i, p in enumerate(found.front) if p.objectives["error"] <= limit]
    if near:
        best = min(near, key=lambda i: (found.front[i].objectives["energy"], i))
        return names[best], found.front[best], "least energy within 2 points of the float error"
    best = min(range(len(found.front)), key=lambda i: (found.front[i].objectives["error"], i))
    return names[best], found.front[best], "least error (none is within 2 points of float)"


def _measure(
    program: Program,
    backend: Backend,
    machine: Target,
    test: Dataset,
    found: SearchResult,
    name: str,
    chosen: Point,
) -> list[dict[str, Any]]:
    """Errors on the test voices and costs: float, uniform widths, three points of the front."""
    picks = reference_rows(program, backend, machine)
    names = point_names(len(found.front))
    by_error = sorted(range(len(names)), key=lambda i: (found.front[i].objectives["error"], i))
    for index in sorted({by_error[0], by_error[len(by_error) // 2]}):
        picks[names[index]] = found.front[index].widths
    picks[name] = chosen.widths
    with progress_bar("points on test data") as show:
        measured = errors(program, backend, machine, test, picks, METRICS, show)
    workload = Workload(**found.header["workload"])
    priced = costs(program, backend, machine, picks, workload)
    rows: list[dict[str, Any]] = []
    for key in picks:
        row: dict[str, Any] = {"name": key}
        row["errors"] = {f"test {title}": value for title, value in measured[key].items()}
        if key in priced:
            row["costs"] = priced[key]
        rows.append(row)
    return rows


def _print_rows(rows: list[dict[str, Any]], target: str, count: int, unit: str) -> None:
    lines = []
    for row in rows:
        priced = row.get("costs")
        shown = (
            (time_text(priced["latency"], unit), si(priced["energy"], "J"), kib(priced["size"]))
            if priced
            else ("", "", "")
        )
        cells = (f"{100 * row['errors'][f'test {m}']:.2f}" for m in METRICS)
        lines.append((row["name"], *cells, *shown))
    columns = ("", "FER %", "PER %", "latency", "energy", "size")
    table(f"{count} test utterances of unseen voices, {target}", columns, lines)


def _widths(widths: Mapping[Slot, int]) -> dict[str, int]:
    return {str(slot): bits for slot, bits in widths.items()}


def _paths(out: Path, seconds: float) -> None:
    rows = [
        (str(out / REPORT), "open it in a browser: the front, interactive"),
        (str(out / "front.json"), "all points, with bits per layer"),
        (str(out / "assignments"), "one file a point, for mohaq compile --assignment"),
        (str(out / CHOSEN), "the chosen program: .mlir at each level, words, listing, estimate"),
        (str(out / SUMMARY), "the table above"),
    ]
    table(f"Done in {seconds:.0f} s", ("written", "what it is"), rows, text=2)
    say(f"next: mohaq inspect {out / CHOSEN}")
