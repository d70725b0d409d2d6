"""`.pt2` files that are damaged or hostile: one clear error, nothing runs."""

from __future__ import annotations

import functools
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import mohaq
from mohaq.compiler.frontends.pytorch.archive import is_size

QUIET = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)
        self.out = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(x)
        return torch.relu(self.out(y))


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.out(x)
        return made


@functools.cache
def small_file() -> bytes:
    held = io.BytesIO()
    torch.export.save(torch.export.export(Small().eval(), (torch.zeros(2, 5, 3),)), held)
    return held.getvalue()


@functools.cache
def symbolic_file() -> bytes:
    sizes = {0: torch.export.Dim("T", min=1)}
    held = io.BytesIO()
    exported = torch.export.export(Dense(), (torch.zeros(5, 3),), dynamic_shapes={"x": sizes})
    torch.export.save(exported, held)
    return held.getvalue()


def load(folder: Path, data: bytes) -> Any:
    path = folder / "model.pt2"
    path.write_bytes(data)
    return mohaq.load(path)


def rewritten(data: bytes, change: Any) -> bytes:
    """The file with its model description changed, in a valid archive."""
    held = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(held, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            if info.filename.endswith("models/model.json"):
                content = change(content)
            new.writestr(info.filename, content)
    return held.getvalue()


def loads_or_refuses(folder: Path, data: bytes) -> None:
    found: mohaq.MohaqError | None = None
    try:
        load(folder, data).verify()
    except mohaq.MohaqError as error:
        found = error
    if found is not None:
        assert "\n" not in found.what
        assert "Traceback" not in str(found)


@QUIET
@given(share=st.floats(0, 0.999))
def test_truncated_files(tmp_path: Path, share: float) -> None:
    data = small_file()
    with pytest.raises(mohaq.MohaqError):
        load(tmp_path, data[: int(len(data) * share)])


@QUIET
@given(place=st.floats(0, 0.9999), bit=st.integers(0, 7))
def test_flipped_bits(tmp_path: Path, place: float, bit: int) -> None:
    data = bytearray(small_file())
    data[int(len(data) * place)] ^= 1 << bit
    loads_or_refuses(tmp_path, bytes(data))


@QUIET
@given(place=st.floats(0, 0.9999), byte=st.integers(32, 126))
def test_changed_descriptions(tmp_path: Path, place: float, byte: int) -> None:
    def change(text: bytes) -> bytes:
        held = bytearray(text)
        held[int(len(held) * place)] = byte
        return bytes(held)

    loads_or_refuses(tmp_path, rewritten(small_file(), change))


def _parts(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything in a JSON value."""
    found: list[tuple[Any, Any]] = []
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        found.append((value, key))
        if isinstance(value[key], (dict, list)):
            found += _parts(value[key])
    return found


STRANGE: tuple[Any, ...] = (
    None,
    -1,
    0,
    10**12,
    1 << 70,
    "",
    "../../x",
    "a\n'b\"",
    "x" * 10_000,
    [],
    {},
    True,
)


@QUIET
@given(place=st.floats(0, 0.9999), strange=st.sampled_from(STRANGE))
def test_descriptions_with_strange_values(tmp_path: Path, place: float, strange: Any) -> None:
    def change(text: bytes) -> bytes:
        held = json.loads(text)
        parts = _parts(held)
        container, key = parts[int(len(parts) * place)]
        container[key] = strange
        return json.dumps(held).encode()

    loads_or_refuses(tmp_path, rewritten(small_file(), change))


@pytest.mark.parametrize(
    "code",
    [
        "__import__('pathlib').Path('code-was-run').touch()",
        "Symbol('s77', positive=True).__class__",
        "(lambda: 1)()",
        "Max(open('code-was-run', 'w'), 1)",
        "Symbol(open('code-was-run', 'w'))",
        "9**9**9**9",
        "Pow(Pow(Integer(9), Integer(99999)), Integer(99999))",
        "[x for x in (1,)]",
        "(" * 500 + "1" + ")" * 500,
    ],
)
def test_sizes_that_are_code_are_never_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.chdir(tmp_path)

    def change(text: bytes) -> bytes:
        held = json.loads(text)
        for container, key in _parts(held):
            if key == "expr_str":
                container[key] = code
        return json.dumps(held).encode()

    loads_or_refuses(tmp_path, symbolic_file())
    with pytest.raises(mohaq.MohaqError, match="code in place of a size"):
        load(tmp_path, rewritten(symbolic_file(), change))
    assert not Path("code-was-run").exists()


def test_calls_of_other_functions_are_refused(tmp_path: Path) -> None:
    def change(text: bytes) -> bytes:
        return text.replace(b"torch.ops.aten.relu.default", b"torch.hub.os.system")

    with pytest.raises(mohaq.MohaqError, match=r"a call of 'torch\.hub\.os\.system'"):
        load(tmp_path, rewritten(small_file(), change))


@pytest.mark.parametrize(
    "text",
    ["Symbol('s77', positive=True, integer=True)", "s0 + 1", "Mul(Integer(2), Symbol('s1'))",
     "Pow(Symbol('s1', integer=True), Integer(2))", "FloorDiv(s0, Integer(2)) >= 3"],
)  # fmt: skip
def test_what_torch_writes_is_a_size(text: str) -> None:
    assert is_size(text)


def test_one_size_is_kept_symbolic(tmp_path: Path) -> None:
    program = load(tmp_path, symbolic_file())
    assert "tensor<?x3xf32>" in program.text()


def test_archives_that_are_larger_inside(tmp_path: Path) -> None:
    held = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(small_file())) as old,
        zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
        new.writestr("archive/data/weights/bomb", b"\0" * 10_000_000)
    with pytest.raises(mohaq.MohaqError, match="compressed or larger"):
        load(tmp_path, held.getvalue())


def test_tensors_that_are_larger_than_the_file(tmp_path: Path) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(small_file())) as old, zipfile.ZipFile(held, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            if info.filename.endswith("model_weights_config.json"):
                table = json.loads(content)
                meta = table["config"]["out.weight"]["tensor_meta"]
                meta["sizes"] = [{"as_int": 10**6}, {"as_int": 10**6}]
                meta["strides"] = [{"as_int": 0}, {"as_int": 0}]
                content = json.dumps(table).encode()
            new.writestr(info.filename, content)
    with pytest.raises(mohaq.MohaqError, match="larger than the file"):
        load(tmp_path, held.getvalue())


def test_hostile_names(tmp_path: Path) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name in ("a/x", "quote'\"", "line\nbreak", "n" * 10_000, "ünï"):
                self.add_module(name, nn.Linear(3, 3))

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.children():
                x = layer(x)
            return x

    program = mohaq.load(Named(), (torch.zeros(5, 2, 3),))
    labels = [op.label for op in program.layers()]
    assert len(set(labels)) == 5
    for label in labels:
        assert len(label) <= 80
        assert label.isprintable()
        assert "/" not in label
        assert '"' not in label
    program.save(tmp_path / "p")
    again = mohaq.load(tmp_path / "p")
    assert again.text() == program.text()
