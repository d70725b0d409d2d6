"""A small `front.json` for tests of what reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

UNITS = {"error": "share", "latency": "s", "energy": "J", "size": "bytes"}
SLOTS = ("weight", "input")


def _row(layers: tuple[str, ...], bits: tuple[int, ...], error: float) -> dict[str, Any]:
    widths = {f"{x}.{s}": b for x, b in zip(layers, bits, strict=True) for s in sorted(SLOTS)}
    total = sum(bits)
    costs = {"latency": total * 1e-5, "energy": total**2 * 1e-6, "size": total * 2048.0}
    return {"widths": dict(sorted(widths.items())), "objectives": {"error": error, **costs}}


def front_data(layers: tuple[str, ...] = ("l0", "pr1"), model: str = "speech") -> dict[str, Any]:
    """Two references and the float row, three front points, two candidates behind the front."""
    points = [
        _row(layers, (bits, *[other] * (len(layers) - 1)), error)
        for bits, other, error in ((8, 4, 0.19), (4, 4, 0.21), (2, 4, 0.35))
    ]
    behind = _row(layers, (16,) * len(layers), 0.2)
    references: list[dict[str, Any]] = [
        {"name": "float", "objectives": {"error": 0.18}, "error_interval": [0.17, 0.19]}
    ]
    for bits, error in ((4, 0.21), (16, 0.2)):
        row = _row(layers, (bits,) * len(layers), error)
        references.append({"name": f"uniform {bits}", **row, "feasible": True})
    evaluated = [
        {"genome": [i], **row, "feasible": feasible, "violation": 0.0, "generation": 1}
        for i, (row, feasible) in enumerate(
            [
                *((p, True) for p in points),
                (behind, True),
                (_row(layers, (2,) * len(layers), 0.9), False),
            ]
        )
    ]
    return {
        "schema": "mohaq.front/1",
        "model": {"name": model, "hash": "ab" * 32},
        "target": {"name": "bitfusion-e", "backend": "bitfusion", "hash": "cd" * 32},
        "seed": 3,
        "workload": {"frames": 258, "batch": 1, "carried_state": False},
        "metric": {"name": "fer"},
        "dataset": {"hash": "ef" * 32, "utterances": 60, "frames": 15480},
        "settings": {"population": 40, "offspring": 10, "generations": 2},
        "genes": [{"name": x, "slots": [f"{x}.{s}" for s in SLOTS], "choices": []} for x in layers],
        "objectives": [{"name": n, "unit": u} for n, u in UNITS.items()],
        "reference": references,
        "generations": [
            {"generation": g, "evaluations": 40 + 10 * g, "hypervolume": 0.5 + 0.1 * g}
            for g in range(2)
        ],
        "evaluated": evaluated,
        "front": [
            {
                "id": f"s{i:02d}",
                **row,
                "error_interval": [row["objectives"]["error"] - 0.01, 0.4],
                "assignment": f"assignments/s{i:02d}.json",
            }
            for i, row in enumerate(points)
        ],
    }


def write_front(folder: Path, data: Any) -> Path:
    """The folder with `data` as its front.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "front.json").write_text(json.dumps(data))
    return folder
