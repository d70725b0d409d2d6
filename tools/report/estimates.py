"""Where the costs of every point of a front come from: the backend's estimate, layer by layer.

Points are lowered as `compile` would. What was estimated is kept in the run folder, so that the
next report is quick.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mohaq.backends.base import Backend, Options, Target, Workload
from mohaq.backends.registry import find_target
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.types import shape_of
from mohaq.compiler.driver import lower_for_target
from mohaq.compiler.driver.figures import estimate_json
from mohaq.compiler.files import dump_json, read_json, write_text
from mohaq.compiler.program import Program
from mohaq.compiler.search.front import FRONT_FILE
from mohaq.compiler.search.recipe import MODEL_FOLDER, TARGET_FILE
from mohaq.compiler.search.search import target_hash
from mohaq.tools.report.load import load_front_slots

ESTIMATES_FILE = "estimates.json"
SCHEMA = "mohaq.estimates/1"


def front_estimates(
    run: Path, tell: Callable[[str], None] = lambda _: None
) -> dict[str, dict[str, Any]]:
    """{point: its estimate as JSON} of a search's front, with bytes of weights by layer.

    Raises:
        MohaqError: the run folder lacks its model, or the target is not the one searched.
    """
    front: Any = read_json(run / FRONT_FILE, "search result")
    own = run / TARGET_FILE
    backend, machine = find_target(str(own) if own.is_file() else front["target"]["name"])
    if target_hash(machine) != front["target"]["hash"]:
        raise MohaqError(
            f"the target '{machine.name}' has changed since the search", where=str(run)
        )
    workload = Workload(**front["workload"])
    options = Options(**front["settings"]["options"])
    header = {
        "schema": SCHEMA,
        "model": front["model"]["hash"],
        "target": front["target"]["hash"],
        "workload": asdict(workload),
        "options": asdict(options),
    }
    kept = _kept(run / ESTIMATES_FILE, header)
    programs: dict[Path, Program] = {}
    folders = {row["hash"]: run / row["program"] for row in front.get("beacons", ())}
    found, rows = {}, []
    for number, (point, widths) in enumerate(
        zip(front["front"], load_front_slots(front), strict=True)
    ):
        beacon = point.get("beacon", "")
        estimate = kept.get(_key(point["widths"], beacon))
        if estimate is None:
            tell(f"estimate point {number + 1} of {len(front['front'])}")
            folder = folders[beacon] if beacon else run / MODEL_FOLDER
            if folder not in programs:
                programs[folder] = Program.load(folder)
            estimate = _estimate(programs[folder], backend, machine, widths, workload, options)
        found[point["id"]] = estimate
        rows.append({"widths": point["widths"], "beacon": beacon, "estimate": estimate})
    write_text(run / ESTIMATES_FILE, dump_json({**header, "points": rows}))
    return found


def _estimate(
    program: Program,
    backend: Backend,
    machine: Target,
    widths: Mapping[Any, int],
    workload: Workload,
    options: Options,
) -> dict[str, Any]:
    legal = lower_for_target(program, backend, machine, widths).legalized
    lowered = backend.lower(legal, machine, options)
    found = estimate_json(backend.estimate(lowered, machine, workload, options))
    weights: dict[str, float] = {}
    for op in program.layers():
        for slot, bits in widths.items():
            if slot.layer == op.label and slot.slot in {"weight", "recurrent"}:
                count = math.prod(shape_of(getattr(op, slot.slot)))
                weights[op.label] = weights.get(op.label, 0.0) + count * bits / 8
    return {**found, "weight_bytes": weights, "latency_unit": backend.latency_unit(machine)}


def _kept(path: Path, header: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What an earlier report of the same search estimated; another's does not count."""
    if not path.is_file():
        return {}
    held: Any = read_json(path, "estimates")
    if not isinstance(held, dict) or {k: held.get(k) for k in header} != dict(header):
        return {}
    return {_key(row["widths"], row["beacon"]): row["estimate"] for row in held["points"]}


def _key(widths: Mapping[str, int], beacon: str) -> str:
    return f"{beacon} {sorted(widths.items())}"
