"""The opt driver: pipelines, folders, printing, and diagnostics that must fail when nothing does."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from programs import calibrated, sequences, speech_like

from mohaq.compiler.assignment import Assignment
from mohaq.compiler.program import Program
from mohaq.tools.opt import main

GOOD = """\
func.func @main(%x: tensor<?x?x4xf32>, %w: tensor<5x4xf32>) -> tensor<?x?x5xf32> {
  %y = nn.linear "out" %x, %w : (tensor<?x?x4xf32>, tensor<5x4xf32>) -> tensor<?x?x5xf32>
  func.return %y : tensor<?x?x5xf32>
}
"""
BAD = GOOD.replace("tensor<?x?x4xf32>", "tensor<?x?x6xf32>")
EXPECTED = "// expected-error {{does not fit weight}}\n"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOHAQ_TRACEBACK", raising=False)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    calibrated().save(tmp_path / "net")
    return tmp_path / "net"


def write(text: str, name: str = "a.mlir") -> str:
    Path(name).write_text(text)
    return name


def refused(code: int, capsys: Capture, *words: str) -> None:
    held = capsys.readouterr()
    assert code == 2, held.err
    assert held.out == ""
    assert held.err.count("error: ") == 1
    assert "Traceback" not in held.err
    for word in words:
        assert word in held.err


def test_lists_passes(capsys: Capture) -> None:
    assert main(["--list-passes"]) == 0
    names = capsys.readouterr().out.split()
    assert names == sorted(names)
    assert {"calibrate", "canonicalize", "lower-to-qnn", "legalize-for-bitfusion"} <= set(names)


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        ("canonicalise", "did you mean 'canonicalize'"),
        ("uniform{bits=8", "cannot read this pipeline"),
        ("uniform{bits=8}}", "cannot read this pipeline"),
        ("cse,,dce", "cannot read this pipeline"),
        ("calibrate{data=my frames{.npz}", 'need quotes: calibrate{data="my frames.npz"}'),
        ("fold-batch", "did you mean 'fold-batchnorm'"),
        ("calibrate{data=gone.npz}", "gone.npz: no such data set"),
        ("uniform{bitz=8}", "did you mean 'bits'"),
        ("apply-assignment", "option 'file' is required"),
        ("uniform{bits=many}", "option 'bits' takes int, got many"),
        ("uniform{bits=true}", "option 'bits' takes int, got true"),
        ("uniform{bits=2,4}", "option 'bits' takes int, got 2,4"),
        ("uniform{bits}", "option 'bits' takes int, got nothing"),
        ("calibrate{data=x.npz widths=2,x}", "takes tuple[int, ...], got 2,x"),
        ("bias-correct{data=x.npz add=maybe}", "option 'add' takes bool, got maybe"),
        ("lower-to-bitfusion{target=bitfusion-f}", "did you mean 'bitfusion-"),
        ("lower-to-qnn{fast=true}", "it takes no options"),
        ("lower-to-qnn", "run calibrate, then apply-assignment or uniform"),
        ('calibrate{data="gone.npz"}', "no such data set"),
        ('apply-assignment{file="gone.json"}', "no such assignment file"),
    ],
)
def test_pipeline_errors(net: Path, capsys: Capture, pipeline: str, said: str) -> None:
    refused(main([str(net), "-p", pipeline, "-o", "out"]), capsys, said)
    assert not Path("out").exists()


def test_missing_input(capsys: Capture, net: Path) -> None:
    write(GOOD, "first.mlir")
    refused(main(["gone.mlir"]), capsys, "gone.mlir: no such program")
    refused(main(["frist.mlir"]), capsys, "did you mean 'first.mlir'?")
    refused(main([f"{net}s"]), capsys, "did you mean 'net'?")
    refused(main(["no/folder/a.mlir"]), capsys, "no/folder/a.mlir: no such program")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.mlir", "--print-ir-aftr=cse"], "did you mean '--print-ir-after'"),
        (["a.mlir", "-p"], "--pipeline: expected one argument"),
        (["a.mlir", "--tolerance", "much"], "invalid float value: 'much'"),
        (["a.mlir", "b.mlir"], "one program at a time: what is 'b.mlir'?"),
        (["a.mlir", "-p", "canonicalize", "--print-ir-after=canonicalise"], "did you mean 'canon"),
        (["a.mlir", "-p", "cse", "--print-ir-after=uniform"], "the pipeline has no such pass"),
        (["a.mlir", "--print-ir-after=cse"], "known: all"),
    ],
)
def test_command_line_errors(capsys: Capture, words: list[str], said: str) -> None:
    write(GOOD)
    refused(main(words), capsys, said)


def test_values_as_people_write_them(net: Path) -> None:
    """Paths need no quotes, whole numbers are fractions where these are wanted."""
    Path("some where").mkdir()
    Assignment.uniform(4).save(Path("net/four.json"))
    Assignment.uniform(4).save(Path("some where/four.json"))
    texts = ("four.json", "../net/four.json", '"../some where/four.json"', '"four.json"')
    for number, text in enumerate(texts):
        pipeline = f"apply-assignment{{file={text}}},lower-to-qnn"
        assert main([str(net), "-p", pipeline, "-o", f"out{number}"]) == 0
    assert len({Path(f"out{n}/program.mlir").read_text() for n in range(len(texts))}) == 1
    assert main([str(net), "-p", "equalize{limit=8 report=false}", "-o", "equal.mlir"]) == 0


def test_syntax_error_has_its_place(capsys: Capture) -> None:
    refused(main([write("func.func @main( {\n")]), capsys, "a.mlir:1:")


def test_standard_input(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(GOOD))
    assert main([]) == 0
    assert 'nn.linear "out"' in capsys.readouterr().out


def test_folder_out_is_a_program(net: Path) -> None:
    before = Program.load(net)
    assert main([str(net), "-p", "uniform{bits=8},lower-to-qnn", "-o", "out"]) == 0
    made = Program.load(Path("out"))
    assert "qnn.scan" in made.text()
    assert len(made.parameters) > 0
    assert Program.load(net).content_hash() == before.content_hash()


def test_folder_in_folder_out_changes_nothing(net: Path) -> None:
    assert main([str(net), "-o", "same"]) == 0
    assert Program.load(Path("same")).content_hash() == Program.load(net).content_hash()


def test_calibrate_reads_beside_the_program(tmp_path: Path) -> None:
    speech_like().save(tmp_path / "bare")
    inputs = sequences()
    np.savez(
        tmp_path / "bare" / "cal.npz",
        inputs=np.concatenate(inputs),
        lengths=[len(x) for x in inputs],
    )
    assert main(["bare", "-p", 'calibrate{data="cal.npz"}', "-o", "out"]) == 0
    assert all(op.calibration for op in Program.load(Path("out")).layers())


def test_paths_beside_the_program_come_first_then_those_below_the_current_folder(
    net: Path, capsys: Capture
) -> None:
    pipeline = "fold,apply-assignment{file=four.json}"
    Assignment.uniform(4).save(Path("four.json"))
    assert main([str(net), "-p", pipeline, "-o", "narrow"]) == 0
    Assignment.uniform(8).save(net / "four.json")
    assert main([str(net), "-p", pipeline, "-o", "wide"]) == 0
    capsys.readouterr()
    for folder, bits in (("narrow", 4), ("wide", 8)):
        text = (Path(folder) / "program.mlir").read_text()
        assert f"#quant.grid<{bits}," in text
        assert f"#quant.grid<{12 - bits}," not in text


def test_other_peoples_folder_stays(net: Path, capsys: Capture) -> None:
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("years of work")
    refused(main([str(net), "-o", "mine"]), capsys, "not written by mohaq")
    assert [p.name for p in Path("mine").iterdir()] == ["thesis.txt"]


def test_several_programs_need_a_file(capsys: Capture) -> None:
    source = write(f"{GOOD}// -----\n{GOOD}")
    refused(main([source, "--split-input-file", "-o", "out"]), capsys, "give -o a .mlir file")
    assert main([source, "--split-input-file", "-o", "out.mlir"]) == 0
    assert Path("out.mlir").read_text().count("// -----") == 1


def test_print_ir_after(capsys: Capture) -> None:
    source = write(GOOD)
    assert main([source, "-p", "cse,dce", "--print-ir-after", "cse"]) == 0
    held = capsys.readouterr()
    assert "IR after cse" in held.err
    assert "IR after dce" not in held.err
    assert "IR after" not in held.out
    assert main([source, "-p", "cse,dce", "--print-ir-after=all"]) == 0
    err = capsys.readouterr().err
    assert err.index("IR after cse") < err.index("IR after dce")
    refused(main([source, "-p", "cse", "--print-ir-after=dce"]), capsys, "did you mean 'cse'")


def test_generic_form_reads_back(capsys: Capture) -> None:
    assert main([write(GOOD), "--print-op-generic"]) == 0
    text = capsys.readouterr().out
    assert '"nn.linear"' in text
    assert main([write(text)]) == 0
    assert capsys.readouterr().out.count('nn.linear "out"') == 1


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (EXPECTED + BAD, 0, ""),
        (GOOD, 0, ""),
        (EXPECTED + GOOD, 1, "there was no error"),
        (BAD, 1, "unexpected error"),
        ("// expected-error {{something else}}\n" + BAD, 1, "expected 'something else'"),
        (f"{EXPECTED}{BAD}// -----\n{EXPECTED}{GOOD}", 1, "there was no error"),
        (f"{EXPECTED}{BAD}// -----\n{BAD}", 1, "unexpected error"),
        (f"{EXPECTED}{BAD}// -----\n{GOOD}", 0, ""),
    ],
)
def test_verify_diagnostics(capsys: Capture, text: str, code: int, said: str) -> None:
    assert main([write(text), "--split-input-file", "--verify-diagnostics"]) == code
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_diagnostics_name_the_line(capsys: Capture) -> None:
    source = write(f"{GOOD}// -----\n{EXPECTED}{GOOD}")
    assert main([source, "--split-input-file", "--verify-diagnostics"]) == 1
    line = GOOD.count("\n") + 1
    assert f"a.mlir:{line}" in capsys.readouterr().err
