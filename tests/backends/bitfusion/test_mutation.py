"""One flipped bit changes outputs or figures, or raises: the emitted files are what runs."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mohaq.backends.base import Options, Simulation
from mohaq.backends.bitfusion import BACKEND
from mohaq.backends.bitfusion.isa.decode import decode_program
from mohaq.backends.bitfusion.isa.instructions import Instruction, Requantize, Saturate
from mohaq.compiler.diagnostics import MohaqError

from .programs import Spec, build, qnn_program, random_inputs
from .test_execute import tiny
from .test_recurrent import small, small_lstm

PER_CLASS = 8
Inputs = list[npt.NDArray[np.int64]]


@pytest.fixture
def emitted(tmp_path: Path) -> tuple[Path, Inputs, Simulation]:
    """A small program with every instruction class, on a machine with many tiles."""
    specs = [Spec("sru", 4, 8, 16, "reverse", "projected"), Spec("fc", 3, 16, 4)]
    program = qnn_program(16, specs, 3, carried=True)
    build(program, tiny(), tmp_path)
    inputs = random_inputs(program, 6, 2, 1)
    return tmp_path, inputs, BACKEND.simulate(tmp_path, inputs, Options())


@pytest.fixture
def recurrent(tmp_path: Path) -> tuple[Path, Inputs, Simulation]:
    """An LSTM whose weights are fetched in every step, at 16 by 4 bits."""
    program, inputs = small_lstm({"recurrent": 4, "hidden": 16})
    target = small()
    lowered = BACKEND.lower(BACKEND.legalize(program, target), target, Options())
    BACKEND.emit(lowered, tmp_path, target)
    return tmp_path, inputs, BACKEND.simulate(tmp_path, inputs, Options())


def rewrite(folder: Path, key: str, data: bytes) -> None:
    """Replace a file and tell the manifest, so that only the meaning has changed."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    (folder / manifest[key]["file"]).write_bytes(data)
    manifest[key]["sha256"] = hashlib.sha256(data).hexdigest()
    path.write_text(json.dumps(manifest))


def noticed(folder: Path, inputs: Inputs, good: Simulation) -> bool:
    try:
        run = BACKEND.simulate(folder, inputs, Options())
    except MohaqError:
        return True
    same = all(map(np.array_equal, run.outputs, good.outputs))
    return not same or run.measured != good.measured


@pytest.mark.parametrize("name", ["emitted", "recurrent"])
def test_words(name: str, request: pytest.FixtureRequest) -> None:
    folder, inputs, good = request.getfixturevalue(name)
    words = np.frombuffer((folder / "program.bin").read_bytes(), dtype="<u4")
    instructions, ends = decode_program(words.tolist())
    places: dict[type[Instruction], list[tuple[int, Instruction]]] = defaultdict(list)
    start = 2
    for instruction, end in zip(instructions, ends, strict=True):
        places[type(instruction)] += [(at, instruction) for at in range(start, end)]
        start = end
    rng = np.random.default_rng(0)
    caught: Counter[str] = Counter()
    for kind, where in places.items():
        for _ in range(PER_CLASS):
            at, instruction = where[rng.integers(len(where))]
            changed = words.copy()
            changed[at] ^= np.uint32(1 << rng.integers(32))
            rewrite(folder, "program", changed.tobytes())
            if noticed(folder, inputs, good):
                caught[kind.__name__] += 1
            else:
                # A wider clamp cannot be seen where no value reaches the old one.
                assert isinstance(instruction, (Requantize, Saturate)), (at, instruction)
    assert set(caught) == {k.__name__ for k in places}
    assert all(count >= PER_CLASS - 2 for count in caught.values()), caught


def test_weights_biases_vectors(emitted: tuple[Path, Inputs, Simulation]) -> None:
    folder, inputs, good = emitted
    manifest = json.loads((folder / "manifest.json").read_text())
    image = (folder / "memory.bin").read_bytes()
    rng = np.random.default_rng(1)
    lost = []
    for region in (r for r in manifest["regions"] if r["constant"]):
        if region["name"].startswith("sigmoid"):
            continue
        for _ in range(4):
            bit = region["address"] + int(rng.integers(region["bits"]))
            changed = bytearray(image)
            changed[bit // 8] ^= 1 << bit % 8
            rewrite(folder, "memory", bytes(changed))
            if not noticed(folder, inputs, good):
                lost.append((region["name"], bit - region["address"]))
    # The lowest bits of a 16-bit bias or vector may vanish in the rounding of a few results.
    assert all(bit % 16 < 4 for name, bit in lost if "bias" in name or "vector" in name), lost
    assert all("bias" in name or "vector" in name or "lo" in name for name, _ in lost), lost
    assert len(lost) <= 4


def test_tables(emitted: tuple[Path, Inputs, Simulation]) -> None:
    folder, inputs, good = emitted
    manifest = json.loads((folder / "manifest.json").read_text())
    (region,) = (r for r in manifest["regions"] if r["name"].startswith("sigmoid"))
    image = (folder / "memory.bin").read_bytes()
    caught = 0
    for point in range(0, 257, 12):
        changed = bytearray(image)
        changed[region["address"] // 8 + 2 * point + 1] ^= 1 << 4
        rewrite(folder, "memory", bytes(changed))
        caught += noticed(folder, inputs, good)
    # Only segments that some gate falls into can matter.
    assert caught >= 5


def _numbers(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in _numbers(v, (*path, k))]
    if isinstance(value, list):
        return [p for k, v in enumerate(value) for p in _numbers(v, (*path, k))]
    return [path] if isinstance(value, int) and not isinstance(value, bool) else []


def test_manifest(emitted: tuple[Path, Inputs, Simulation]) -> None:
    folder, inputs, good = emitted
    path = folder / "manifest.json"
    text = path.read_text()
    lost = []
    for place in _numbers(json.loads(text)):
        data = json.loads(text)
        held = data
        for key in place[:-1]:
            held = held[key]
        held[place[-1]] += 16
        path.write_text(json.dumps(data))
        if not noticed(folder, inputs, good) and "grid" not in place:
            lost.append(place)
    # Larger buffers change nothing by themselves, nor does room after the last region.
    last = len(json.loads(text)["regions"]) - 1
    lost = [p for p in lost if p != ("regions", last, "bits")]
    inert = {"ibuf_bytes", "wbuf_bytes", "obuf_bytes", "pbuf_bytes"}
    assert {p[-1] for p in lost} <= inert, lost
