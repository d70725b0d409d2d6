"""Candidates a second of the whole machine: a search with its workers beside the float loop with its threads.

Both sides take wall time on all cores of an otherwise idle machine. The search's time is all of it:
starting workers, loading, compiling, evaluating, the record. The float loop gets the fastest of
several numbers of threads and utterances a batch, its weights are fake-quantized beforehand, and
its time is the mean over candidates spread evenly over those that the search asked for.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich import box
from rich.table import Table

from mohaq.backends.registry import find_target
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Slot
from mohaq.compiler.data import Dataset
from mohaq.compiler.modules.sru import SpeechSRU
from mohaq.compiler.program import Program
from mohaq.compiler.search.engines import EngineOptions
from mohaq.compiler.search.front import SearchResult
from mohaq.compiler.search.search import run_search
from mohaq.compiler.search.settings import SearchSettings
from mohaq.tools.bench.fake_quant import FakeQuantLoop

BATCHES = (10, 20, 40)


@dataclass(frozen=True)
class Speed:
    """One row of the table.

    Attributes:
        model: its name.
        what: was timed.
        candidates: how many.
        rate: candidates a second.
        ratio: to the rate of the float loop that rounds gates and states, as the program does.
    """

    model: str
    what: str
    candidates: int
    rate: float
    ratio: float


def throughput(
    name: str,
    model: SpeechSRU,
    program: Program,
    target: str,
    data: Dataset,
    settings: SearchSettings,
    *,
    workers: int,
    sampled: int,
) -> list[Speed]:
    """The rows of one model."""
    rates, asked = {}, []
    for early in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            found = run_search(
                program,
                target=target,
                data=data,
                out=Path(folder),
                settings=replace(settings, early_stop=early),
                engine=EngineOptions(workers=workers),
            )
            seconds = time.perf_counter() - started
        asked = _asked(found)
        label = f"search, {workers} workers" + (", early stop" if early else "")
        rates[label] = len(asked) / seconds
    backend, machine = find_target(target)
    calibrated = backend.obeyed(calibrated_table(program), machine)
    picked = [asked[i] for i in np.linspace(0, len(asked) - 1, sampled).astype(int)]
    for states in (False, True):
        build = partial(FakeQuantLoop, model, calibrated, data, states=states)
        loop = _fastest(build, picked, workers)
        rates[loop.label + ("" if states else ", states float")] = 1 / loop.mean
    base = 1 / loop.mean
    counts = {label: sampled if "loop" in label else len(asked) for label in rates}
    return [Speed(name, label, counts[label], rate, rate / base) for label, rate in rates.items()]


def _asked(found: SearchResult) -> list[dict[Slot, int]]:
    """Widths of all candidates, in the order of the search."""
    return [dict(point.widths) for point in found.evaluated]


@dataclass(frozen=True)
class _Loop:
    label: str
    mean: float


def _fastest(
    build: Callable[..., FakeQuantLoop], picked: Sequence[Mapping[Slot, int]], cores: int
) -> _Loop:
    """The float loop with the threads and the utterances a batch that suit it best."""
    best: tuple[float, int, int] | None = None
    held = torch.get_num_threads()
    try:
        for batch in BATCHES:
            for threads in sorted({1, cores}):
                torch.set_num_threads(threads)
                seconds = _timed(build(batch=batch), picked[:1])
                best = min(best or (np.inf, 0, 0), (seconds, threads, batch))
        assert best is not None
        _, threads, batch = best
        torch.set_num_threads(threads)
        mean = _timed(build(batch=batch), picked)
    finally:
        torch.set_num_threads(held)
    return _Loop(f"float loop, {threads} threads, batches of {batch}", mean)


def _timed(loop: FakeQuantLoop, picked: Sequence[Mapping[Slot, int]]) -> float:
    """Mean wall seconds of a candidate whose weights are ready."""
    seconds = []
    for widths in picked:
        loop.error(widths)
        started = time.perf_counter()
        loop.error(widths)
        seconds.append(time.perf_counter() - started)
    return float(np.mean(seconds))


def show_throughput(lines: Sequence[Speed]) -> Table:
    """The table of one model."""
    table = Table(title=f"{lines[0].model}: wall time, whole machine", box=box.SIMPLE_HEAD)
    for title in ("", "candidates", "candidates / s", "x float loop"):
        table.add_column(title, justify="right" if title else "left")
    for line in lines:
        table.add_row(line.what, str(line.candidates), f"{line.rate:.2f}", f"{line.ratio:.1f}")
    return table
