"""Tables that several commands print: layers with bits, sizes, operations and costs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mohaq.backends.base import Estimate, Target
from mohaq.compiler.analysis.layers import Layer, LayerTable
from mohaq.compiler.assignment import Slot
from mohaq.compiler.driver.host import HostPlan
from mohaq.compiler.program import Program
from mohaq.tools.console import error_name, kib, latency, say, si, table

if TYPE_CHECKING:
    from mohaq.compiler.search.diagnosis import Diagnosis, SlotReport


def print_layers(layers: LayerTable, widths: Mapping[Slot, int] | None = None) -> None:
    """Layers of an `nn` program; with widths also their bits and bytes."""
    columns = ["layer", "kind", "shape", "MACs/frame", "weights"]
    if widths:
        columns += ["bits (weight x input)", "weight bytes"]
    rows = []
    macs = size = 0
    for layer in layers:
        row: list[object] = [
            layer.name,
            f"{layer.directions}x {layer.kind}" if layer.directions > 1 else layer.kind,
            f"{layer.outputs} x {layer.inputs}",
            f"{layer.weights + layer.recurrent_weights:,}",
            f"{layer.weights + layer.recurrent_weights + layer.vector_words:,}",
        ]
        macs += layer.weights + layer.recurrent_weights
        if widths:
            held = layer_bytes(layer, widths)
            size += held
            row += [layer_bits(layer, widths), f"{held:,}"]
        rows.append(row)
    total: list[object] = ["all", "", "", f"{macs:,}", ""]
    rows.append(total + (["", f"{size:,}"] if widths else []))
    table("Layers", columns, rows, text=3)


def layer_bits(layer: Layer, widths: Mapping[Slot, int]) -> str:
    """Weight x input bits; of a product inside the recurrence also its own."""
    weight, given = (widths.get(Slot(layer.name, s)) for s in ("weight", "input"))
    text = f"{weight} x {given}"
    if layer.recurrent_weights:
        inner, hidden = (widths.get(Slot(layer.name, s)) for s in ("recurrent", "hidden"))
        text += f", {inner} x {hidden}"
    return text


def layer_bytes(layer: Layer, widths: Mapping[Slot, int]) -> int:
    """Bytes of weights and of the 16-bit vectors beside them."""
    bits = layer.weights * (widths.get(Slot(layer.name, "weight")) or 0)
    bits += layer.recurrent_weights * (widths.get(Slot(layer.name, "recurrent")) or 0)
    return (bits + 16 * layer.vector_words + 7) // 8


def print_host(plan: HostPlan | None) -> None:
    """What runs on the host, why, and what crosses to the target and back."""
    if plan is None:
        return
    say(
        f"on the host: {len(plan.refused)} layers; {plan.bytes_in} bytes to the target and "
        f"{plan.bytes_out} back for each frame"
    )
    if plan.refused:
        table("On the host", ("layer", "why"), list(plan.refused.items()), text=2)


def print_estimate(estimate: Estimate, title: str = "Estimate") -> None:
    """Costs by layer and in all."""
    rows = [
        (name, f"{c.cycles:,}", latency(c.seconds), si(c.joules, "J"))
        for name, c in estimate.layers.items()
    ]
    total = estimate.total
    rows.append(("all", f"{total.cycles:,}", latency(total.seconds), si(total.joules, "J")))
    load = estimate.workload
    batch = f", batch {load.batch}" if load.batch > 1 else ""
    table(
        f"{title} for {load.frames} frames{batch}", ("layer", "cycles", "latency", "energy"), rows
    )
    say(f"on the target: {kib(estimate.size_bytes)} of weights, vectors and tables")


def print_limit(estimate: Estimate, target: Target) -> None:
    """Say it when a model is larger than its target's `model_bytes`; a search refuses such ones."""
    limit = target.constants.get("model_bytes")
    if limit is not None and estimate.size_bytes > limit.value:
        say(
            f"over the limit: '{target.name}' takes models of {kib(int(limit.value))}, and a search "
            "refuses larger ones"
        )


def print_stages(stages: Mapping[str, Program]) -> None:
    """How often each operation occurs at each stage."""
    counts = {
        name: Counter(
            op.name
            for op in program.module.walk()
            if not op.name.startswith(("builtin.", "func.", "param."))
        )
        for name, program in stages.items()
    }
    names = sorted({op for one in counts.values() for op in one})
    rows = [(op, *(counts[s][op] or "" for s in counts)) for op in names]
    table("Operations by stage", ("operation", *counts), rows)


def print_diagnosis(found: Diagnosis) -> None:
    """Clip, saturation, noise and error of every slot."""
    rows = [
        (
            str(s.slot),
            s.width,
            f"{s.clip:.4g}",
            f"{s.saturated:.3%}",
            "-" if math.isnan(s.sqnr) else "no noise" if math.isinf(s.sqnr) else f"{s.sqnr:.1f}",
            "" if s.alone is None else f"{s.alone:.4f}",
            "" if s.alone is None else f"{s.alone - found.base:+.4f}",
        )
        for s in found.slots
    ]
    columns = (
        "slot",
        "bits",
        "clip",
        "saturated",
        "SQNR dB",
        f"{error_name(found.metric)} alone",
        "added",
    )
    table("Slots, each alone at its width and the others at 16 bits", columns, rows)
    say(
        f"{error_name(found.metric)}: float {found.full:.4f}, all at 16 bits {found.base:.4f}, "
        f"assigned {found.assigned:.4f} ({found.utterances} utterances)"
    )
    worst = max((s for s in found.slots if s.alone is not None), key=_alone, default=None)
    if worst is not None and _alone(worst) > found.base:
        say(f"most is added by {worst.slot} at {worst.width} bits")


def _alone(report: SlotReport) -> float:
    return report.alone if report.alone is not None else -math.inf
