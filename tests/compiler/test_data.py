"""User data sets: what is read back, and what is refused with one clear line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from mohaq.compiler.data import Dataset, load_dataset, save_dataset
from mohaq.compiler.diagnostics import MohaqError


def make(
    kind: Any = "frame", lengths: Any = (3, 1, 4), features: int = 2, seed: int = 0
) -> Dataset:
    rng = np.random.default_rng(seed)
    inputs = tuple(rng.standard_normal((n, features)).astype(np.float32) for n in lengths)
    labels: Any = {
        "frame": lambda n: rng.integers(5, size=n),
        "sequence": lambda n: rng.integers(5, size=max(0, n - 2)),
        "utterance": lambda _: np.asarray(rng.integers(5)),
        "none": None,
    }[kind]
    found = () if labels is None else tuple(labels(n) for n in lengths)
    return Dataset(inputs, found, label_kind=kind, meta={"seed": 3})


def arrays(**changes: Any) -> Any:
    good = {
        "inputs": np.ones((8, 2), np.float32),
        "lengths": np.asarray([3, 1, 4]),
        "labels": np.zeros(8, np.int64),
    }
    merged = {**good, **changes}
    return {k: v for k, v in merged.items() if v is not None}


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("kind", ["frame", "sequence", "utterance", "none"])
def test_file_round_trip_keeps_everything(tmp_path: Path, suffix: str, kind: Any) -> None:
    data = make(kind)
    save_dataset(data, tmp_path / f"d{suffix}")
    back = load_dataset(tmp_path / f"d{suffix}")
    assert back.content_hash() == data.content_hash()
    assert back.label_kind == kind
    assert back.names == data.names
    assert back.meta == {"seed": 3}
    assert load_dataset(tmp_path).content_hash() == data.content_hash()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.integers(1, 5),
    st.integers(0, 99),
    st.floats(1e-3, 1e3),
)
def test_int8_files_are_within_half_a_step(
    tmp_path_factory: pytest.TempPathFactory, lengths: Any, features: int, seed: int, size: Any
) -> None:
    data = make("none", tuple(lengths), features, seed)
    data = Dataset(tuple(x * np.float32(size) for x in data.inputs))
    path = tmp_path_factory.mktemp("int8") / "d.npz"
    save_dataset(data, path, int8=True)
    before, after = (np.concatenate(d.inputs) for d in (data, load_dataset(path)))
    step = (before.max(axis=0) - before.min(axis=0)) / 254
    assert (np.abs(after - before) <= 0.51 * step + 1e-6 * size).all()


def test_python_pairs_find_their_label_kind() -> None:
    x = np.zeros((4, 2))
    assert load_dataset([(x, 3), (x, 1)]).label_kind == "utterance"
    assert load_dataset([(x, [1, 2, 3, 4])]).label_kind == "frame"
    assert load_dataset(iter([(x, [1, 2])])).label_kind == "sequence"
    assert load_dataset([x]).label_kind == "none"


def test_slicing_keeps_labels_with_their_inputs() -> None:
    data = make("frame", (1, 2, 3, 4, 5, 6))
    part = data[1:4]
    assert part.lengths.tolist() == [2, 3, 4]
    assert part.names == data.names[1:4]
    np.testing.assert_array_equal(part.labels[2], data.labels[3])
    assert data.subset(3).lengths.tolist() == [1, 3, 5]
    assert data.subset(6).content_hash() == data.content_hash()
    for n in (0, 7):
        with pytest.raises(MohaqError, match="cannot take"):
            data.subset(n)


def test_hash_sees_values_shapes_and_labels() -> None:
    base = make("frame")
    hashes = {base.content_hash(), make("utterance").content_hash(), make(seed=1).content_hash()}
    joined = Dataset((np.concatenate(base.inputs),), (np.concatenate(base.labels),), (), "frame")
    assert len(hashes | {joined.content_hash()}) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": None}, "'inputs' is missing"),
        ({"lengths": None}, "'lengths' is missing"),
        ({"inputs": np.ones(8, np.float32)}, "must be [sum T, F]"),
        ({"inputs": np.ones((8, 2), np.int32)}, "floats or int8"),
        ({"inputs": np.ones((8, 2), np.int8)}, "'scale' is missing"),
        ({"inputs": np.full((8, 2), np.nan, np.float32)}, "NaN"),
        ({"inputs": np.full((8, 2), np.inf, np.float32)}, "infinity"),
        ({"lengths": np.asarray([3, 1])}, "do not add up"),
        ({"lengths": np.asarray([9, -1])}, "negative"),
        ({"lengths": np.asarray([8, 0])}, "no frames"),
        ({"lengths": np.asarray([3.0, 5.0])}, "integers"),
        ({"labels": np.zeros(5, np.int64)}, "fit neither"),
        ({"labels": np.zeros(8, bool)}, "must be numbers"),
        ({"labels": np.full(8, np.nan, np.float32)}, "NaN"),
        ({"label_lengths": np.asarray([8])}, "label sequences"),
        ({"label_lengths": np.asarray([1, 1, 1])}, "do not add up"),
        ({"inputs": np.ones((0, 2), np.float32), "lengths": np.zeros(0, int)}, "empty"),
    ],
)
def test_contents_that_do_not_fit_are_named(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "bad.safetensors"
    save_file(arrays(**changes), path)
    with pytest.raises(MohaqError) as caught:
        load_dataset(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value).split("\n  hint:")[0]


def test_int8_scale_must_have_one_entry_a_feature(tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    one = np.ones(1, np.float32)
    np.savez(path, **arrays(inputs=np.ones((8, 2), np.int8), scale=one, offset=one))
    with pytest.raises(MohaqError, match=r"'scale' must be \[F\]"):
        load_dataset(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_damaged_files_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"d{suffix}"
    save_dataset(make(), path)
    whole = path.read_bytes()
    for cut in (0, 7, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:cut])
        with pytest.raises(MohaqError, match="damaged or no data set"):
            load_dataset(path)
    path.write_bytes(b"not a data set at all" * 20)
    with pytest.raises(MohaqError, match="damaged or no data set"):
        load_dataset(path)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, **arrays(inputs=np.asarray([{"a": 1}], dtype=object)))
    with pytest.raises(MohaqError, match="damaged or no data set"):
        load_dataset(path)


def test_paths_that_are_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(MohaqError, match="no such data set"):
        load_dataset(tmp_path / "absent.npz")
    with pytest.raises(MohaqError, match="holds no"):
        load_dataset(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(MohaqError, match=r"is a \.safetensors or \.npz file"):
        load_dataset(tmp_path / "notes.txt")
    for name in "ab":
        save_dataset(make(), tmp_path / f"{name}.npz")
    with pytest.raises(MohaqError, match=r"2 data sets[\s\S]*a\.npz, b\.npz"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "empty"),
        ([("text", 1)], "no array"),
        ([(np.zeros((2, 2)), 1, 2)], r"an item is \(input, label\)"),
        ([np.zeros((2, 2)), np.zeros((2, 3))], "with one F"),
        ([np.zeros(4)], r"\[T, F\]"),
        ([(np.zeros((2, 2)), 1), np.zeros((2, 2))], "1 labels for 2"),
        ([(np.zeros((2, 2)), ["a", "b"])], "labels must be numbers"),
    ],
)
def test_bad_python_data(items: list[Any], message: str) -> None:
    with pytest.raises(MohaqError, match=message):
        load_dataset(items)


def test_data_and_metrics_do_not_import_torch() -> None:
    code = "import sys, mohaq.compiler.data, mohaq.compiler.metrics; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
