"""Quotes around paths in pipelines: what is written bare is read as it was meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.utils.arg_spec import parse_pipeline

from mohaq.passes.registry import quoted

BARE = st.text("abcXYZ019_-./~:", min_size=1, max_size=12).filter(
    lambda s: any(c in "./~:" for c in s)
)


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@given(BARE.filter(lambda s: not is_number(s)), st.lists(BARE, max_size=2))
def test_bare_paths_are_strings(path: str, more: list[str]) -> None:
    words = [path, *(m for m in more if not is_number(m))]
    (first, second) = parse_pipeline(quoted(f"a{{b=1 c={','.join(words)}}},d{{e=2,4 f=-1.5}}"))
    assert first.parameters == {"b": (1,), "c": tuple(words)}
    assert second.parameters == {"e": (2, 4), "f": (-1.5,)}


@given(st.text(st.characters(exclude_characters='"\\\n\r\f\v', codec="ascii"), max_size=20))
def test_quoted_text_stays(text: str) -> None:
    pipeline = f'a{{b="{text}" c=x}}'
    assert quoted(pipeline) == pipeline


@pytest.mark.parametrize("text", ["", "a,b", "a{b=1.5 c=2,4 d=-1.e3 e=true f=some-word}"])
def test_nothing_to_quote(text: str) -> None:
    assert quoted(text) == text
