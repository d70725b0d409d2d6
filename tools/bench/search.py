"""The search's evaluator beside a plain PyTorch fake-quant loop, on the candidates of a real search.

    python -m mohaq.tools.bench.search [--models default,paper] [--candidates 200] [--utterances 30]
        [--sampled 10] [--target bitfusion-s] [--csv FILE]
    python -m mohaq.tools.bench.search --machine [--workers N] ...

One NSGA-II search (the paper's preset, error and latency) runs with the evaluator; at evenly spread
candidates the float loop (`tools/bench/fake_quant.py`) and the evaluator with one of its means
taken away are timed on the same candidate, between the search's own evaluations. Times are processor seconds of one
thread each, so that other load on the machine counts little. Compiling and loading are part of
the evaluator's time. The default network is the trained one; the network of the paper's size has random
weights and labels by its own float outputs. Every timed output is compared with the evaluator without its
means, and two utterances with the integer reference. `--machine` measures candidates a second of all cores
instead (`search_throughput`), with and without early stop.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from mohaq.backends.registry import find_target
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Slot
from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.driver import calibrate, lower_for_target
from mohaq.compiler.files import write_text
from mohaq.compiler.frontends import load
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.modules.sru import SpeechSRU
from mohaq.compiler.program import Program, argument_grids
from mohaq.compiler.quantizer import quantize
from mohaq.compiler.search import gemm
from mohaq.compiler.search.engine import Evaluation, Job, Outcome
from mohaq.compiler.search.evaluator import Evaluator
from mohaq.compiler.search.local import run_job
from mohaq.compiler.search.search import run_search
from mohaq.compiler.search.settings import SearchSettings
from mohaq.tools.bench.fake_quant import FakeQuantLoop
from mohaq.tools.bench.figures import as_csv
from mohaq.tools.bench.search_quality import QualityLine, measure_quality, show_quality
from mohaq.tools.bench.search_throughput import Speed, show_throughput, throughput
from mohaq.tools.sources import load_data
from mohaq.tools.speech.default_task import load_default_model

CALIBRATION = 16
NEVER = 1 << 62
CHECKED = 2
"""Utterances that the integer reference runs."""

MEANS = ("all but sharing", "also float GEMM", "also interpreted scans")


@dataclass
class Timings:
    """Processor seconds by what was timed, and how far the float loop's errors are off."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    differences: list[float] = field(default_factory=list)

    def add(self, name: str, started: float) -> None:
        """One measurement."""
        self.seconds.setdefault(name, []).append(time.process_time() - started)

    def mean(self, name: str) -> float:
        """Seconds a candidate."""
        return float(np.mean(self.seconds[name]))


@dataclass(frozen=True)
class Line:
    """One row of the table.

    Attributes:
        model: its name.
        what: was timed.
        candidates: how many.
        seconds: of the processor for one.
        ratio: seconds of the float loop for the same kind of candidates / these.
    """

    model: str
    what: str
    candidates: int
    seconds: float
    ratio: float


class Interleaved:
    """An engine that evaluates the jobs of a search and times the others in between."""

    def __init__(
        self, model: SpeechSRU, program: Program, target: str, data: Dataset, every: int
    ) -> None:
        backend, machine = find_target(target)
        calibrated = backend.obeyed(calibrated_table(program), machine)
        metric = get_metric("fer")
        self._program, self._backend, self._machine, self._data = program, backend, machine, data
        self._every, self._count = every, 0
        self.evaluator = Evaluator(program, backend, machine, data, metric)
        self.loop = FakeQuantLoop(model, calibrated, data, batch=10)
        self._cheaper = FakeQuantLoop(model, calibrated, data, batch=10, states=False)
        self._plain = {
            MEANS[0]: Evaluator(program, backend, machine, data, metric, share_values=False),
            MEANS[1]: Evaluator(program, backend, machine, data, metric, share_values=False),
            MEANS[2]: Evaluator(
                program, backend, machine, data, metric, share_values=False, compile_after=NEVER
            ),
        }
        self.timings = Timings()
        self.slots = calibrated.searched()

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """As engines do."""
        for job in jobs:
            started = time.process_time()
            outcome = run_job(self.evaluator, job)
            self.timings.add("evaluator", started)
            self._count += 1
            if self._count % self._every == 0 and isinstance(outcome.result, Evaluation):
                self.compare(dict(job.widths), outcome.result.value)
            yield outcome

    def close(self) -> None:
        """Nothing is held."""

    def compare(self, widths: Mapping[Slot, int], error: float, suffix: str = "") -> None:
        """Time the float loop and the evaluators without their means on one candidate.

        Raises:
            MohaqError: an output has other bits than the reference.
        """
        self.loop.error(widths)  # its fake-quantized weights are kept: not timed
        started = time.process_time()
        found = self.loop.error(widths)
        self.timings.add("float loop" + suffix, started)
        self.timings.differences.append(found - error)
        self._cheaper.error(widths)
        started = time.process_time()
        self._cheaper.error(widths)
        self.timings.add("float loop, states float" + suffix, started)
        outputs = self.evaluator.outputs(widths)
        for name, one in self._plain.items():
            usable = gemm.available() and name == MEANS[0]
            with patch.object(gemm, "available", lambda usable=usable: usable):
                one.evaluate(widths)  # its plans are kept: not timed
                started = time.process_time()
                one.evaluate(widths)
                self.timings.add(name + suffix, started)
                for fast, slow in zip(outputs, one.outputs(widths), strict=True):
                    if not np.array_equal(fast, slow):
                        raise MohaqError("the evaluator differs from itself", where=name)
        self._check(widths, outputs)

    def _check(self, widths: Mapping[Slot, int], outputs: Sequence[np.ndarray]) -> None:
        legal = lower_for_target(self._program, self._backend, self._machine, widths).legalized
        (grid, *_) = argument_grids(legal.entry)
        assert grid is not None
        for number in np.argsort(self._data.lengths, kind="stable")[:CHECKED]:
            x = quantize(self._data.inputs[number], grid)[:, None]
            if not np.array_equal(run_integer(legal, [x])[0][:, 0], outputs[number]):
                raise MohaqError("the evaluator differs from the integer reference")


def network(name: str, data: Dataset) -> tuple[SpeechSRU, Program, Dataset]:
    """Model, calibrated program and the data with labels that suit it."""
    if name == "default":
        model = load_default_model()
        assert isinstance(model, SpeechSRU)
    else:
        torch.manual_seed(1)
        model = SpeechSRU(name).eval().requires_grad_(False)
        labels = []
        for x in data.inputs:
            scores = model(torch.from_numpy(np.asarray(x, np.float32))[:, None])
            labels.append(scores[:, 0].argmax(dim=1).numpy())
        data = replace(data, labels=tuple(labels))
    calibration = load_data("speech:calibration").subset(CALIBRATION)
    program = load(model, (torch.zeros(8, 2, 23),))
    calibrate(program, list(calibration.inputs))
    program.seal()
    return model, program, data


def paper_search(candidates: int) -> SearchSettings:
    """The paper's search, error and latency, with so many candidates."""
    return SearchSettings.of(
        "mohaq",
        objectives=("error", "latency"),
        population=min(40, candidates),
        generations=max(1, 1 + (candidates - 40) // 10),
        early_stop=False,
    )


def measure(
    name: str, target: str, data: Dataset, candidates: int, sampled: int
) -> tuple[list[Line], Timings]:
    """The lines of one model.

    Raises:
        MohaqError: an output has other bits than the reference.
    """
    model, program, data = network(name, data)
    engine = Interleaved(model, program, target, data, max(1, candidates // sampled))
    with tempfile.TemporaryDirectory() as folder:
        run_search(
            program,
            target=target,
            data=data,
            out=Path(folder),
            settings=paper_search(candidates),
            engine=engine,
        )
    widest = dict.fromkeys(engine.slots, 16)
    engine.compare(widest, engine.evaluator.evaluate(widest).value, ", 16 bits")
    held = engine.timings
    loop, wide = held.mean("float loop"), held.mean("float loop, 16 bits")
    lines = []
    for what, times in held.seconds.items():
        mean = held.mean(what)
        against = wide if what.endswith("16 bits") else loop
        lines.append(Line(name, what, len(times), mean, against / mean))
    return lines, held


def show(lines: Sequence[Line], held: Timings) -> Table:
    """The table of one model."""
    table = Table(
        title=f"{lines[0].model}: float loop's error off by at most "
        f"{max(map(abs, held.differences)):.4f}; all integers equal the reference",
        box=box.SIMPLE_HEAD,
    )
    for title in ("", "candidates", "s / candidate", "candidates / s", "x float loop"):
        table.add_column(title, justify="right" if title else "left")
    for line in lines:
        table.add_row(
            line.what,
            str(line.candidates),
            f"{line.seconds:.3f}",
            f"{1 / line.seconds:.2f}",
            f"{line.ratio:.1f}",
        )
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default="default,paper")
    parser.add_argument("--target", default="bitfusion-s")
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--sampled", type=int, default=10, help="candidates of the float loop")
    parser.add_argument("--utterances", type=int, default=30, help="of the validation split")
    parser.add_argument("--machine", action="store_true", help="instead: all cores, wall time")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--quality", type=Path, help="instead: run folder of a whole space")
    parser.add_argument("--seeds", type=int, default=10, help="of each search, for --quality")
    parser.add_argument("--csv", type=Path, help="also write the figures")
    args = parser.parse_args(argv)
    if argv is None and "OPENBLAS_NUM_THREADS" not in os.environ:
        # NumPy reads it when it loads; other threads would wait busily, on the clock of this one.
        again = [sys.executable, "-m", "mohaq.tools.bench.search", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "OPENBLAS_NUM_THREADS": "1"})  # noqa: S606
    torch.set_num_threads(1)
    console = Console()
    if args.quality:
        found = measure_quality(args.quality, args.seeds)
        console.print(show_quality(found, args.seeds))
        if args.csv:
            write_text(args.csv, as_csv(QualityLine, found))
        return
    data = load_data("speech:validation")
    data = data.subset(min(args.utterances, len(data)))
    if args.machine:
        speeds: list[Speed] = []
        for name in args.models.split(","):
            model, program, labelled = network(name, data)
            found_speeds = throughput(
                name,
                model,
                program,
                args.target,
                labelled,
                paper_search(args.candidates),
                workers=args.workers,
                sampled=args.sampled,
            )
            console.print(show_throughput(found_speeds))
            speeds += found_speeds
        if args.csv:
            write_text(args.csv, as_csv(Speed, speeds))
        return
    every: list[Line] = []
    for name in args.models.split(","):
        lines, held = measure(name, args.target, data, args.candidates, args.sampled)
        console.print(show(lines, held))
        every += lines
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    console.print(f"peak memory, both sides together: {peak:.2f} GiB")
    if args.csv:
        write_text(args.csv, as_csv(Line, every))


if __name__ == "__main__":
    main()
