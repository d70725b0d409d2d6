"""What beacons win over quantization alone at the narrow end, and what each retraining costs.

    python -m mohaq.tools.bench.beacons [--out RUN] [--train corpus/train.safetensors]
        [--generations 10] [--utterances 60] [--most 4] [--epochs 6] [--csv table.csv]

The same search of the shipped speech model twice in one folder, without and with beacons: error
and size on the target's widths, one log. At each size the least errors of both searches within
that size are compared, on the search's validation data and for test voices. Without `--train`
beacons learn from the calibration utterances that ship, four fifths of 80: name a corpus
(`mohaq corpus build`) for more.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from mohaq.backends.registry import find_target
from mohaq.compiler.data import Dataset
from mohaq.compiler.files import write_text
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.program import Program
from mohaq.compiler.qat import RetrainOptions
from mohaq.compiler.search.beacon_settings import BeaconSearch, BeaconSettings
from mohaq.compiler.search.beacon_store import BeaconStore
from mohaq.compiler.search.beacons import STORE_FOLDER
from mohaq.compiler.search.evaluator import Evaluator
from mohaq.compiler.search.front import Point, SearchResult
from mohaq.compiler.search.search import search
from mohaq.tools.bench.figures import as_csv
from mohaq.tools.sources import calibrated_model, held_out, load_data

MARKS = (2.2, 2.5, 3.0, 3.5, 4.0)
"""Mean bits of all weights up to which fronts are compared."""


@dataclass(frozen=True)
class Line:
    """Both searches within one size.

    Attributes:
        bits: mean bits of a weight that the size allows (16-bit vectors aside).
        plain, beacon: least validation errors of the searches.
        plain_test, beacon_test: of the same points on test data.
    """

    bits: float
    plain: float
    beacon: float
    plain_test: float
    beacon_test: float


@dataclass(frozen=True)
class Outcome:
    """What the bench found.

    Attributes:
        lines: by size.
        beacons: trained ones.
        candidates: that a beacon made better.
        won: sum of what those won, shares.
        minutes: of both searches: (without, with beacons and their training).
    """

    lines: tuple[Line, ...]
    beacons: int
    candidates: int
    won: float
    minutes: tuple[float, float]


def measure(
    program: Program,
    target: str,
    data: Dataset,
    test: Dataset,
    beacons: BeaconSearch,
    out: Path,
    *,
    generations: int,
    workers: int = 0,
    marks: Sequence[float] = MARKS,
    tell: object = print,
) -> Outcome:
    """Search twice and compare.

    Args:
        program: calibrated.
        target: its widths are searched.
        data: that the searches measure on.
        test: that points are measured on afterwards.
        beacons: of the second search.
        out: run folder of both.
        generations: of both.
        workers: processes.
        marks: mean bits of a weight to compare at.
        tell: told of the training.
    """
    say = tell if callable(tell) else print
    found: list[SearchResult] = []
    minutes = []
    for chosen in (None, beacons):
        start = time.monotonic()
        found.append(
            search(
                program, target=target, data=data, out=out, objectives=("error", "size"),
                generations=generations, workers=workers, beacons=chosen, tell=say,
            )
        )  # fmt: skip
        minutes.append((time.monotonic() - start) / 60)
    plain, better = found
    before = {p.genome: p.objectives["error"] for p in plain.evaluated if "error" in p.objectives}
    gained = [p for p in better.evaluated if p.beacon]
    backend, machine = find_target(target)
    metric = get_metric("fer")

    def on_test(point: Point) -> float:
        used = BeaconStore(out / STORE_FOLDER).load(point.beacon) if point.beacon else program
        return Evaluator(used, backend, machine, test, metric).evaluate(point.widths).value

    lines = []
    for bits in marks:
        a, b = (_best(result.front, bits, program) for result in found)
        if a is None or b is None:
            continue
        errors = (a.objectives["error"], b.objectives["error"])
        lines.append(Line(bits, *errors, on_test(a), on_test(b)))
    shared = [p for p in gained if p.genome in before]
    won = sum(before[p.genome] - p.objectives["error"] for p in shared)
    made = len(better.header["beacons"])
    return Outcome(tuple(lines), made, len(gained), won, (minutes[0], minutes[1]))


def _best(front: Sequence[Point], bits: float, program: Program) -> Point | None:
    """Least error of the points whose weights have so many bits in the mean."""
    layers = {op.label: op for op in program.layers()}

    def mean(point: Point) -> float:
        weights = {s: b for s, b in point.widths.items() if s.slot in ("weight", "recurrent")}
        counts = {s: _elements(layers[s.layer], s.slot) for s in weights}
        return sum(counts[s] * b for s, b in weights.items()) / sum(counts.values())

    within = [p for p in front if mean(p) <= bits]
    return min(within, key=lambda p: p.objectives["error"], default=None)


def _elements(op: object, slot: str) -> int:
    count = 1
    for extent in getattr(op, slot).type.get_shape():
        count *= int(extent)
    return count


def show(outcome: Outcome) -> Table:
    """The table for a terminal."""
    table = Table(title="FER %, least within a mean of weight bits", box=box.SIMPLE_HEAD)
    for title in ("bits", "inference", "beacon", "won", "test: inference", "beacon", "won"):
        table.add_column(title, justify="right")
    for line in outcome.lines:
        pairs = ((line.plain, line.beacon), (line.plain_test, line.beacon_test))
        cells = [f"{100 * v:.1f}" for a, b in pairs for v in (a, b, a - b)]
        table.add_row(f"{line.bits:g}", *cells)
    return table


def summary(outcome: Outcome) -> str:
    """What a retraining brought: points at the narrowest size, and candidates made better."""
    each = max(1, outcome.beacons)
    first = outcome.lines[0] if outcome.lines else None
    narrow = "" if first is None else (
        f"{100 * (first.plain - first.beacon) / each:.1f} points a retraining within "
        f"{first.bits:g} bits; "
    )  # fmt: skip
    return (
        f"{outcome.beacons} retrainings, {outcome.candidates} candidates better, {narrow}"
        f"{outcome.minutes[0]:.1f} min without, {outcome.minutes[1]:.1f} min more with beacons"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="run folder to keep; it resumes")
    parser.add_argument("--train", default="speech:calibration", help="what beacons learn from")
    parser.add_argument("--target", default="bitfusion-e")
    parser.add_argument("--generations", type=int, default=10)
    parser.add_argument("--utterances", type=int, default=60, help="validation, of the searches")
    parser.add_argument("--test", type=int, default=300, help="test utterances")
    parser.add_argument("--threshold", type=float, default=BeaconSettings.threshold)
    parser.add_argument("--most", type=int, default=4, help="beacons")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--csv", type=Path, help="also write the figures")
    args = parser.parse_args(argv)
    console = Console()
    program = calibrated_model("speech", None, console.print)
    data, test = load_data("speech:validation"), load_data("speech:test")
    train, validation = held_out(load_data(args.train))
    settings = BeaconSettings(
        args.threshold,
        (0.2, 0.95),
        most=args.most,
        retrain=RetrainOptions(epochs=args.epochs, threads=1),
    )
    with tempfile.TemporaryDirectory() as scratch:
        outcome = measure(
            program,
            args.target,
            data.subset(min(args.utterances, len(data))),
            test.subset(min(args.test, len(test))),
            BeaconSearch(train, validation, settings),
            args.out or Path(scratch) / "run",
            generations=args.generations,
            workers=args.workers,
            tell=console.print,
        )
    console.print(show(outcome))
    console.print(summary(outcome))
    if args.csv:
        write_text(args.csv, as_csv(Line, outcome.lines))


if __name__ == "__main__":
    main()
