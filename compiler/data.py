"""User data sets: sequences and their labels, from safe files or from Python (DESIGN D14)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from mohaq.compiler.data_files import read_arrays, write_arrays
from mohaq.compiler.diagnostics import MohaqError

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[Any]
LabelKind = Literal["frame", "sequence", "utterance", "none"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Sequences with labels.

    Attributes:
        inputs: N arrays [T_i, F] float32; all with the same F.
        labels: N arrays: int64 classes [T_i] (`frame`), [L_i] (`sequence`), [] (`utterance`); or
            float32 targets [T_i, C] (`frame`, for `mse`); empty when there are none.
        names: N names, for messages.
        label_kind: what a label belongs to.
        meta: whatever the source says about itself; JSON values.

    Raises:
        MohaqError: empty, not finite, or shapes that do not fit together.
    """

    inputs: tuple[Floats, ...]
    labels: tuple[Labels, ...] = ()
    names: tuple[str, ...] = ()
    label_kind: LabelKind = "none"
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.names:
            names = tuple(f"utterance {i}" for i in range(len(self.inputs)))
            object.__setattr__(self, "names", names)
        _check(self)

    def __len__(self) -> int:
        return len(self.inputs)

    def __repr__(self) -> str:
        return (
            f"Dataset({len(self)} sequences, {self.frames} frames, {self.features} features, "
            f"labels: {self.label_kind})"
        )

    @property
    def features(self) -> int:
        """F, the width of every input."""
        return int(self.inputs[0].shape[1])

    @property
    def frames(self) -> int:
        """Sum of all lengths."""
        return sum(len(x) for x in self.inputs)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """[N] lengths T_i."""
        return np.asarray([len(x) for x in self.inputs], np.int64)

    def __getitem__(self, index: slice | Iterable[int]) -> Dataset:
        """The sequences at `index` (a slice or numbers), in that order."""
        order = range(len(self))[index] if isinstance(index, slice) else [int(i) for i in index]
        return Dataset(
            tuple(self.inputs[i] for i in order),
            tuple(self.labels[i] for i in order) if self.labels else (),
            tuple(self.names[i] for i in order),
            self.label_kind,
            self.meta,
        )

    def subset(self, n: int) -> Dataset:
        """`n` sequences spread evenly over the set, in order.

        Raises:
            MohaqError: `n` is below 1 or above the number of sequences.
        """
        if not 1 <= n <= len(self):
            raise MohaqError(f"cannot take {n} sequences", why=f"the data set has {len(self)}")
        return self[[i * len(self) // n for i in range(n)]]

    def content_hash(self) -> str:
        """sha256 over inputs, labels and the label kind (names and meta do not count)."""
        digest = hashlib.sha256(self.label_kind.encode())
        for array in (*self.inputs, *self.labels):
            little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
            digest.update(f"{array.dtype.name}{array.shape}".encode())
            digest.update(little.tobytes())
        return digest.hexdigest()


def _check(data: Dataset) -> None:
    if not data.inputs:
        raise MohaqError("the data set is empty")
    if data.label_kind not in get_args(LabelKind):
        raise MohaqError(f"unknown label kind '{data.label_kind}'")
    if len(data.names) != len(data.inputs):
        raise MohaqError(f"{len(data.names)} names for {len(data.inputs)} sequences")
    width = data.inputs[0].shape[1] if data.inputs[0].ndim == 2 else -1
    for name, x in zip(data.names, data.inputs, strict=True):
        if x.dtype != np.float32:
            raise MohaqError("inputs must be float32", where=name, why=f"got {x.dtype}")
        if x.ndim != 2 or x.shape[1] != width or width == 0:
            raise MohaqError(
                "inputs must be [T, F] with one F", where=name, why=f"got shape {x.shape}"
            )
        if len(x) == 0:
            raise MohaqError("a sequence has no frames", where=name)
        if not np.isfinite(x).all():
            frame = int(np.argmin(np.isfinite(x).all(axis=1)))
            raise MohaqError("inputs hold NaN or infinity", where=name, why=f"frame {frame}")
    if (data.label_kind == "none") != (not data.labels):
        raise MohaqError(f"label kind '{data.label_kind}' with {len(data.labels)} labels")
    if data.labels and len(data.labels) != len(data.inputs):
        raise MohaqError(f"{len(data.labels)} labels for {len(data.inputs)} sequences")
    for name, x, label in zip(data.names, data.inputs, data.labels, strict=False):
        _check_label(name, len(x), label, data.label_kind)


def _check_label(name: str, frames: int, label: Labels, kind: LabelKind) -> None:
    if label.dtype.kind not in "iuf":
        raise MohaqError("labels must be numbers", where=name, why=f"got {label.dtype}")
    if label.dtype.kind == "f" and not np.isfinite(label).all():
        raise MohaqError("labels hold NaN or infinity", where=name)
    if kind == "frame" and (label.ndim == 0 or len(label) != frames):
        raise MohaqError(
            "one label a frame is needed", where=name, why=f"{label.size} for {frames} frames"
        )
    if kind == "sequence" and (label.ndim != 1 or label.dtype.kind == "f"):
        raise MohaqError("a sequence label is a list of classes", where=name)
    if kind == "utterance" and label.size == 0:
        raise MohaqError("an utterance label is missing", where=name)


def load_dataset(source: str | Path | Iterable[Any]) -> Dataset:
    """Read a data set.

    A file (`.safetensors` or `.npz`), or a folder with one such file, holds
    `inputs` [sum T, F] (floats, or int8 with `scale` and `offset` [F]: value = q * scale + offset)
    and `lengths` [N]; optional `labels` [sum T] or [sum T, C] (one a frame), [N] (one an
    utterance), or with `label_lengths` [N] [sum L] (sequences). A Python iterable gives
    (input [T, F], label) pairs, or inputs alone.

    Raises:
        MohaqError: no such file, not readable, keys missing, or contents that do not fit.
    """
    if isinstance(source, Dataset):
        return source
    if not isinstance(source, str | Path):
        return _from_pairs(source)
    path = _find(Path(source))
    arrays, meta = read_arrays(path)
    try:
        return _from_arrays(arrays, meta)
    except MohaqError as error:
        inner = f"{error.where}: {error.what}" if error.where else error.what
        raise MohaqError(inner, where=str(path), why=error.why, hint=error.hint) from None


def _find(path: Path) -> Path:
    if not path.exists():
        raise MohaqError("no such data set", where=str(path))
    if not path.is_dir():
        return path
    files = sorted(p for p in path.iterdir() if p.suffix in (".safetensors", ".npz"))
    if len(files) == 1:
        return files[0]
    if not files:
        raise MohaqError("the folder holds no .safetensors or .npz file", where=str(path))
    raise MohaqError(
        f"the folder holds {len(files)} data sets",
        where=str(path),
        hint="name one: " + ", ".join(p.name for p in files[:6]),
    )


def _need(arrays: Mapping[str, npt.NDArray[Any]], name: str) -> npt.NDArray[Any]:
    if name not in arrays:
        have = ", ".join(sorted(arrays)) or "nothing"
        raise MohaqError(f"'{name}' is missing", why=f"found {have}")
    return arrays[name]


def _lengths(arrays: Mapping[str, npt.NDArray[Any]], name: str, total: int) -> list[int]:
    lengths = _need(arrays, name)
    if lengths.ndim != 1 or (lengths.size and lengths.dtype.kind not in "iu"):
        raise MohaqError(f"'{name}' must be [N] integers", why=f"{lengths.dtype} {lengths.shape}")
    if lengths.size and int(lengths.min()) < 0:
        raise MohaqError(f"'{name}' has a negative length")
    if int(lengths.sum()) != total:
        raise MohaqError(f"'{name}' do not add up", why=f"sum {int(lengths.sum())}, data {total}")
    return [int(n) for n in lengths]


def _split(array: npt.NDArray[Any], lengths: list[int]) -> tuple[npt.NDArray[Any], ...]:
    return tuple(np.split(array, np.cumsum(lengths)[:-1])) if lengths else ()


def _from_arrays(arrays: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, Any]) -> Dataset:
    inputs = _need(arrays, "inputs")
    if inputs.ndim != 2:
        raise MohaqError("'inputs' must be [sum T, F]", why=f"got shape {inputs.shape}")
    lengths = _lengths(arrays, "lengths", len(inputs))
    if inputs.dtype == np.int8:
        scale, offset = _need(arrays, "scale"), _need(arrays, "offset")
        for name, factor in (("scale", scale), ("offset", offset)):
            if factor.shape != inputs.shape[1:] or factor.dtype.kind != "f":
                raise MohaqError(f"'{name}' must be [F] floats", why=f"got shape {factor.shape}")
        values = inputs * scale.astype(np.float32) + offset.astype(np.float32)
    elif inputs.dtype.kind == "f":
        values = inputs.astype(np.float32)
    else:
        raise MohaqError("'inputs' must be floats or int8", why=f"got {inputs.dtype}")
    if not lengths:
        raise MohaqError("the data set is empty")
    kind, labels = _labels(arrays, lengths)
    names = meta.get("names")
    if not isinstance(names, list) or len(names) != len(lengths):
        names = []
    rest = {k: v for k, v in meta.items() if k != "names"}
    return Dataset(_split(values, lengths), labels, tuple(map(str, names)), kind, rest)


def _labels(
    arrays: Mapping[str, npt.NDArray[Any]], lengths: list[int]
) -> tuple[LabelKind, tuple[Labels, ...]]:
    if "labels" not in arrays:
        return "none", ()
    labels = arrays["labels"]
    if labels.dtype.kind in "iu":
        labels = labels.astype(np.int64)
    elif labels.dtype.kind == "f":
        labels = labels.astype(np.float32)
    else:
        raise MohaqError("'labels' must be numbers", why=f"got {labels.dtype}")
    if labels.ndim == 0:
        raise MohaqError("'labels' must have one entry a frame, utterance or sequence element")
    if "label_lengths" in arrays:
        counts = _lengths(arrays, "label_lengths", len(labels))
        if len(counts) != len(lengths):
            raise MohaqError(f"{len(counts)} label sequences for {len(lengths)} inputs")
        return "sequence", _split(labels, counts)
    if len(labels) == sum(lengths) and sum(lengths) != len(lengths):
        return "frame", _split(labels, lengths)
    if len(labels) == len(lengths):
        return "utterance", tuple(np.asarray(label) for label in labels)
    raise MohaqError(
        "'labels' fit neither frames nor utterances",
        why=f"{len(labels)} labels, {sum(lengths)} frames, {len(lengths)} utterances",
        hint="sequences need 'label_lengths'",
    )


def _from_pairs(source: Iterable[Any]) -> Dataset:
    inputs: list[Floats] = []
    labels: list[Labels] = []
    for i, item in enumerate(source):
        pair = item if isinstance(item, tuple) else (item,)
        if len(pair) not in (1, 2):
            raise MohaqError("an item is (input, label)", where=f"item {i}")
        try:
            inputs.append(np.asarray(pair[0], np.float32))
            if len(pair) == 2:
                labels.append(np.asarray(pair[1]))
        except (TypeError, ValueError) as error:
            raise MohaqError("an item is no array", where=f"item {i}", why=str(error)) from None
    labels = [a.astype(np.int64) if a.dtype.kind in "iub" else a for a in labels]
    return Dataset(tuple(inputs), tuple(labels), label_kind=_guess_kind(inputs, labels))


def _guess_kind(inputs: list[Floats], labels: list[Labels]) -> LabelKind:
    if not labels:
        return "none"
    if all(label.ndim == 0 for label in labels):
        return "utterance"
    pairs = zip(inputs, labels, strict=False)
    if all(label.ndim > 0 and x.ndim > 0 and len(label) == len(x) for x, label in pairs):
        return "frame"
    return "sequence"


def save_dataset(data: Dataset, path: str | Path, *, int8: bool = False) -> None:
    """Write a data set that `load_dataset` reads back.

    Args:
        data: what to write.
        path: a `.safetensors` or `.npz` file; it appears only when complete.
        int8: store inputs as int8 with one scale and offset a feature (values change by at most
            half a step of the feature's range / 254).
    """
    inputs = np.concatenate(data.inputs)
    arrays: dict[str, npt.NDArray[Any]] = {"lengths": data.lengths.astype(np.int32)}
    if int8:
        low, high = inputs.min(axis=0), inputs.max(axis=0)
        scale = np.maximum((high - low) / np.float32(254.0), np.float32(1e-12))
        offset = (high + low) / np.float32(2.0)
        arrays["inputs"] = np.clip(np.rint((inputs - offset) / scale), -127, 127).astype(np.int8)
        arrays |= {"scale": scale.astype(np.float32), "offset": offset.astype(np.float32)}
    else:
        arrays["inputs"] = inputs
    if data.label_kind != "none":
        stack = np.stack if data.label_kind == "utterance" else np.concatenate
        labels: Labels = stack(data.labels)
        if labels.dtype.kind in "iu" and labels.size and labels.min() >= 0 and labels.max() < 256:
            labels = labels.astype(np.uint8)
        arrays["labels"] = labels
    if data.label_kind == "sequence":
        arrays["label_lengths"] = np.asarray([len(a) for a in data.labels], np.int32)
    meta = json.dumps({**data.meta, "names": list(data.names)}, sort_keys=True)
    write_arrays(Path(path), arrays, meta)
