"""`--set name=value`: inputs of a model that are fixed at import."""

from __future__ import annotations

from collections.abc import Sequence

from mohaq.compiler.diagnostics import MohaqError

WORDS = {"true": 1, "false": 0}


def parse_constants(given: Sequence[str]) -> dict[str, int | float | list[int | float]]:
    """{name: value} from `name=16000`, `name=0.5`, `name=true` or `name=1,2,3`.

    Raises:
        MohaqError: not of that form, or a name given twice.
    """
    found: dict[str, int | float | list[int | float]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise MohaqError(f"cannot read --set '{text}'", hint="--set sr=16000")
        if name in found:
            raise MohaqError(f"'{name}' is set twice")
        parts = [_number(part, text) for part in value.split(",")]
        found[name] = parts[0] if len(parts) == 1 else parts
    return found


def _number(part: str, text: str) -> int | float:
    word = part.strip().lower()
    if word in WORDS:
        return WORDS[word]
    try:
        return int(word)
    except ValueError:
        pass
    try:
        return float(word)
    except ValueError:
        raise MohaqError(
            f"cannot read --set '{text}'", why=f"'{part}' is no number", hint="--set sr=16000"
        ) from None
