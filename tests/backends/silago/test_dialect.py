"""The `silago` dialect: text form, words behind it, and what its verifier refuses."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import ParseError, VerifyException

from mohaq.backends.silago.dialect import (
    OP_OF,
    CellOp,
    ImageOp,
    LaunchOp,
    ProgramOp,
    SegmentOp,
    Silago,
    op_of,
)
from mohaq.backends.silago.isa.fields import FORMATS
from mohaq.backends.silago.isa.instructions import KINDS, Dpu, Instruction, Mode, Refi
from mohaq.backends.silago.isa.text import assemble, row_words
from mohaq.backends.silago.isa.words import decode_all

VECTORS = Path(__file__).parents[2] / "data/silago/vectors.json"


def parse(text: str) -> ModuleOp:
    """A verified module."""
    context = Context()
    context.load_dialect(Builtin)
    context.load_dialect(Silago)
    module = Parser(context, text).parse_module()
    module.verify()
    return module


def shown(module: ModuleOp) -> str:
    """The text form."""
    out = io.StringIO()
    Printer(out).print_op(module)
    return out.getvalue()


def program(text: str, target: str = "silago1-rtl", launches: int = 1) -> ProgramOp:
    """A program of one segment from assembly."""
    cells = [
        CellOp(*cell, [op_of(i) for _, i in decode_all(words)])
        for cell, words in assemble(text).items()
    ]
    return ProgramOp(target, [SegmentOp("go", cells), *(LaunchOp("go") for _ in range(launches))])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_instruction_comes_back(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(KINDS)))
    extra = data.draw(st.integers(0, 2))
    values = {
        f.name: data.draw(st.integers(0, f.largest))
        for f in FORMATS[name].fields
        if not f.fixed and f.name != "extra" and FORMATS[name].word_of(f) <= extra
    }
    if name in {"REFI", "LOOP"}:
        values["extra"] = min(extra, FORMATS[name].max_words - 1)
    instruction: Instruction = KINDS[name](**values) if name != "SRAM" else KINDS[name]()
    module = ModuleOp([CellOp(1, 2, [op_of(instruction)])])
    again = parse(shown(module))
    cell = next(iter(again.body.block.ops))
    assert isinstance(cell, CellOp)
    assert [i for _, i in decode_all(cell.words())] == [instruction]
    assert shown(again) == shown(module)


def test_measured_programs_as_operations() -> None:
    for vector in json.loads(VECTORS.read_text(encoding="utf-8"))["vectors"][:20]:
        if vector["id"] == "pub-05-refineg":  # reads words that it never wrote
            continue
        words = {
            (c["cell"][0], c["cell"][1]): [int(w, 16) for _, w in c["words"]]
            for c in vector["cells"]
        }
        cells = [CellOp(*c, [op_of(i) for _, i in decode_all(w)]) for c, w in words.items()]
        images = [ImageOp(r, c, row, row_words(text)) for r, c, row, text in vector["sram"]]
        made = ProgramOp(vector["profile"], [*images, SegmentOp("go", cells), LaunchOp("go")])
        module = parse(shown(ModuleOp([made])))
        found = next(iter(module.body.block.ops))
        assert isinstance(found, ProgramOp)
        assert found.launches() == ("go",)
        assert {c: list(w) for c, w in found.segments()["go"].programs().items()} == words


def test_every_instruction_has_an_operation() -> None:
    assert {kind.NAME.lower() for kind in OP_OF} == {
        name.removeprefix("silago.") for name in (op.name for op in OP_OF.values())
    }
    assert len(OP_OF) == 12


def test_symbols_stand_for_values() -> None:
    text = shown(ModuleOp([CellOp(0, 0, [op_of(Dpu(Mode.MAC)), op_of(Refi(2, l1_iter=3))])]))
    assert "silago.dpu(mode = mac)" in text
    assert "silago.refi(port_no = r0, l1_iter = 3)" in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("silago.dpu", "needs field 'mode'"),
        ("silago.dpu(mode = sum)", "no value of field 'mode'"),
        ("silago.dpu(mode = mac, mode = add)", "given twice"),
        ("silago.dpu(colour = 1)", "no field 'colour'"),
        ("silago.refi(port_no = w0 init_addr = 1)", "(?i)expected"),
    ],
)
def test_text_that_is_wrong(line: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        parse(f"silago.cell 0, 0 {{ {line} }}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("silago.cell 0, 0 { silago.dpu(mode = 32) }", "must be 0..31"),
        ("silago.cell 0, 0 { silago.refi(port_no = w0, l1_step = 2) }", "needs word 1"),
        ("silago.cell 0, 0 { silago.cell 0, 0 { silago.halt } }", "no instruction"),
        ('silago.image 1, 0, 0 "12"', "64 hexadecimal"),
        ("silago.segment @a { silago.halt }", "cannot be in a segment"),
        (
            "silago.segment @a { silago.cell 0, 0 { silago.halt } silago.cell 0, 0 { silago.halt } }",
            "two programs",
        ),
        ('silago.program "silago9" { silago.launch @a }', "no SiLago target"),
        ('silago.program "silago1-rtl" { silago.halt }', "cannot be in a program"),
        ('silago.program "silago1-rtl" { silago.launch @a }', "no segment @a"),
        (
            'silago.program "silago1-rtl" { silago.segment @a { silago.cell 0, 0 { silago.halt } } }',
            "never launched",
        ),
        (f'silago.program "silago1-rtl" {{ silago.image 3, 0, 0 "{"0" * 64}" }}', "no memory row"),
    ],
)
def test_operations_that_are_wrong(text: str, message: str) -> None:
    with pytest.raises(VerifyException, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("CELL 0 0\nSWB hb_index=1 v_index=0", "reach"),
        ("CELL 0 0\nREFI port_no=r0", "read-before-write"),
        ("CELL 0 8\nHALT", "cell"),
        ("CELL 0 0\nDPU mode=mac shift=1", "fixed"),
    ],
)
def test_rules_hold_for_programs(text: str, rule: str) -> None:
    with pytest.raises(VerifyException, match=rf"segment @go, .*\[{rule}\]"):
        program(text).verify()


def test_a_shift_needs_our_extension() -> None:
    program("CELL 0 0\nDPU mode=mac shift=1", "silago-mohaq").verify()


def test_launches_go_on_where_the_last_one_ended() -> None:
    text = "CELL 0 0\nREFI port_no=w0 l1_iter=3\nSWB hb_index=2 v_index=0\n"
    with pytest.raises(VerifyException, match=r"\[driver\]"):
        program(text).verify()
    cells = [[op_of(i) for _, i in decode_all(assemble(t)[0, 0])] for t in (
        "CELL 0 0\nSWB hb_index=2 v_index=0", text,
    )]  # fmt: skip
    segments = [SegmentOp(n, [CellOp(0, 0, c)]) for n, c in zip(("a", "b"), cells, strict=True)]
    ProgramOp("silago1-rtl", [*segments, *(LaunchOp(n) for n in "abbb")]).verify()
