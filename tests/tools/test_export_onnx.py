"""`mohaq export-onnx` and `mohaq.export_onnx`: what is exported, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from programs import calibrated, sequences, speech_like, tensor
from typer.testing import Result

import mohaq
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Assignment
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.dialects.types import DYNAMIC
from mohaq.compiler.driver import compile_program
from mohaq.compiler.driver.export import onnx_model
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program, argument_grids, result_grids
from mohaq.compiler.quantizer import dequantize, quantize
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.calibrate import CalibrationSettings, calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn

Cli = Callable[..., Result]


@pytest.fixture
def net(cli: Cli) -> str:  # noqa: ARG001  the folder
    """A calibrated program folder."""
    calibrated().save(Path("net"))
    return "net"


def refused(result: Result, *words: str) -> None:
    """Exit code 2, one message that says all these words, and nothing written."""
    assert result.exit_code == 2, result.output
    assert result.stderr.count("error: ") == 1
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr
    assert not list(Path().glob("*.onnx"))
    assert not list(Path().glob("*.session.json"))


def of_reference(legal: Program, x: Any) -> Any:
    """Real outputs of an integer program by the reference."""
    given, made = argument_grids(legal.entry)[0], result_grids(legal.entry)[0]
    assert given is not None
    assert made is not None
    return dequantize(run_integer(legal, [quantize(x, given)])[0], made).astype(np.float32)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("target", ["bitfusion-e", "reference"])
def test_the_integer_form_is_what_compile_makes(cli: Cli, net: str, target: str, bits: int) -> None:
    slots = {"l0": {"weight": 4, "input": 4}}
    text = json.dumps({"schema": "mohaq.assignment/1", "default": bits, "slots": slots})
    Path("mixed.json").write_text(text)
    words = ("-t", target, "-a", "mixed.json")
    done = cli("export-onnx", net, "-o", "net.onnx", "--form", "integer", *words)
    assert done.exit_code == 0, done.output
    assert "wrote net.session.json" in done.output
    compile_program(Program.load(Path(net)), target, Assignment.load(Path("mixed.json")), Path("c"))
    x = sequences(3)[0][:, None]
    (found,) = mohaq.onnx_session("net.onnx").run(None, {"x": x})
    np.testing.assert_array_equal(found, of_reference(Program.load(Path("c/3-legalized")), x))


def test_neutral_integers_from_bits_from_grids_and_from_integers(tmp_path: Path) -> None:
    program, assignment = calibrated(), Assignment.uniform(4)
    annotated = program.clone()
    apply_assignment(annotated, assignment.complete(calibrated_table(program).searched()))
    whole = lower_to_qnn(annotated)
    x = sequences(3)[0][:, None]
    expected = of_reference(whole, x)
    for given, widths in ((program, assignment), (annotated, None), (whole, None)):
        mohaq.export_onnx(given, tmp_path / "n.onnx", "integer", widths)
        (found,) = mohaq.onnx_session(tmp_path / "n.onnx").run(None, {"x": x})
        np.testing.assert_array_equal(found, expected)
    model = whole.to_onnx("integer")
    assert {p.key: p.value for p in model.metadata_props}["mohaq.form"] == "integer"
    layers = {p.value for n in model.graph.node for p in n.metadata_props if p.key == "mohaq.layer"}
    assert layers == {"l0", "pr1", "l1", "fc"}


@pytest.mark.parametrize("form", ["qdq", "scan"])
def test_files_pass_the_full_check_and_keep_time_and_batch_open(
    cli: Cli, net: str, form: str
) -> None:
    done = cli("export-onnx", net, "-o", "net.onnx", "--form", form, "--bits", "4")
    assert done.exit_code == 0, done.output
    onnx.checker.check_model("net.onnx", full_check=True)
    session = mohaq.onnx_session("net.onnx")
    for steps, batch in ((1, 1), (7, 3)):
        x = np.zeros((steps, batch, 5), np.float32)
        assert session.run(None, {"x": x})[0].shape == (steps, batch, 3)


def test_integers_pass_the_full_check(cli: Cli, net: str) -> None:
    words = ("--form", "integer", "--bits", "8", "--border", "integer")
    done = cli("export-onnx", net, "-o", "net.onnx", *words)
    assert done.exit_code == 0, done.output
    onnx.checker.check_model("net.onnx", full_check=True)
    model = onnx.load("net.onnx")
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.INT64
    floats = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE}
    assert not floats & {t.data_type for t in model.graph.initializer}


@pytest.mark.parametrize(
    ("bits", "storage", "opset"),
    [(2, "INT2", 25), (3, "INT4", 21), (4, "INT4", 21), (7, "INT8", 21), (16, "INT16", 21)],
)
def test_weights_are_stored_in_the_narrowest_type(bits: int, storage: str, opset: int) -> None:
    program = speech_like()
    calibrate(program, sequences(), CalibrationSettings(widths=(2, 3, 4, 7, 8, 16)))
    slots = {"weight": bits, "input": 8}
    widths = dict.fromkeys(("l0", "pr1", "l1", "fc"), slots)
    data = {"schema": "mohaq.assignment/1", "slots": widths}
    model = onnx_model(program, "qdq", Assignment.from_json(data, "test"))
    assert model.opset_import[0].version == opset
    weights = [t for t in model.graph.initializer if t.name.endswith(".q")]
    assert {onnx.TensorProto.DataType.Name(t.data_type) for t in weights} == {storage}
    facts = [
        json.loads(p.value)
        for n in model.graph.node
        for p in n.metadata_props
        if n.op_type == "DequantizeLinear" and p.key == "mohaq.quant"
    ]
    assert {f["weight"]["width"] for f in facts} == {bits}


def test_without_widths(cli: Cli, net: str) -> None:
    for form in ("qdq", "scan", "integer"):
        done = cli("export-onnx", net, "-o", "net.onnx", "--form", form)
        refused(done, "--bits")
    refused(cli("export-onnx", net, "-o", "net.onnx", "--bits", "8"), "'float' has no widths")
    refused(cli("export-onnx", net, "-o", "net.onnx", "-t", "reference"), "a target needs bits")


def test_words_that_do_not_exist(cli: Cli, net: str) -> None:
    run = ("export-onnx", net, "-o", "net.onnx", "--bits", "8")
    refused(cli(*run, "--form", "integers"), "no form 'integers'", "integer")
    refused(cli(*run, "--form", "integer", "--border", "reel"), "no border 'reel'", "real")
    refused(cli(*run, "--form", "qdq", "--border", "integer"), "only the form 'integer'")
    refused(cli(*run, "--form", "qdq", "-a", "a.json"), "either --bits or --assignment")
    refused(cli(*run, "--form", "qdq", "-t", "nowhere"), "nowhere")
    refused(cli("export-onnx", net, "-o", "net.txt"), "must end in .onnx")


def test_what_is_not_calibrated(cli: Cli, net: str) -> None:
    speech_like().save(Path("bare"))
    run = ("-o", "net.onnx", "--form", "integer", "--bits")
    refused(cli("export-onnx", "bare", *run, "8"), "not calibrated", "--data")
    refused(cli("export-onnx", net, *run, "5"), "no clips for 5 bits", "--data")
    refused(cli("export-onnx", net, "-o", "net.onnx", "-d", "x.npz"), "calibration needs --bits")
    with pytest.raises(MohaqError, match="not calibrated for 5 bits"):
        onnx_model(calibrated(), "qdq", Assignment.uniform(5))
    with pytest.raises(MohaqError, match="no calibration"):
        onnx_model(speech_like(), "scan", Assignment.uniform(8))


def test_calibration_on_the_way(cli: Cli) -> None:
    speech_like().save(Path("bare"))
    inputs = sequences(4)
    np.savez("data.npz", inputs=np.concatenate(inputs), lengths=[len(x) for x in inputs])
    words = ("--form", "integer", "--bits", "5", "-d", "data.npz", "--clip", "minmax")
    done = cli("export-onnx", "bare", "-o", "net.onnx", *words)
    assert done.exit_code == 0, done.output
    (found,) = mohaq.onnx_session("net.onnx").run(None, {"x": inputs[0][:, None]})
    assert found.shape == (len(inputs[0]), 1, 3)


def test_widths_that_the_target_does_not_have(cli: Cli, net: str) -> None:
    data = {"l0": {"weight": 4, "input": 8}}
    text = json.dumps({"schema": "mohaq.assignment/1", "default": 8, "slots": data})
    Path("a.json").write_text(text)
    run = ("export-onnx", net, "-o", "net.onnx", "--form", "integer", "-a", "a.json")
    refused(cli(*run, "-t", "reference"), "l0")


def hosted() -> Program:
    """[B, C, T] -> convolution, relu, LSTM, linear -> softmax: the host runs both ends."""
    rng = np.random.default_rng(0)
    net = Network()
    x = net.argument([DYNAMIC, 3, DYNAMIC], name="signal")
    kernel = net.parameter("front.w", tensor(rng, 5, 3, 3, gain=2.0))
    y = net.add(nn.UnaryOp("relu", net.add(nn.Conv1dOp("front", x, kernel, pads=(1, 1)))))
    w, r = net.parameter("w", tensor(rng, 1, 4, 6, 5)), net.parameter("r", tensor(rng, 1, 4, 6, 6))
    lstm = nn.LstmOp("lstm", net.add(nn.TransposeOp(y, (2, 0, 1))), w, r, None)
    net.add(lstm)
    out = net.linear("out", lstm.result, tensor(rng, 3, 6, gain=3.0), tensor(rng, 3))
    program = net.finish([net.add(nn.SoftmaxOp(out))], ["scores"])
    mohaq.calibrate(program, [rng.standard_normal((1, 3, 99)).astype(np.float32) * 1.5])
    return program


def test_what_the_host_runs_stays_in_float_around_the_integers(tmp_path: Path) -> None:
    program, folder = hosted(), tmp_path / "c"
    compile_program(program, "reference", Assignment.uniform(8), folder)
    path = tmp_path / "n.onnx"
    mohaq.export_onnx(program, path, "integer", Assignment.uniform(8), target="reference")
    x = np.random.default_rng(1).standard_normal((2, 3, 7)).astype(np.float32)
    session = mohaq.onnx_session(path)
    (found,) = session.run(["scores"], {"signal": x})
    before = run_float(Program.load(folder / "host-before"), [x])[0]
    core = of_reference(Program.load(folder / "3-legalized"), before)
    (expected,) = run_float(Program.load(folder / "host-after"), [core])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    with pytest.raises(MohaqError, match="parts of the program have no integer form") as error:
        onnx_model(program, "integer", Assignment.uniform(8), border="integer")
    for name in ("layer 'front'", "'nn.softmax'"):
        assert name in str(error.value)


@pytest.mark.parametrize("form", ["qdq", "scan"])
def test_what_the_host_runs_stays_in_float_in_the_other_forms(form: Any) -> None:
    program = hosted()
    model = onnx_model(program, form, Assignment.uniform(16))
    x = np.random.default_rng(1).standard_normal((2, 3, 7)).astype(np.float32)
    (found,) = mohaq.onnx_session(model).run(["scores"], {"signal": x})
    np.testing.assert_allclose(found, run_float(program, [x])[0], rtol=0, atol=1e-3)


def test_the_old_file_stays_when_something_fails(cli: Cli, net: str) -> None:
    words = ("--form", "integer", "--bits", "8")
    assert cli("export-onnx", net, "-o", "net.onnx", *words).exit_code == 0
    before = Path("net.onnx").read_bytes()
    assert cli("export-onnx", net, "-o", "net.onnx", "--form", "integer").exit_code == 2
    assert Path("net.onnx").read_bytes() == before
