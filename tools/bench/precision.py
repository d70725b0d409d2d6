"""Frame error of the speech models by precision, on three executors that must agree bit for bit.

    python -m mohaq.tools.bench.precision [--models speech,speech-lstm] [--limit 300]
        [--checked 50] [--csv table.csv] [--markdown table.md]

Each model is run at float, at 16, 8, 4 and 2 bits and with mixed assignments by the evaluator that
the search uses, on `--limit` utterances; on `--checked` of them also by the interpreter that
defines the integers (`mohaq.compiler.interpreters.integer`) and by onnxruntime on the exported
integer model. A difference in one bit ends the bench with an error.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from rich import box
from rich.console import Console
from rich.table import Table

from mohaq.backends.base import GeneSpace, Legality, SlotGroup, Target
from mohaq.backends.reference import ReferenceBackend
from mohaq.compiler.analysis.layers import Layer, LayerTable
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Slot
from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.driver import lower_for_target
from mohaq.compiler.files import write_text
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.onnx_export.integer import integer_to_onnx
from mohaq.compiler.onnx_export.session import open_session
from mohaq.compiler.program import Program, argument_grids, result_grids
from mohaq.compiler.quantizer import dequantize, quantize
from mohaq.compiler.search.engine import Evaluation
from mohaq.compiler.search.evaluator import Evaluator
from mohaq.compiler.search.scoring import bootstrap, score
from mohaq.tools.bench.figures import as_csv
from mohaq.tools.measure import UNIFORM, float_outputs
from mohaq.tools.sources import SPEECH, calibrated_model, load_data

VALUES = ("input", "hidden")
"""Slots that hold values; the other searched slots hold weights."""

MATRICES = ("recurrent", "hidden")
"""Slots of the product inside the recurrence."""

Tell = Callable[[str], None]
Array = npt.NDArray[Any]


class AnyWidths(ReferenceBackend):
    """The reference core with a width for each slot, so that the bench may name any assignment."""

    def legality(self, layer: Layer, target: Target) -> Legality:
        """One group a slot, of the widths that the reference core has for whole layers."""
        (tied,) = super().legality(layer, target).groups
        widths = tuple((choice[0],) for choice in tied.choices)
        groups = tuple(SlotGroup(str(slot), (slot,), widths) for slot in tied.slots)
        return Legality(groups, granularity="per-channel")

    def space(self, table: LayerTable, target: Target) -> GeneSpace:
        """No ties between layers."""
        return GeneSpace(tuple(g for layer in table for g in self.legality(layer, target).groups))

    def require_legal(self, table: LayerTable, target: Target, widths: Mapping[Slot, int]) -> None:
        """Nothing but the widths themselves."""
        self.space(table, target).encode(widths)


@dataclass(frozen=True)
class Line:
    """One model at one precision.

    Attributes:
        model: its name.
        precision: name of the row.
        kilobytes: matrices at their widths, other parameters at 16 bits (float: all at 32).
        fer: share of frames that are wrong, by the evaluator (float: by the float program).
        low, high: 95 % interval, a bootstrap over utterances.
        utterances: how many that was measured on.
        reference_fer: by the integer interpreter, on the checked utterances (float: by the float
            program on those).
        evaluator_fer: by the evaluator on the same ones.
        exported_fer: by onnxruntime on the integer ONNX model, on the same ones (float: on the
            float model).
        checked: how many those are; every output had the same bits.
    """

    model: str
    precision: str
    kilobytes: float
    fer: float
    low: float
    high: float
    utterances: int
    reference_fer: float
    evaluator_fer: float
    exported_fer: float
    checked: int


def assignments(program: Program) -> dict[str, dict[Slot, int]]:
    """The precisions measured: row name -> widths of all searched slots.

    The rows about recurrent matrices and the h that they read are left out for a model that has
    none (SRU).
    """
    table = calibrated_table(program)
    slots, names = table.searched(), table.table.names
    loops = {layer.name for layer in table.table if layer.hidden}
    found = {f"uniform {bits}": dict.fromkeys(slots, bits) for bits in UNIFORM}
    found["weights 4, values 8"] = {s: 8 if s.slot in VALUES else 4 for s in slots}
    found["first + last 8, rest 4"] = {
        s: 8 if s.layer in (names[0], names[-1]) else 4 for s in slots
    }
    found["RNN layers 8, rest 4"] = {s: 8 if s.layer in loops else 4 for s in slots}
    if any(s.slot in MATRICES for s in slots):
        found["recurrent W, h 8, rest 4"] = {s: 8 if s.slot in MATRICES else 4 for s in slots}
        found["recurrent W, h 4, rest 8"] = {s: 4 if s.slot in MATRICES else 8 for s in slots}
    return found


def measure(
    model: str, program: Program, data: Dataset, checked: int, tell: Tell = lambda _: None
) -> list[Line]:
    """All lines of one model.

    Args:
        model: its name, for the table.
        program: calibrated at 2, 4, 8 and 16 bits.
        data: frames with classes.
        checked: utterances of `data` that the interpreter runs too.
        tell: told what is being measured.

    Raises:
        MohaqError: two executors differ; fewer utterances than are to be checked.
    """
    metric = get_metric("fer")
    backend = AnyWidths()
    machine = backend.load_target("reference")
    if not 1 <= checked <= len(data):
        raise MohaqError(f"cannot check {checked} utterances", why=f"there are {len(data)}")
    picked = _of_common_lengths(data, checked)
    few = data[picked]
    rows = assignments(program)
    layers = calibrated_table(program).table
    evaluator = Evaluator(program, backend, machine, data, metric)
    tell(f"{model}: float")
    outputs = float_outputs(program, data)
    part = score(metric, [outputs[i] for i in picked], few).value
    size = sum(a.nbytes for a in program.parameters.values()) / 1000
    same = score(metric, _in_onnxruntime(program.to_onnx(), list(few.inputs)), few).value
    lines = [_line(model, "float", size, score(metric, outputs, data), (part, part, same), checked)]
    for name, widths in rows.items():
        tell(f"{model}: {name}")
        fast = evaluator.outputs(widths)
        legal = lower_for_target(program, backend, machine, widths).legalized
        given, result = _grids(legal)
        inputs = [quantize(x, given) for x in few.inputs]
        exact = _by_length(partial(_interpreted, legal), inputs)
        where = f"{model}, {name}"
        _require_equal("the evaluator", where, few, [fast[i] for i in picked], exact)
        tell(f"{where}, onnxruntime")
        made = _in_onnxruntime(integer_to_onnx(legal, border="integer"), inputs)
        _require_equal("onnxruntime", where, few, made, exact)
        values = evaluator.real_outputs(widths)
        parts = (
            score(metric, [dequantize(y, result) for y in exact], few).value,
            score(metric, [values[i] for i in picked], few).value,
            score(metric, [dequantize(y, result) for y in made], few).value,
        )
        size = _kilobytes(layers, widths)
        lines.append(_line(model, name, size, score(metric, values, data), parts, checked))
    return lines


def _kilobytes(layers: LayerTable, widths: Mapping[Slot, int]) -> float:
    """Matrices at their widths, biases and vectors at 16 bits."""
    bits = 0
    for layer in layers:
        bits += layer.weights * widths[Slot(layer.name, "weight")] + 16 * layer.vector_words
        if layer.recurrent_weights:
            bits += layer.recurrent_weights * widths[Slot(layer.name, "recurrent")]
    return bits / 8000


def _line(
    model: str,
    precision: str,
    kilobytes: float,
    found: Evaluation,
    parts: tuple[float, float, float],
    checked: int,
) -> Line:
    low, high = bootstrap(found)
    return Line(
        model,
        precision,
        kilobytes,
        found.value,
        low,
        high,
        len(found.errors),
        *parts,
        checked,
    )


def _grids(program: Program) -> tuple[GridAttr, GridAttr]:
    """Of the first input and the first result."""
    given, result = argument_grids(program.entry)[0], result_grids(program.entry)[0]
    if given is None or result is None:
        raise MohaqError("the program's input and result need grids")
    return given, result


def _interpreted(program: Program, x: Array) -> Array:
    return run_integer(program, [x])[0]


def _by_length(run: Callable[[Array], Array], inputs: Sequence[Array]) -> list[Array]:
    """Outputs [T, C] of sequences [T, F]; those of one length run together as [T, B, F]."""
    groups: dict[int, list[int]] = {}
    for number, x in enumerate(inputs):
        groups.setdefault(len(x), []).append(number)
    found: dict[int, Array] = {}
    for members in groups.values():
        outputs = run(np.stack([inputs[i] for i in members], axis=1))
        found.update({i: outputs[:, column] for column, i in enumerate(members)})
    return [found[i] for i in range(len(inputs))]


def _in_onnxruntime(model: onnx.ModelProto, inputs: Sequence[Array]) -> list[Array]:
    """Outputs of an exported model, on one thread."""
    session = open_session(model, threads=1)
    name = session.get_inputs()[0].name
    return _by_length(lambda x: np.asarray(session.run(None, {name: x})[0]), inputs)


def _of_common_lengths(data: Dataset, count: int) -> list[int]:
    """Numbers of `count` utterances in order.

    Those whose length many others share come first: the interpreter runs equal lengths together.
    """
    shared = Counter(data.lengths.tolist())
    keys = [(-shared[int(length)], int(length), i) for i, length in enumerate(data.lengths)]
    return sorted(i for *_, i in sorted(keys)[:count])


def _require_equal(
    who: str, where: str, data: Dataset, fast: Sequence[Array], exact: Sequence[Array]
) -> None:
    for name, a, b in zip(data.names, fast, exact, strict=True):
        if a.shape != b.shape:
            raise MohaqError("outputs of different shapes", where=f"{where}, {name}")
        if wrong := int((a != b).sum()):
            frame, channel = np.argwhere(a != b)[0]
            raise MohaqError(
                f"{who} differs from the integer reference",
                where=f"{where}, {name}",
                why=f"{wrong} of {a.size} values; first at frame {frame}, channel {channel}: "
                f"{a[frame, channel]}, not {b[frame, channel]}",
            )


def as_markdown(lines: Sequence[Line]) -> str:
    """The lines as a table for a document, a row a precision and a column a model."""
    models = list(dict.fromkeys(line.model for line in lines))
    held = {(line.precision, line.model): line for line in lines}
    rows = ["| FER % (kB) | " + " | ".join(models) + " |", "| --- |" + " --- |" * len(models)]
    for precision in dict.fromkeys(line.precision for line in lines):
        cells = [_cell(held.get((precision, model))) for model in models]
        rows.append(f"| {precision} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _cell(line: Line | None) -> str:
    return "" if line is None else f"{100 * line.fer:.1f} ({line.kilobytes:.0f})"


def show(lines: Sequence[Line]) -> Table:
    """The table of one model for a terminal; the last three columns are FER % of the checked ones."""
    first = lines[0]
    table = Table(
        title=f"{first.model}: {first.utterances} utterances; {first.checked} of them also by the "
        "integer reference and onnxruntime, all bits equal",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("precision", no_wrap=True)
    for title in ("kB", "FER %", "95 %", "reference", "evaluator", "onnxruntime"):
        table.add_column(title, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(
            line.precision,
            f"{line.kilobytes:.0f}",
            f"{100 * line.fer:.2f}",
            f"{100 * line.low:.1f}, {100 * line.high:.1f}",
            f"{100 * line.reference_fer:.3f}",
            f"{100 * line.evaluator_fer:.3f}",
            f"{100 * line.exported_fer:.3f}",
        )
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default=",".join(SPEECH), help="names, with commas")
    parser.add_argument("--data", default="speech:test", help="frames with phone classes")
    parser.add_argument("--limit", type=int, default=300, help="utterances, spread over the data")
    parser.add_argument("--checked", type=int, default=50, help="of these, by the reference too")
    parser.add_argument("--csv", type=Path, help="also write all figures")
    parser.add_argument("--markdown", type=Path, help="also write a short table")
    args = parser.parse_args(argv)
    console = Console()
    data = load_data(args.data)
    data = data.subset(min(args.limit, len(data)))
    lines: list[Line] = []
    for name in args.models.split(","):
        with console.status("") as status:
            program = calibrated_model(name, None, status.update)
            made = measure(name, program, data, min(args.checked, len(data)), status.update)
        console.print(show(made))
        lines += made
    if args.csv:
        write_text(args.csv, as_csv(Line, lines))
    if args.markdown:
        write_text(args.markdown, as_markdown(lines))


if __name__ == "__main__":
    main()
