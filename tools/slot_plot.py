"""The errors of slots as a picture: what each costs alone, and its signal-to-noise ratio."""

from __future__ import annotations

import math
from pathlib import Path

from mohaq.compiler.files import write_text
from mohaq.compiler.search.diagnosis import Diagnosis
from mohaq.tools.console import error_name


def write_slot_plot(found: Diagnosis, title: str, path: Path) -> None:
    """Write a page (one HTML file that needs nothing else) with two bar charts by slot.

    Args:
        found: what was measured.
        title: above the charts.
        path: of the page; replaced whole.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    searched = [s for s in found.slots if s.alone is not None]
    names = [f"{s.slot} ({s.width})" for s in searched]
    added = [100 * ((s.alone or 0.0) - found.base) for s in searched]
    figure = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.06,
        row_heights=[0.6, 0.4],
        subplot_titles=(
            f"{error_name(found.metric)} added by this slot alone (points over all at 16 bits)",
            "signal-to-quantization-noise ratio (dB)",
        ),
    )
    hover = [
        f"{s.slot}: {s.width} bits<br>clip {s.clip:.4g}<br>saturated {s.saturated:.3%}"
        for s in searched
    ]
    weights = [s.slot.slot in {"weight", "recurrent"} for s in searched]
    colours = ["#33658a" if w else "#e07a3f" for w in weights]
    figure.add_trace(
        go.Bar(x=names, y=added, marker_color=colours, hovertext=hover, showlegend=False), 1, 1
    )
    ratios = [s.sqnr if math.isfinite(s.sqnr) else None for s in searched]
    figure.add_trace(
        go.Bar(x=names, y=ratios, marker_color=colours, hovertext=hover, showlegend=False), 2, 1
    )
    for label, colour in (("weights", "#33658a"), ("values", "#e07a3f")):
        figure.add_trace(go.Bar(x=[None], y=[None], name=label, marker_color=colour), 1, 1)
    summary = (
        f"float {found.full:.4f}, 16 bits {found.base:.4f}, assigned {found.assigned:.4f} "
        f"({found.utterances} utterances)"
    )
    figure.update_layout(
        title={"text": f"{title}<br><sup>{summary}</sup>"},
        template="plotly_white",
        height=760,
        margin={"t": 110, "b": 150},
        legend={"orientation": "h", "y": 1.06, "x": 1, "xanchor": "right"},
    )
    write_text(path, figure.to_html(include_plotlyjs=True, full_html=True))
