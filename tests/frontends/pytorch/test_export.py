"""Import through torch.export: PyTorch = the nn interpreter = torch.fx, any T and B."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from programs import sequences

import mohaq
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Assignment
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.modules import SRU, SpeechOptions, SpeechSRU, SRUOptions
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.calibrate import calibrate

TINY = SpeechOptions(inputs=5, hidden=6, projection=4, classes=3)


class Stateful(torch.nn.Module):
    """State in and out, all skips, both activations of the output."""

    def __init__(self) -> None:
        super().__init__()
        self.first = SRU(4, 6, SRUOptions(skip="projected", skip_scale=1.5, activation="tanh"))
        self.drop = torch.nn.Dropout(0.5)
        self.second = SRU(6, 6, SRUOptions(direction="reverse", skip="identity", activation="relu"))
        self.out = torch.nn.Linear(6, 2)

    def forward(self, x: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h, last = self.first(x, state)
        h, _ = self.second(self.drop(h))
        return self.out(h), last


def difference(ours: tuple[Any, ...], theirs: Any) -> float:
    theirs = theirs if isinstance(theirs, tuple) else (theirs,)
    return max(
        float(np.abs(a - b.detach().numpy()).max()) for a, b in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (7, 3), (300, 2)])
def test_one_import_runs_at_any_length_and_batch(steps: int, batch: int) -> None:
    torch.manual_seed(0)
    module = SpeechSRU(TINY).eval()
    program = mohaq.load(module, (torch.zeros(7, 2, 5),))
    assert [op.label for op in program.layers()] == [
        "l0", "pr1", "l1", "pr2", "l2", "pr3", "l3", "fc",
    ]  # fmt: skip
    x = torch.randn(steps, batch, 5)
    ours = run_float(program, [x.numpy()])
    assert difference(ours, module(x)) < 1e-5
    assert difference(ours, program.to_fx()(x)) < 1e-5


def test_states_skips_and_activations() -> None:
    torch.manual_seed(1)
    module = Stateful()
    program = mohaq.load(module, (torch.zeros(7, 2, 4), torch.zeros(1, 2, 6)))
    assert module.training, "the import must not change the module's mode"
    x, state = torch.randn(9, 3, 4), torch.randn(1, 3, 6)
    ours = run_float(program, [x.numpy(), state.numpy()])
    assert difference(ours, module.eval()(x, state)) < 1e-5
    assert difference(ours, program.to_fx()(x, state)) < 1e-5


def test_fx_nodes_carry_what_the_passes_chose() -> None:
    program = mohaq.load(SpeechSRU(TINY), (torch.zeros(7, 2, 5),))
    calibrate(program, sequences())
    widths = Assignment.uniform(4).complete(calibrated_table(program).searched())
    apply_assignment(program, widths)
    metas = {n.meta["layer"]: n.meta for n in program.to_fx().graph.nodes if "layer" in n.meta}
    assert metas["l0"]["quant"]["weight"]["width"] == 4
    assert metas["fc"]["calibration"]["input"].keys() == {2, 4, 8, 16}


def test_pt2_of_a_language_model_takes_any_number_of_tokens(tmp_path: Path) -> None:
    class Tagger(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = torch.nn.Embedding(11, 4)
            self.ear = torch.nn.LSTM(4, 3, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.ear(self.words(x))[0]
            return out

    model = Tagger().eval()
    example = torch.zeros(2, 9, dtype=torch.int64)
    torch.export.save(torch.export.export(model, (example,)), tmp_path / "m.pt2")
    program = mohaq.load(tmp_path / "m.pt2")
    for batch, steps in ((1, 1), (3, 7), (1, 300)):
        x = torch.randint(0, 11, (batch, steps))
        with torch.no_grad():
            wanted = model(x).numpy()
        np.testing.assert_allclose(run_float(program, [x.numpy()])[0], wanted, atol=1e-6)


def test_pt2_round_trip(tmp_path: Path) -> None:
    module = SpeechSRU(TINY).eval()
    exported = torch.export.export(module, (torch.zeros(7, 2, 5),))
    torch.export.save(exported, tmp_path / "m.pt2")
    program = mohaq.load(tmp_path / "m.pt2")
    x = torch.randn(11, 1, 5)
    assert difference(run_float(program, [x.numpy()]), module(x)) < 1e-5


class Payload:
    """What an attacker would pickle."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("pickle-was-run"),))


@pytest.mark.parametrize(
    ("entry", "data"),
    [
        ("m/data/sample_inputs/model.pt", "pickle"),
        ("m/data/constants/opaque_obj_0", "pickle"),
        ("m/data/weights/model.pt", "pickle"),
        ("serialized_state_dict.pt", "pickle"),
        (
            "m/data/weights/model_weights_config.json",
            b'{"config": {"w": {"path_name": "weight_0", "use_pickle": true}}}',
        ),
        ("m/data/weights/model_weights_config.json", b"{broken"),
    ],
)
def test_no_pickle_of_a_model_file_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, data: bytes | str
) -> None:
    monkeypatch.chdir(tmp_path)
    exported = torch.export.export(SpeechSRU(TINY).eval(), (torch.zeros(7, 2, 5),))
    held = io.BytesIO()
    torch.export.save(exported, held)
    with zipfile.ZipFile(held) as old, zipfile.ZipFile("evil.pt2", "w") as new:
        root = old.namelist()[0].partition("/")[0]
        name = entry.replace("m/", f"{root}/", 1)
        for info in old.infolist():
            if info.filename != name:
                new.writestr(info, old.read(info))
        new.writestr(name, pickle.dumps(Payload()) if data == "pickle" else data)
    with pytest.raises(MohaqError):
        mohaq.load("evil.pt2")
    assert not Path("pickle-was-run").exists()


class Spectral(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spectrum: torch.Tensor = torch.fft.fft(x).real
        return spectrum


class Branch(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if float(x.sum()) > 0 else -x


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Spectral(), r"cannot import 'aten.fft_fft'"),
        (Branch(), "cannot export this module"),
    ],
)
def test_what_cannot_be_imported_is_named(module: torch.nn.Module, message: str) -> None:
    with pytest.raises(MohaqError, match=message):
        mohaq.load(module, (torch.zeros(7, 2, 4),))


def test_bad_files_and_weights(tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match="no such model"):
        mohaq.load(tmp_path / "none.pt2")
    (tmp_path / "text.pt2").write_text("hello")
    with pytest.raises(MohaqError, match=r"not a \.pt2 file"):
        mohaq.load(tmp_path / "text.pt2")
    (tmp_path / "model.h5").write_text("hello")
    with pytest.raises(MohaqError, match=r"cannot import a '\.h5' file"):
        mohaq.load(tmp_path / "model.h5")
    with pytest.raises(MohaqError, match="needs example inputs"):
        mohaq.load(SpeechSRU(TINY))
    broken = SpeechSRU(TINY)
    with torch.no_grad():
        broken.fc.weight[0, 0] = float("nan")
    with pytest.raises(MohaqError, match="NaN"):
        mohaq.load(broken, (torch.zeros(7, 2, 5),))
