"""What low widths cost the speech models, and how much retraining wins back.

    python -m mohaq.tools.bench.retraining [--train corpus/train] [--models speech]
        [--utterances 1500] [--epochs 6] [--rate 2e-3] [--csv table.csv] [--markdown table.md]

Each model is retrained with quantization in the loop (`mohaq train --from`) for every row's
widths. Errors are those of the integer program, before and after, on test utterances that neither
the training nor the choice of the epoch saw. Without `--train` the model learns from the 120
validation utterances that ship, and the 80 of calibration choose the epoch: far too few, so name
a corpus (`mohaq corpus build`) for figures that mean something.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Assignment, Slot
from mohaq.compiler.data import Dataset
from mohaq.compiler.files import write_text
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.program import Program
from mohaq.compiler.qat import RetrainOptions, retrain
from mohaq.compiler.search.evaluator import Evaluator
from mohaq.compiler.search.scoring import bootstrap, score
from mohaq.tools.bench.figures import as_csv
from mohaq.tools.bench.precision import VALUES, AnyWidths
from mohaq.tools.measure import float_outputs
from mohaq.tools.sources import calibrated_model, load_data

ROWS = ("uniform 2", "weights 2, values 4")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Line:
    """One model at one precision.

    Attributes:
        model, precision: names of model and row.
        full: test error of the float program.
        before, after: of the integer program with the shipped weights and the retrained ones.
        low, high: 95 % interval of `after`, a bootstrap over utterances.
        best: epoch that validation chose; 0 is the program as it came.
        epochs: that were run.
        utterances: learned from.
        minutes: that the retraining took.
    """

    model: str
    precision: str
    full: float
    before: float
    after: float
    low: float
    high: float
    best: int
    epochs: int
    utterances: int
    minutes: float

    @property
    def won(self) -> float:
        """Share of what quantization had cost that came back; 0 where it had cost nothing."""
        lost = self.before - self.full
        return (self.before - self.after) / lost if lost > 0 else 0.0


def widths_of(program: Program, row: str) -> dict[Slot, int]:
    """Widths of all searched slots under a row's name."""
    slots = calibrated_table(program).searched()
    if row == "uniform 2":
        return dict.fromkeys(slots, 2)
    return {s: 4 if s.slot in VALUES else 2 for s in slots}


def measure(
    model: str,
    program: Program,
    learned: Dataset,
    validation: Dataset,
    test: Dataset,
    options: RetrainOptions,
    rows: Sequence[str] = ROWS,
    tell: Tell = lambda _: None,
) -> list[Line]:
    """All lines of one model.

    Args:
        model: its name, for the table.
        program: calibrated at 2 and 4 bits.
        learned: frames with classes, to train on.
        validation: chooses the epoch.
        test: what the errors are measured on.
        options: the recipe.
        rows: names of the precisions.
        tell: told what is going on.
    """
    metric = get_metric("fer")
    backend = AnyWidths()
    machine = backend.load_target("reference")

    def error(made: Program, widths: dict[Slot, int]) -> tuple[float, float, float]:
        found = Evaluator(made, backend, machine, test, metric).evaluate(widths)
        return (found.value, *bootstrap(found))

    full = score(metric, float_outputs(program, test), test).value
    lines = []
    for row in rows:
        widths = widths_of(program, row)
        where = f"{model}, {row}"
        tell(f"{where}: before")
        before, *_ = error(program, widths)
        start = time.monotonic()
        done = retrain(
            program,
            Assignment(widths),
            learned,
            validation,
            options=options,
            report=lambda epoch, _, record, where=where: tell(  # type: ignore[misc]
                f"{where}: epoch {epoch}, validation {100 * record['validation']:.2f} %"
            ),
        )
        minutes = (time.monotonic() - start) / 60
        after, low, high = error(done.program, widths)
        epochs = len(done.record["curve"]) - 1
        best, count = done.best_epoch, len(learned)
        lines.append(Line(model, row, full, before, after, low, high, best, epochs, count, minutes))
    return lines


def as_markdown(lines: Sequence[Line]) -> str:
    """The lines as a table for a document, errors in percent."""
    rows = [
        "| FER % | float | before | retrained | 95 % | won back | minutes |",
        "| --- |" + " --- |" * 6,
    ]
    for line in lines:
        errors = " | ".join(f"{100 * e:.1f}" for e in (line.full, line.before, line.after))
        interval = f"{100 * line.low:.1f}, {100 * line.high:.1f}"
        rows.append(
            f"| {line.model}, {line.precision} | {errors} | {interval} | {100 * line.won:.0f} % "
            f"| {line.minutes:.0f} |"
        )
    return "\n".join(rows) + "\n"


def show(lines: Sequence[Line]) -> Table:
    """The table for a terminal."""
    first = lines[0]
    table = Table(title=f"retrained on {first.utterances} utterances", box=box.SIMPLE_HEAD)
    table.add_column("")
    for title in ("float", "before", "after", "95 %", "won back", "epoch", "min"):
        table.add_column(title, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(
            f"{line.model}, {line.precision}",
            *(f"{100 * e:.2f}" for e in (line.full, line.before, line.after)),
            f"{100 * line.low:.1f}, {100 * line.high:.1f}",
            f"{100 * line.won:.0f} %",
            f"{line.best} of {line.epochs}",
            f"{line.minutes:.1f}",
        )
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--train", help="data to learn from, e.g. a corpus's train split")
    parser.add_argument("--models", default="speech", help="names, with commas")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--test", default="speech:test", help="what the errors are measured on")
    parser.add_argument("--limit", type=int, default=300, help="test utterances, spread evenly")
    parser.add_argument("--utterances", type=int, default=1500, help="to learn from at most")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rate", type=float, default=RetrainOptions.rate, help="of Adam")
    parser.add_argument("--batch", type=int, default=RetrainOptions.batch, help="utterances")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--csv", type=Path, help="also write all figures")
    parser.add_argument("--markdown", type=Path, help="also write a short table")
    args = parser.parse_args(argv)
    console = Console()
    options = RetrainOptions(
        epochs=args.epochs, batch=args.batch, rate=args.rate, threads=args.threads
    )
    learned = load_data(args.train or "speech:validation")
    learned = learned.subset(min(args.utterances, len(learned)))
    validation = load_data("speech:validation" if args.train else "speech:calibration")
    test = load_data(args.test)
    test = test.subset(min(args.limit, len(test)))
    lines: list[Line] = []
    for name in args.models.split(","):
        program = calibrated_model(name, None, console.print)
        lines += measure(
            name, program, learned, validation, test, options, args.rows, console.print
        )
    console.print(show(lines))
    if args.csv:
        write_text(args.csv, as_csv(Line, lines))
    if args.markdown:
        write_text(args.markdown, as_markdown(lines))


if __name__ == "__main__":
    main()
