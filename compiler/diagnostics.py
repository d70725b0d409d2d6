"""The one error type that users see.

Every command turns a `MohaqError` into one message and exit code 2; anything else is a bug.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MohaqError(Exception):
    """A problem that the user can do something about.

    Args:
        what: what went wrong, one sentence without a full stop.
        where: the file, op or option it went wrong at.
        why: the reason, with numbers.
        hint: what to do next.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        why: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.why = why
        self.hint = hint
        super().__init__(self.message())

    def message(self) -> str:
        """The whole message on one or two lines."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.why:
            text += f" ({self.why})"
        if self.hint:
            text += f"\n  hint: {self.hint}"
        return text

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default reduction to worker processes.
        return (_rebuild, (type(self), self.what, self.where, self.why, self.hint))


def _rebuild(
    kind: type[MohaqError], what: str, where: str | None, why: str | None, hint: str | None
) -> MohaqError:
    return kind(what, where=where, why=why, hint=hint)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint naming the closest known names, or all of them when none is close."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if len(name) > 2:  # a beginning is close, too
        close = list(dict.fromkeys([*close, *(n for n in names if n.startswith(name))]))[:3]
    if close:
        return "did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    return "known: " + ", ".join(names) if names else None
