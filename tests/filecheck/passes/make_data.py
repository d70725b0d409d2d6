"""Writes the parameters and frames that the .mlir files of this folder use.

python tests/filecheck/passes/make_data.py
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).parent


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
        },
        HERE / "parameters.safetensors",
    )
    frames = np.array(
        [[1.0, -1.0], [0.5, 2.0], [-2.0, 0.25], [4.0, 1.0], [0.0, -0.5]], dtype=np.float32
    )
    save_file({"inputs": frames, "lengths": np.array([3, 2])}, HERE / "frames.safetensors")


if __name__ == "__main__":
    main()
