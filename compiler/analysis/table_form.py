"""How the functions of a layer become tables: lines or steps, and how many."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, StringAttr, i64
from xdsl.ir import Operation

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.qnn.table import SEGMENTS, TABLE_SIZE

FORM_KEY = "nonlinear"
"""Attribute of a layer: the form of its tables."""

LINES, STEPS = "pwl", "lut"


@dataclass(frozen=True)
class TableForm:
    """How a layer's functions are approximated.

    Attributes:
        kind: `pwl`, lines between the ends of segments, or `lut`, one value a step.
        segments: segments or steps over the whole input range, a power of two from 4 to 256.

    Raises:
        MohaqError: another kind or number.
    """

    kind: str = LINES
    segments: int = TABLE_SIZE - 1

    def __post_init__(self) -> None:
        if self.kind not in {LINES, STEPS}:
            raise MohaqError(
                f"no approximation '{self.kind}'", hint=f"{LINES} (lines) or {STEPS} (steps)"
            )
        if self.segments not in SEGMENTS:
            raise MohaqError(
                f"a table of {self.segments} segments",
                hint=f"segments is one of {', '.join(map(str, SEGMENTS))}",
            )

    @property
    def points(self) -> int:
        """Points of a table."""
        return self.segments + (self.kind == LINES)

    @property
    def attribute(self) -> DictionaryAttr:
        """As a layer carries it."""
        held = {"kind": StringAttr(self.kind), "segments": IntegerAttr(self.segments, i64)}
        return DictionaryAttr(held)


DEFAULT_FORM = TableForm()


def form_of(op: Operation) -> TableForm:
    """The form that a layer's tables have.

    Raises:
        MohaqError: the layer's annotation cannot be read.
    """
    held = op.attributes.get(FORM_KEY)
    if held is None:
        return DEFAULT_FORM
    if isinstance(held, DictionaryAttr):
        kind, segments = held.data.get("kind"), held.data.get("segments")
        if isinstance(kind, StringAttr) and isinstance(segments, IntegerAttr):
            return TableForm(kind.data, segments.value.data)
    raise MohaqError(
        f"the attribute '{FORM_KEY}' of '{op.name}' cannot be read",
        why=str(held),
        hint='write {kind = "pwl", segments = 64 : i64}',
    )
