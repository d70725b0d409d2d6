"""A compiled program as HTML: what it costs on its target, in all and by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mohaq.compiler.notebook.html import block, line, table
from mohaq.compiler.number_text import kib, latency, si

if TYPE_CHECKING:
    from mohaq.backends.base import Costs
    from mohaq.compiler.driver.build import Compiled


def compiled_html(done: Compiled) -> str:
    """Target, folder and the estimate."""
    estimate = done.estimate
    load, total = estimate.workload, estimate.total

    def row(name: str, costs: Costs) -> tuple[str, ...]:
        share = f"{100 * costs.cycles / total.cycles:.1f} %" if total.cycles else ""
        energy = si(costs.joules, "J")
        return (name, f"{costs.cycles:,}", share, latency(costs.seconds), energy)

    rows = [*(row(name, costs) for name, costs in estimate.layers.items()), row("all", total)]
    batch = f", {load.batch} at once" if load.batch > 1 else ""
    return block(
        f"Compiled for {done.target}",
        line(f"{kib(estimate.size_bytes)} on the target; estimate for {load.frames} frames{batch}"),
        table(("layer", "cycles", "of all", "latency", "energy"), rows),
        line(f"in {done.folder}"),
    )
