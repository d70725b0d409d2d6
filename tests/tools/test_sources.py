"""`package:function`: whatever the user's own code does is reported as theirs, not as a bug."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.types import shape_of
from mohaq.tools.sources import CALIBRATION, MODELS, VALIDATION, load_data, load_model

MODULE = """
def fails(): raise RuntimeError("no weights here")
def one_thing(): return 3
def wrong_things(): return 3, 4
def needs_more(x): return x
"""


@pytest.fixture
def user_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine_for_test.py").write_text(MODULE)
    (tmp_path / "broken_for_test.py").write_text("x = (")
    sys.modules.pop("mine_for_test", None)


@pytest.mark.usefixtures("user_code")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine_for_test:fails", "RuntimeError: no weights here"),
        ("mine_for_test:one_thing", "it returned int"),
        ("mine_for_test:wrong_things", "it returned tuple of int, int"),
        ("mine_for_test:needs_more", "TypeError"),
        ("mine_for_test:absent", "AttributeError"),
        ("broken_for_test:f", "SyntaxError"),
        ("no_such_module_here:f", "ModuleNotFoundError"),
    ],
)
def test_user_functions_that_fail(name: str, message: str) -> None:
    with pytest.raises(MohaqError, match=message):
        load_model(name)


@pytest.mark.parametrize(
    ("name", "kind"), [("speech", "nn.sru"), ("speech-lstm", "nn.lstm"), ("speech-gru", "nn.gru")]
)
def test_speech_models(name: str, kind: str) -> None:
    program = load_model(name)
    names = [op.name for op in program.layers()]
    assert set(names) == {kind, "nn.linear"}
    assert names[0] == kind
    # All three read the frames of the one speech corpus.
    assert CALIBRATION[name] == "speech:calibration"
    assert VALIDATION[name] == "speech:validation"


def test_every_built_in_model_names_data_of_its_width() -> None:
    for name in MODELS:
        data = load_data(CALIBRATION[name])
        (argument,) = load_model(name).entry.args
        assert shape_of(argument)[-1] == data.features


def test_no_such_speech_model() -> None:
    with pytest.raises(MohaqError, match="no model 'speech-lsmt'") as error:
        load_model("speech-lsmt")
    assert "speech-lstm" in str(error.value)
