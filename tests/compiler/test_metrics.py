"""Metrics against slow definitions, and their aggregation."""

from __future__ import annotations

import itertools
import time
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mohaq.compiler import plugins
from mohaq.compiler.data import Dataset
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.metrics import aggregate, evaluate, get_metric, metric_names
from mohaq.compiler.metrics.decode import collapse, decode, log_softmax
from mohaq.compiler.metrics.kernels import best_path, edit_distance
from mohaq.compiler.metrics.per import PhoneErrorRate

SHORT = st.lists(st.integers(0, 3), max_size=6)


def one_hot(classes: Any, width: int = 4, size: Any = 50.0) -> Any:
    return np.eye(width, dtype=np.float32)[np.asarray(classes)] * size


def slow_distance(a: Any, b: Any) -> Any:
    if not a or not b:
        return len(a) + len(b)
    return min(
        slow_distance(a[1:], b) + 1,
        slow_distance(a, b[1:]) + 1,
        slow_distance(a[1:], b[1:]) + (a[0] != b[0]),
    )


@settings(max_examples=60, deadline=None)
@given(SHORT, SHORT)
def test_edit_distance_is_levenshtein(a: Any, b: Any) -> None:
    found = edit_distance(np.asarray(a, np.int64), np.asarray(b, np.int64))
    assert found == slow_distance(tuple(a), tuple(b))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(0, 10_000), st.floats(0, 5))
def test_viterbi_is_the_best_of_all_paths(steps: int, seed: int, penalty: float) -> None:
    scores = log_softmax(np.random.default_rng(seed).standard_normal((steps, 3)) * 3)

    def value(path: Any) -> Any:
        changes = sum(x != y for x, y in itertools.pairwise(path))
        return sum(scores[t, k] for t, k in enumerate(path)) - penalty * changes

    best = max(value(p) for p in itertools.product(range(3), repeat=steps))
    assert value(best_path(scores, penalty).tolist()) == pytest.approx(best)


def test_viterbi_without_a_penalty_is_argmax_and_with_a_huge_one_never_changes() -> None:
    scores = np.random.default_rng(0).standard_normal((40, 5))
    np.testing.assert_array_equal(best_path(scores, 0.0), scores.argmax(axis=1))
    assert set(best_path(scores, 1e9)) == {int(scores.sum(axis=0).argmax())}
    assert best_path(scores[:0], 1.0).shape == (0,)


def test_collapse_drops_runs_and_silence() -> None:
    assert collapse(np.asarray([0, 0, 2, 2, 0, 2, 3, 3]), 0).tolist() == [2, 2, 3]
    assert collapse(np.asarray([0, 0, 2]), None).tolist() == [0, 2]
    assert collapse(np.asarray([], np.int64), 0).tolist() == []


def test_fer_counts_frames() -> None:
    output, label = one_hot([0, 1, 2, 3]), np.asarray([0, 1, 1, 1])
    assert get_metric("fer").score(output, label) == (2.0, 4.0)


def test_per_counts_phones_not_frames() -> None:
    label = np.repeat([0, 1, 2, 0, 3], 5)
    assert get_metric("per").score(one_hot(label), label) == (0.0, 3.0)
    heard = np.repeat([0, 1, 1, 0, 3], 5)  # phone 2 lost: one deletion
    assert get_metric("per").score(one_hot(heard), label) == (1.0, 3.0)
    assert get_metric("per").score(one_hot(heard), np.asarray([1, 2, 3]), "sequence") == (1.0, 3.0)


def test_per_smooths_single_frames_away() -> None:
    label = np.repeat([0, 1, 2], 8)
    noisy = label.copy()
    noisy[12] = 3
    output = one_hot(noisy, size=3.0)
    assert get_metric("fer").score(output, label)[0] == 1.0
    assert get_metric("per").score(output, label)[0] == 0.0
    assert PhoneErrorRate(penalty=0.0).score(output, label)[0] == 2.0


def test_insertions_count_when_the_reference_is_empty() -> None:
    assert get_metric("per").score(one_hot(np.repeat([0, 1], 9)), np.zeros(18, int)) == (1.0, 1.0)


def test_wer_of_digit_strings() -> None:
    output = one_hot(np.repeat([0, 3, 0, 3, 0, 1], 9))
    assert decode(output, 8.0, 0).tolist() == [3, 3, 1]
    assert get_metric("wer").score(output, np.asarray([3, 3, 1])) == (0.0, 3.0)
    assert get_metric("wer").score(output, np.asarray([3, 2])) == (2.0, 2.0)


def test_accuracy_uses_the_mean_over_time() -> None:
    output = np.asarray([[5.0, 0, 0], [0, 3, 0], [0, 3, 0]])
    assert get_metric("accuracy").score(output, np.asarray(1)) == (0.0, 1.0)
    assert get_metric("accuracy").score(output, np.asarray([0])) == (1.0, 1.0)


def test_mse_of_frames_and_of_utterances() -> None:
    output = np.asarray([[1.0, 2.0], [3.0, 4.0]])
    assert get_metric("mse").score(output, np.zeros((2, 2))) == (30.0, 4.0)
    assert get_metric("mse").score(output, np.asarray([3.0, 2.0]), "utterance") == (4.0, 2.0)
    assert get_metric("mse").score(output[:, :1], np.asarray([1.0, 1.0])) == (4.0, 2.0)


@pytest.mark.parametrize("name", ["fer", "per", "wer"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999))
def test_a_perfect_output_has_no_errors(name: str, seed: int) -> None:
    label = np.repeat(np.random.default_rng(seed).integers(4, size=6), 3)
    assert get_metric(name).score(one_hot(label), label, "frame")[0] == 0


def test_aggregate_is_a_ratio_of_sums_with_a_repeatable_interval() -> None:
    rng = np.random.default_rng(0)
    counts = [(float(e), 20.0) for e in rng.binomial(20, 0.3, 200)]
    score = aggregate("fer", counts)
    assert score == aggregate("fer", counts)
    assert score.value == sum(e for e, _ in counts) / 4000
    assert score.low < score.value < score.high
    # 4,000 independent trials: about +-1.96 * sqrt(0.21 / 4000)
    assert score.high - score.low == pytest.approx(2 * 1.96 * np.sqrt(0.21 / 4000), rel=0.25)
    with pytest.raises(MohaqError, match="nothing to count"):
        aggregate("fer", [])


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(60):
        score = aggregate("fer", [(float(e), 10.0) for e in rng.binomial(10, 0.2, 80)])
        hits += score.low <= 0.2 <= score.high
    assert hits >= 50


def test_evaluate_names_the_utterance_that_does_not_fit() -> None:
    inputs = (np.zeros((3, 2), np.float32),) * 2
    data = Dataset(inputs, (np.zeros(3, int),) * 2, ("first", "second"), "frame")
    assert evaluate(get_metric("fer"), [one_hot([0, 0, 0])] * 2, data).value == 0.0
    with pytest.raises(MohaqError, match="second"):
        evaluate(get_metric("fer"), [one_hot([0, 0, 0]), one_hot([0])], data)
    with pytest.raises(MohaqError, match="labels of kind 'frame'"):
        evaluate(get_metric("accuracy"), [], data)


def test_300_utterances_decode_within_a_second() -> None:
    rng = np.random.default_rng(0)
    metric = get_metric("per")
    outputs = [rng.standard_normal((260, 48)).astype(np.float32) for _ in range(300)]
    labels = [rng.integers(48, size=260) for _ in outputs]
    metric.score(outputs[0], labels[0])  # compile
    started = time.process_time()
    for output, label in zip(outputs, labels, strict=True):
        metric.score(output, label)
    assert time.process_time() - started < 1.0


def test_names() -> None:
    assert {"accuracy", "fer", "mse", "per", "wer"} <= set(metric_names())
    assert get_metric(metric := PhoneErrorRate(silence=None)) is metric
    with pytest.raises(MohaqError, match="did you mean 'fer'"):
        get_metric("ferr")


class Half:
    name = "half"
    label_kinds = frozenset({"frame"})

    def score(self, output: Any, label: Any, kind: str = "frame") -> tuple[float, float]:
        del output, label, kind
        return 0.5, 1.0


def test_metrics_of_others_come_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    def entries(*, group: str) -> Any:
        assert group == "mohaq.metrics"
        return [
            EntryPoint("half", f"{__name__}:Half", group),
            EntryPoint("gone", "no_such_module:Metric", group),
            EntryPoint("wrong", "builtins:dict", group),
        ]

    monkeypatch.setattr(plugins, "entry_points", entries)
    monkeypatch.setattr(EntryPoint, "load", _load)
    assert "half" in metric_names()
    assert get_metric("half").score(np.zeros(1), np.zeros(1)) == (0.5, 1.0)
    with pytest.raises(MohaqError, match="cannot be imported"):
        get_metric("gone")
    with pytest.raises(MohaqError, match="is no metric"):
        get_metric("wrong")


def _load(entry: EntryPoint) -> Any:
    # importlib mode gives test modules no importable name, so Half is found here.
    if entry.name == "half":
        return Half
    module, _, name = entry.value.partition(":")
    return getattr(__import__(module), name)
