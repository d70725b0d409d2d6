"""What a backend raises when widths cannot run on its target."""

from __future__ import annotations

from mohaq.compiler.diagnostics import MohaqError


class IllegalAssignment(MohaqError):  # noqa: N818  the assignment is at fault, no error of ours
    """The widths cannot run on the target for a reason that depends on the data.

    The search records it as a constraint violation; `compile` reports it.
    """


class NoRoom(IllegalAssignment):
    """The widths do not fit the target's memory.

    `excess` is what is missing as a share of what there is, above 0, so that a search can tell
    how far it is from fitting; None where the backend cannot say.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        why: str | None = None,
        hint: str | None = None,
        excess: float | None = None,
    ) -> None:
        super().__init__(what, where=where, why=why, hint=hint)
        self.excess = excess
