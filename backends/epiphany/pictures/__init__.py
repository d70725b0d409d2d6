"""Pictures of a planned or executed project: timeline, mesh traffic, memory map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mohaq.backends.epiphany.costs import KernelCycles
from mohaq.backends.epiphany.counters import Counts
from mohaq.backends.epiphany.machine import Machine
from mohaq.backends.epiphany.pictures.memory_map import memory_map
from mohaq.backends.epiphany.pictures.mesh import link_bytes, mesh_map
from mohaq.backends.epiphany.pictures.timeline import timeline
from mohaq.compiler.files import dump_json

__all__ = ["link_bytes", "memory_map", "mesh_map", "pictures", "timeline"]


def pictures(
    plan: Mapping[str, Any], layers: Mapping[str, Counts], machine: Machine, cycles: KernelCycles
) -> dict[str, str]:
    """Files of a project: memory.svg, mesh.svg and timeline.json.

    Args:
        plan: content of plan.json.
        layers: what each layer does on every core, planned or counted.
        machine: of the target.
        cycles: of a kernel call.
    """
    active = {stage["layer"]: int(stage["cores"]) for stage in plan["stages"]}
    return {
        "memory.svg": memory_map(plan),
        "mesh.svg": mesh_map(layers, active, machine),
        "timeline.json": dump_json(timeline(layers, machine, cycles)),
    }
