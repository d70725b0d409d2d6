"""A small hand-written Epiphany project: h[t] = clamp16((W h[t-1] >> 10) + x[t])."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.backends.epiphany.runtime import static_files

SAMPLE = Path(__file__).parents[1] / "data" / "epiphany_sample" / "device"
Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """The project's folder, and what it computes."""

    folder: Path
    weights: Array

    @property
    def units(self) -> int:
        """Four a core."""
        return len(self.weights)

    def inputs(self, frames: int, batch: int, seed: int = 0) -> list[Array]:
        """Sequences x [T, B, units] and a state h0 [1, B, units]."""
        draw = np.random.default_rng(seed)
        return [
            draw.integers(-2000, 2000, (frames, batch, self.units)),
            draw.integers(-3000, 3000, (1, batch, self.units)),
        ]

    def expected(self, x: Array, h0: Array) -> list[Array]:
        """Sequences y [T, B, units] and the last state [1, B, units]."""
        h, ys = h0[0], []
        for step in x:
            h = np.clip(((h @ self.weights.T) >> 10) + step, -(1 << 15), (1 << 15) - 1)
            ys.append(h)
        return [np.stack(ys), h[None]]


def mistakes() -> dict[str, str]:
    """Values of SAMPLE_MISTAKE by the name of the mistake in main.c."""
    text = (SAMPLE / "main.c").read_text()
    names = text.partition("enum mistake {")[2].partition("}")[0].split(",")
    return {name.strip(): str(number) for number, name in enumerate(names)}


def write_sample(folder: Path, rows: int, cols: int) -> Sample:
    """Write the project for rows x cols cores."""
    for name, text in static_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for path in SAMPLE.iterdir():
        text = path.read_text().replace("@ROWS@", str(rows)).replace("@COLS@", str(cols))
        (folder / "device" / path.name).write_text(text)
    units = 4 * rows * cols
    weights = np.random.default_rng(5).integers(-128, 128, (units, units))
    weights.astype(np.int8).tofile(folder / "weights.bin")
    sequence: dict[str, Any] = {
        "shape": [None, None, units],
        "bits": 16,
        "steps": 1,
        "depth": 1,
        "channels": units,
    }
    state = {**sequence, "shape": [1, None, units], "steps": 0}
    plan = {"inputs": [sequence, state], "outputs": [sequence, state]}
    (folder / "plan.json").write_text(json.dumps(plan))
    return Sample(folder, weights)
