"""Clip methods: what holds for all of them, and each against a second statement of its rule."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mohaq.compiler.clips import METHODS, ClipRule
from mohaq.compiler.clips.aciq import Prior, fit, relative_clip
from mohaq.compiler.clips.entropy import divergence
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.quant import GridAttr
from mohaq.compiler.quantizer import dequantize, quantize

Values = npt.NDArray[np.float64]
WIDTHS = (2, 3, 4, 5, 6, 8, 12, 16)
methods = st.sampled_from(METHODS)
KINDS = ("normal", "laplace", "uniform", "relu", "heavy", "few")


@st.composite
def tensors(draw: st.DrawFn) -> Values:
    """Values of the kinds that layers hold."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(1, 3000))
    match draw(st.sampled_from(KINDS)):
        case "normal":
            return rng.normal(size=size)
        case "laplace":
            return rng.laplace(size=size)
        case "uniform":
            return rng.uniform(-1, 1, size=size)
        case "relu":
            return np.maximum(rng.normal(size=size), 0)
        case "heavy":
            return rng.standard_t(2, size=size)
        case _:
            return rng.choice([-1.0, 0.0, 0.5], size=size)


@settings(deadline=None, max_examples=80)
@given(methods, tensors())
def test_clips_are_positive_and_within_the_values(method: str, values: Values) -> None:
    top = float(np.abs(values).max())
    assume(top > 0)
    found = ClipRule(method).clips(values, WIDTHS)
    assert set(found) == set(WIDTHS)
    assert all(0 < clip <= top for clip in found.values())
    assert found[16] == top


@settings(deadline=None, max_examples=60)
@given(methods, tensors(), st.integers(-20, 60))
def test_clips_scale_with_the_values(method: str, values: Values, exponent: int) -> None:
    """Exactly for powers of two: these round nothing."""
    assume(np.abs(values).max() > 1e-2)
    rule, factor = ClipRule(method), 2.0**exponent
    found = rule.clips(values * factor, WIDTHS)
    assert found == {w: c * factor for w, c in rule.clips(values, WIDTHS).items()}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [3.7e-5, 0.3, 1e12])
def test_clips_scale_with_any_factor(method: str, factor: float) -> None:
    values = np.random.default_rng(5).normal(size=4000)
    expected = ClipRule(method).clips(values, WIDTHS)
    for width, clip in ClipRule(method).clips(values * factor, WIDTHS).items():
        assert clip == pytest.approx(factor * expected[width], rel=1e-9)


@settings(deadline=None, max_examples=20)
@given(methods, st.sampled_from(["normal", "laplace"]), st.integers(0, 2**32 - 1))
@example("entropy", "laplace", 689669)  # alone, 8 bits lose more than 6 here
def test_error_falls_with_the_width_in_expectation(method: str, kind: str, seed: int) -> None:
    """In the mean over draws: a method that does not look at the error may err on one of them."""
    rng = np.random.default_rng(seed)
    errors = np.zeros(len(WIDTHS))
    for _ in range(8):
        values = getattr(rng, kind)(size=4000)
        clips = ClipRule(method).clips(values, WIDTHS)
        for n, width in enumerate(WIDTHS):
            grid = GridAttr.from_clip(width, clips[width])
            errors[n] += np.mean((dequantize(quantize(values, grid), grid) - values) ** 2)
    assert (errors[1:] < errors[:-1]).all()
    assert errors[-1] < errors[0] / 100


@settings(deadline=None, max_examples=40)
@given(tensors())
def test_mmse_loses_no_more_than_any_other_method(values: Values) -> None:
    assume(np.abs(values).max() > 0)

    def error(width: int, clip: float) -> float:
        grid = GridAttr.from_clip(width, clip)
        return float(np.mean((dequantize(quantize(values, grid), grid) - values) ** 2))

    best = ClipRule("mmse").clips(values, (3, 4, 6))
    top = float(np.abs(values).max())
    for method in METHODS:
        for width, clip in ClipRule(method).clips(values, (3, 4, 6)).items():
            # Found on a histogram and on steps of 0.01: both are resolutions, not rules.
            noise = (top / 1000) ** 2
            assert error(width, best[width]) <= 1.1 * error(width, clip) + noise


@pytest.mark.parametrize(
    ("prior", "printed"), [("laplace", (2.83, 3.89, 5.03)), ("gauss", (1.71, 2.15, 2.55))]
)
def test_aciq_gives_the_constants_of_the_paper(prior: Prior, printed: tuple[float, ...]) -> None:
    """arXiv 1810.05723, section 3: 2^M steps, M = 2, 3, 4."""
    for bits, clip in zip((2, 3, 4), printed, strict=True):
        assert relative_clip(prior, 1 << bits) == pytest.approx(clip, abs=0.01)


@pytest.mark.parametrize("prior", ["laplace", "gauss"])
@pytest.mark.parametrize("steps", [2, 6, 14, 254])
def test_aciq_is_the_least_of_the_expected_error(prior: Prior, steps: int) -> None:
    """By numerical integration of the error over the density."""
    x = np.linspace(0, 60, 1_200_001)
    density = np.exp(-x) / 2 if prior == "laplace" else np.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    def error(a: float) -> float:
        beyond = np.where(x > a, (x - a) ** 2, 0.0)
        return 2 * float((beyond * density).sum() * (x[1] - x[0])) + (2 * a / steps) ** 2 / 12

    found = relative_clip(prior, steps)
    assert error(found) <= min(error(found * 0.98), error(found * 1.02))


def test_aciq_knows_the_distributions_apart() -> None:
    rng = np.random.default_rng(0)
    kind, b = fit(rng.laplace(scale=0.3, size=20000))
    assert kind == "laplace"
    assert b == pytest.approx(0.3, rel=0.03)
    kind, sigma = fit(rng.normal(scale=0.3, size=20000))
    assert kind == "gauss"
    assert sigma == pytest.approx(0.3, rel=0.03)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 5), min_size=8, max_size=24), st.integers(2, 8), st.data())
def test_divergence_is_that_of_the_talk(
    counts: list[int], levels: int, data: st.DataObject
) -> None:
    """Written out in loops, as in the slides."""
    kept = data.draw(st.integers(levels, len(counts)))
    assume(sum(counts) > 0)
    p = [float(c) for c in counts[:kept]]
    p[-1] += sum(counts[kept:])
    q = [0.0] * kept
    for level in range(levels):
        bins = range(level * kept // levels, (level + 1) * kept // levels)
        used = [i for i in bins if p[i] > 0]
        for i in used:
            q[i] = sum(counts[j] for j in bins) / len(used)
    expected = 0.0
    for a, b in zip(p, q, strict=True):
        if a > 0:
            expected += math.inf if b == 0 else a / sum(p) * math.log((a / sum(p)) / (b / sum(q)))
    found = divergence(np.array(counts, dtype=np.float64), kept, levels)
    assert found == pytest.approx(expected, abs=1e-12)


def test_entropy_leaves_out_far_away_values() -> None:
    rng = np.random.default_rng(0)
    values = np.append(rng.normal(size=20000), 40.0)
    assert ClipRule("entropy").clips(values, (8,))[8] < 10
    assert ClipRule("minmax").clips(values, (8,))[8] == 40


def test_percentile_is_a_share_of_the_values() -> None:
    values = np.linspace(-1, 1, 2001)
    assert ClipRule("percentile", 50).clips(values, (4,))[4] == pytest.approx(0.5)
    assert ClipRule("percentile", 100).clips(values, (4,))[4] == 1.0
    sparse = np.append(np.zeros(10**5), [0.5, 2.0])
    assert 0.5 < ClipRule("percentile", 99.0).clips(sparse, (4,))[4] <= 2.0


@pytest.mark.parametrize("method", METHODS)
def test_zeros_constants_and_single_values(method: str) -> None:
    rule = ClipRule(method)
    assert set(rule.clips(np.zeros(7), WIDTHS).values()) == {1.0}
    for constant in (-3.0, 0.25, 1e30):
        found = rule.clips(np.full(9, constant), WIDTHS)
        assert all(0 < c <= abs(constant) for c in found.values())
        assert found[16] == abs(constant)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [[math.nan, 1.0], [math.inf], [-math.inf, 0.0], []])
def test_values_without_a_range_are_refused(method: str, bad: list[float]) -> None:
    with pytest.raises(MohaqError, match=r"NaN or infinity|empty"):
        ClipRule(method).clips(np.array(bad), WIDTHS)


def test_rules_are_checked() -> None:
    assert ClipRule.parse("percentile=99.5") == ClipRule("percentile", 99.5)
    assert ClipRule.parse("aciq") == ClipRule("aciq")
    for text, message in (
        ("entropi", "unknown clip method"),
        ("percentile=0", "lies in"),
        ("percentile=101", "lies in"),
        ("percentile=nan", "lies in"),
        ("percentile=much", "is a number"),
        ("mmse=3", "takes no number"),
    ):
        with pytest.raises(MohaqError, match=message):
            ClipRule.parse(text)
