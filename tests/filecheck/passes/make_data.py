"""Writes the parameters and frames that the .mlir files of this folder use.

python tests/filecheck/passes/make_data.py
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).parent


def cells() -> dict[str, np.ndarray]:
    """Quarters between -1 and 1 for the cells of the family, two inputs and two units each."""
    found = {}
    for kind, gates in {"rnn": 1, "ligru": 2, "gru": 3, "lstm": 4}.items():
        found[f"{kind}.weight"] = quarters(1, gates, 2, 2)
        found[f"{kind}.recurrent"] = quarters(1, gates, 2, 2)[..., ::-1]
        found[f"{kind}.bias"] = quarters(1, gates, 2)
    found["gru.recurrent_bias"] = quarters(1, 2)
    found["lstm.peephole"] = quarters(1, 3, 2)
    found["qrnn.weight"] = quarters(1, 3, 2, 2, 2)
    return {name: np.ascontiguousarray(v, dtype=np.float32) for name, v in found.items()}


def quarters(*shape: int) -> np.ndarray:
    """1, -1, -0.75, -0.5, ...: the largest first, so that every clip is one."""
    steps = (np.arange(int(np.prod(shape))) + 8) % 9
    return (steps / 4.0 - 1.0).reshape(shape)


def main() -> None:
    """Small round numbers, so that the expected integers can be checked by hand."""
    weight = np.array([[[[1.0, -0.5], [0.25, 1.0]], [[0.5, 0.5], [-1.0, 0.5]]]]).reshape(2, 2, 2)
    third = np.array([[[-0.75, 1.0], [0.5, 0.0]]])
    save_file(
        {
            "l0.weight": np.concatenate([weight, third])[None].astype(np.float32),
            "l0.vector": np.array([[[0.5, -0.25], [0.125, 0.5]]], dtype=np.float32),
            "l0.bias": np.array([[[0.5, -1.0], [0.25, 0.0]]], dtype=np.float32),
            "fc.weight": np.array([[1.0, -1.0], [0.5, 0.25], [-1.0, 0.75]], dtype=np.float32),
            "fc.bias": np.array([0.5, -0.25, 1.0], dtype=np.float32),
            "x.scale": np.array([0.125], dtype=np.float32),
            "w.scale": np.array([0.25], dtype=np.float32),
            "w.scales": np.array([0.25, 0.5, 0.25], dtype=np.float32),
            "w.columns": np.array([0.25, 0.5], dtype=np.float32),
            "x.zero": np.array([110]),
            "square.weight": quarters(2, 2).astype(np.float32),
            "one.weight": quarters(2, 2, 1).astype(np.float32),
            "one.bias": quarters(2).astype(np.float32),
            "two.weight": quarters(2, 2, 3).astype(np.float32),
            **cells(),
        },
        HERE / "parameters.safetensors",
    )
    frames = np.array(
        [[1.0, -1.0], [0.5, 2.0], [-2.0, 0.25], [4.0, 1.0], [0.0, -0.5]], dtype=np.float32
    )
    save_file({"inputs": frames, "lengths": np.array([3, 2])}, HERE / "frames.safetensors")


if __name__ == "__main__":
    main()
