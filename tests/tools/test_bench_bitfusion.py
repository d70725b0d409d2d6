"""The bench of Bit Fusion on the paper-size network."""

from __future__ import annotations

import pytest

from mohaq.tools.bench.bitfusion import measure, network


def test_the_network_has_the_papers_products() -> None:
    # 75,900 + 3 x 281,600 + 3 x 844,800 + 2,094,400 (SRU, projections, SRU, output).
    assert sum(layer.weights for layer in network()) == 75_900 + 3 * (281_600 + 844_800) + 2_094_400


@pytest.mark.parametrize("target", ["bitfusion-e", "bitfusion-s"])
def test_figures_are_consistent(target: str) -> None:
    lines = {str(x["bits"]): x for x in measure(target, 100)}
    assert lines["16"]["true"] == lines["16"]["paper"] == 1
    assert lines["2"]["paper"] == 64
    for line in lines.values():
        assert 0 < float(line["lanes"]) <= float(line["array"]) <= 1
        assert float(line["true"]) <= float(line["paper"])
    times = [float(lines[str(bits)]["ms"]) for bits in (16, 8, 4, 2)]
    assert times == sorted(times, reverse=True)
