"""Our quantization beside onnxruntime's static quantizer: one model, one calibration, one test.

    python -m mohaq.tools.bench.peer [--limit 300] [--csv table.csv] [--markdown table.md]

The speech network has its matrix products outside its loops, so that onnxruntime's quantizer sees
all of them (`onnxruntime.quantization.quantize_static`, QDQ, MatMul). Both sides calibrate on the
same utterances and are measured on the same ones.

What is quantized: theirs, inputs and weights of all products, a scale for each matrix of each gate
and direction (or for each of its columns), inputs with a zero point; biases, vectors, states and
loops stay float32. In the row that says so outputs of products are quantized as well, which is
their default. Ours, inputs and weights of all products, a scale for the whole matrix of a layer (or
for each row), no zero points; biases, vectors, states, functions and results are 16-bit integers.
Their percentiles and entropies want
sequences of one length: for these the calibration frames are cut into windows as long as the
shortest utterance. Their models run with all graph optimizations off: fused kernels of 4-bit weights round inputs
anew, and nothing but the Q and DQ nodes shall count.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from rich import box
from rich.console import Console
from rich.table import Table

from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.clips import CalibrationSettings
from mohaq.compiler.data import Dataset
from mohaq.compiler.driver import calibrate
from mohaq.compiler.files import write_text
from mohaq.compiler.metrics import get_metric
from mohaq.compiler.program import Program
from mohaq.compiler.search.engine import Evaluation
from mohaq.compiler.search.evaluator import Evaluator
from mohaq.compiler.search.scoring import bootstrap, score
from mohaq.tools.bench.figures import as_csv
from mohaq.tools.bench.precision import VALUES, AnyWidths
from mohaq.tools.sources import load_data, load_model

PAIRS = ((8, 8), (4, 8), (4, 4))
"""(bits of weights, bits of inputs)."""

TYPES = {4: QuantType.QInt4, 8: QuantType.QInt8}

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Setting:
    """How onnxruntime's quantizer is called."""

    method: str = "MinMax"
    per_channel: bool = False
    outputs: bool = False

    @property
    def name(self) -> str:
        """For the table."""
        shape = "per channel" if self.per_channel else "per tensor"
        return f"onnxruntime, {self.method}, {shape}" + (", outputs too" if self.outputs else "")

    def frames(self, data: Dataset) -> Sequence[np.ndarray]:
        """Calibration sequences as the method takes them: of one length, or as they are."""
        if self.method == "MinMax":
            return data.inputs
        size = int(data.lengths.min())
        return [x[i : i + size] for x in data.inputs for i in range(0, len(x) - size + 1, size)]


SETTINGS = (
    Setting(outputs=True),
    Setting(),
    Setting(per_channel=True),
    Setting("Percentile", per_channel=True),
    Setting("Entropy", per_channel=True),
)


@dataclass(frozen=True)
class Line:
    """One way of quantizing at one pair of widths.

    Attributes:
        how: whose quantizer, with its settings.
        weights, inputs: bits; 32 is float.
        fer: share of frames that are wrong; NaN where it cannot be done.
        low, high: 95 % interval, a bootstrap over utterances.
        note: why it cannot be done.
    """

    how: str
    weights: int
    inputs: int
    fer: float
    low: float
    high: float
    note: str = ""


class _Reader:
    """Calibration sequences as onnxruntime asks for them."""

    def __init__(self, name: str, sequences: Sequence[np.ndarray]) -> None:
        self._feeds = iter([{name: x[:, None, :]} for x in sequences])

    def get_next(self) -> Mapping[str, Any] | None:
        """The next one, or None."""
        return next(self._feeds, None)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return self._feeds

    def __next__(self) -> Mapping[str, Any]:
        return next(self._feeds)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Asked for by calibration in strides, which is not used here."""
        raise NotImplementedError


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that onnxruntime logs."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    onnxruntime.set_default_logger_severity(3)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.setLevel(level)
        onnxruntime.set_default_logger_severity(2)


def quantized(
    model: onnx.ModelProto, data: Dataset, setting: Setting, weights: int, inputs: int
) -> bytes:
    """The model as onnxruntime's quantizer makes it."""
    options: dict[str, Any] = {}
    if not setting.outputs:
        options["OpTypesToExcludeOutputQuantization"] = ["MatMul"]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        out = Path(folder) / "quantized.onnx"
        quantize_static(
            onnx.ModelProto.FromString(model.SerializeToString()),
            out,
            _Reader(model.graph.input[0].name, setting.frames(data)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul"],
            per_channel=setting.per_channel,
            activation_type=TYPES[inputs],
            weight_type=TYPES[weights],
            calibrate_method=CalibrationMethod[setting.method],
            extra_options=options,
        )
        return out.read_bytes()


def run(model: bytes, data: Dataset) -> list[np.ndarray]:
    """First result [T, C] of every utterance, as the graph says: no optimizations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [session.run(None, {name: x[:, None, :]})[0][:, 0] for x in data.inputs]


def theirs(
    program: Program, calibration: Dataset, data: Dataset, tell: Tell = lambda _: None
) -> list[Line]:
    """Float, and every setting of onnxruntime's quantizer at every pair of widths."""
    metric, model = get_metric("fer"), program.to_onnx()
    float_model = model.SerializeToString()
    lines = [_line("onnxruntime, float32", 32, 32, score(metric, run(float_model, data), data))]
    for weights, inputs in PAIRS:
        for setting in SETTINGS:
            tell(f"{setting.name}, {weights} x {inputs} bits")
            try:
                made = quantized(model, calibration, setting, weights, inputs)
                outputs = run(made, data)
            except Exception as error:  # noqa: BLE001  theirs may fail in any way: say so
                note = str(error).strip().splitlines()[0][:160] if str(error) else repr(error)
                bad = (float("nan"),) * 3
                lines.append(Line(setting.name, weights, inputs, *bad, note=note))
                continue
            lines.append(_line(setting.name, weights, inputs, score(metric, outputs, data)))
    return lines


def ours(
    program: Program, calibration: Dataset, data: Dataset, tell: Tell = lambda _: None
) -> list[Line]:
    """The scheme of MOHAQ and the same with a scale for each row."""
    backend = AnyWidths()
    machine = backend.load_target("reference")
    lines = []
    for shape in ("per-tensor", "per-channel"):
        made = program.clone()
        calibrate(made, calibration.inputs, CalibrationSettings(granularity=shape))
        slots = calibrated_table(made).searched()
        evaluator = Evaluator(made, backend, machine, data, get_metric("fer"))
        for weights, inputs in PAIRS:
            how = f"mohaq, mmse, {shape.replace('-', ' ')}"
            tell(f"{how}, {weights} x {inputs} bits")
            widths = {s: inputs if s.slot in VALUES else weights for s in slots}
            lines.append(_line(how, weights, inputs, evaluator.evaluate(widths)))
    return lines


def _line(how: str, weights: int, inputs: int, found: Evaluation) -> Line:
    return Line(how, weights, inputs, found.value, *bootstrap(found))


def as_markdown(lines: Sequence[Line]) -> str:
    """The lines as a table for a document: a row a quantizer, a column a pair of widths."""
    pairs = list(dict.fromkeys((line.weights, line.inputs) for line in lines))
    held = {(line.how, line.weights, line.inputs): line for line in lines}
    titles = ["float" if w == 32 else f"{w} x {a}" for w, a in pairs]
    rows = ["| FER % | " + " | ".join(titles) + " |", "| --- |" + " --- |" * len(pairs)]
    for how in dict.fromkeys(line.how for line in lines):
        cells = [_cell(held.get((how, *pair))) for pair in pairs]
        rows.append(f"| {how} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _cell(line: Line | None) -> str:
    if line is None:
        return ""
    return "fails" if np.isnan(line.fer) else f"{100 * line.fer:.2f}"


def show(lines: Sequence[Line], utterances: int) -> Table:
    """The table for a terminal."""
    table = Table(title=f"{utterances} utterances; bits: weights x inputs", box=box.SIMPLE_HEAD)
    table.add_column("")
    for title in ("bits", "FER %", "95 %"):
        table.add_column(title, justify="right", no_wrap=True)
    for line in lines:
        bits = "float" if line.weights == 32 else f"{line.weights} x {line.inputs}"
        if line.note:
            table.add_row(line.how, bits, "fails", line.note[:40])
        else:
            interval = f"{100 * line.low:.1f}, {100 * line.high:.1f}"
            table.add_row(line.how, bits, f"{100 * line.fer:.2f}", interval)
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calibration", default="speech:calibration", help="for both sides")
    parser.add_argument("--data", default="speech:test", help="frames with classes")
    parser.add_argument("--limit", type=int, default=300, help="utterances, spread over the data")
    parser.add_argument("--csv", type=Path, help="also write all figures")
    parser.add_argument("--markdown", type=Path, help="also write a short table")
    args = parser.parse_args(argv)
    console = Console()
    calibration, data = load_data(args.calibration), load_data(args.data)
    data = data.subset(min(args.limit, len(data)))
    program = load_model("speech")
    lines = ours(program, calibration, data, console.print)
    lines += theirs(program, calibration, data, console.print)
    console.print(show(lines, len(data)))
    for line in lines:
        if line.note:
            console.print(f"{line.how}, {line.weights} x {line.inputs}: {line.note}")
    if args.csv:
        write_text(args.csv, as_csv(Line, lines))
    if args.markdown:
        write_text(args.markdown, as_markdown(lines))


if __name__ == "__main__":
    main()
