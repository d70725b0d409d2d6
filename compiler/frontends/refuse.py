"""How importers say that they cannot import something: one form for all of them."""

from __future__ import annotations

import re

from mohaq.compiler.diagnostics import MohaqError

SUPPORT_PAGE = "docs/support.md"
"""The generated page of what is supported; `mohaq support` prints it."""

NAME_LIMIT = 80
"""Names from a model are shortened to so many characters in messages."""


def shown(name: str) -> str:
    """A name from a model, printable on one line and of bounded length."""
    plain = "".join(c if c.isprintable() else "?" for c in name[: NAME_LIMIT + 1])
    return plain if len(plain) <= NAME_LIMIT else plain[: NAME_LIMIT - 3] + "..."


def refuse(
    operation: str,
    *,
    name: str,
    why: str | None = None,
    source: str | None = None,
    instead: str | None = None,
) -> MohaqError:
    """The error for something that cannot be imported; raise it.

    Args:
        operation: kind of operation in the words of the model's format, e.g. `aten.sort` or
            `ONNX TopK`.
        name: of the node in the model.
        why: the reason, if it is not simply unknown.
        source: line of the user's source, if the format has it.
        instead: the nearest form that can be imported.
    """
    anchor = re.sub(r"[^a-z0-9]+", "-", shown(operation).lower()).strip("-")
    place = f"'{shown(name)}'" + (f" ({shown(source)})" if source else "")
    advice = f"{instead}; " if instead else ""
    return MohaqError(
        f"cannot import '{shown(operation)}'",
        where=place,
        why=why or "mohaq has no such operation",
        hint=f"{advice}see `mohaq support` or {SUPPORT_PAGE}#{anchor}",
    )
