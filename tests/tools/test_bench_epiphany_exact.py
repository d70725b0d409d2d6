"""The speech model's emitted Epiphany projects equal the reference on real utterances."""

from __future__ import annotations

import pytest

from mohaq.backends.epiphany.simulator import missing_tools
from mohaq.tools.bench.epiphany_exact import measure

needs_compiler = pytest.mark.skipif(bool(missing_tools()), reason="needs a C compiler and make")


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("target", ["epiphany-e16", "epiphany-e64"])
def test_twenty_utterances_and_six_assignments(target: str) -> None:
    rows = measure("speech", [target], 20, 6)
    assert len(rows) == 6
    for _, name, utterances, equal, counted, _ in rows:
        assert utterances == equal == counted == 20, name


@needs_compiler
def test_an_utterance() -> None:
    ((*_, utterances, equal, counted, seconds),) = measure("speech", ["epiphany-e16"], 1, 1)
    assert utterances == equal == counted == 1
    assert seconds > 0
