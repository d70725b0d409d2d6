"""Every form of every operation prints, parses back, verifies, and saves byte for byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from family import KINDS, Drawn, layers
from hypothesis import HealthCheck, given, settings

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects import nn
from mohaq.compiler.network import Network
from mohaq.compiler.program import Program
from mohaq.tools.support.forms import FORMS, Form


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def there_and_back(program: Program, folder: Path) -> None:
    program.save(folder / "a")
    once = Program.load(folder / "a")
    once.save(folder / "b")
    assert files(folder / "a") == files(folder / "b")
    assert once.text() == Program.load(folder / "b").text()
    assert all(len(line) < 1500 for line in once.text().splitlines()), "weights inline"


@pytest.mark.parametrize("form", FORMS, ids=[f.title for f in FORMS])
def test_every_form_survives(form: Form, tmp_path: Path) -> None:
    there_and_back(form.program(), tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_random_layers_survive(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn=layers((kind,)))
    def check(drawn: Drawn) -> None:
        there_and_back(drawn.program, tmp_path_factory.mktemp("program"))

    check()


GATES = {
    "rnn": (nn.RnnOp, 1),
    "lstm": (nn.LstmOp, 4),
    "gru": (nn.GruOp, 3),
    "ligru": (nn.LiGruOp, 2),
}
WRONG = {
    "a gate too many": ((1, 1, 0, 0), (0, 0, 0, 0), (0, 0, 0)),
    "a direction too many": ((1, 0, 0, 0), (1, 0, 0, 0), (1, 0, 0)),
    "recurrent of another size": ((0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 0)),
    "recurrent with a gate less": ((0, 0, 0, 0), (0, -1, 0, 0), (0, 0, 0)),
    "bias of another size": ((0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 1)),
    "features of another input": ((0, 0, 0, 1), (0, 0, 0, 0), (0, 0, 0)),
}


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("fault", WRONG)
def test_wrong_sizes_are_caught(kind: str, fault: str) -> None:
    cell, gates = GATES[kind]
    net = Network()
    x = net.sequence(3)
    right = ((1, gates, 5, 3), (1, gates, 5, 5), (1, gates, 5))
    shapes = [
        tuple(n + d for n, d in zip(shape, change, strict=True))
        for shape, change in zip(right, WRONG[fault], strict=True)
    ]
    if any(0 in shape for shape in shapes):
        shapes = [tuple(n or gates + 1 for n in shape) for shape in shapes]
    given = [net.parameter(str(i), np.zeros(s, dtype=np.float32)) for i, s in enumerate(shapes)]
    with pytest.raises(MohaqError, match=r"expected|must be|but without"):
        net.add(cell("layer", x, *given))


def test_a_projection_must_fit_the_state() -> None:
    net = Network()
    x = net.sequence(3)
    w, r, p = (
        net.parameter(name, np.zeros(shape, dtype=np.float32))
        for name, shape in (("w", (1, 4, 5, 3)), ("r", (1, 4, 5, 2)), ("p", (1, 3, 5)))
    )
    with pytest.raises(MohaqError, match="expected"):
        net.add(nn.LstmOp("layer", x, w, r, projection=p))
    with pytest.raises(MohaqError, match="without projection"):
        net.add(nn.LstmOp("layer", x, w, r))


def test_functions_must_be_those_of_cells() -> None:
    net = Network()
    x = net.sequence(3)
    w, r = (
        net.parameter(n, np.zeros((1, 1, 5, s), dtype=np.float32)) for n, s in (("w", 3), ("r", 5))
    )
    for functions in ([nn.FunctionAttr.of("exp")], [nn.FunctionAttr.of("tanh")] * 2):
        with pytest.raises(MohaqError, match="function"):
            net.add(nn.RnnOp("layer", x, w, r, activations=functions))


def test_a_missing_parameter_is_named(tmp_path: Path) -> None:
    form = next(f for f in FORMS if f.title == "lstm")
    form.program().save(tmp_path / "p")
    (tmp_path / "p" / "parameters.safetensors").unlink()
    with pytest.raises(MohaqError, match="parameter"):
        Program.load(tmp_path / "p")
