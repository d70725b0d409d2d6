"""All passes and dialects of this installation, backends included, and running passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import DiagnosticException

from mohaq.backends.registry import usable_backends
from mohaq.compiler.context import MohaqContext
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.program import verify_module
from mohaq.passes.registry import core_passes

Observer = Callable[[ModulePass, ModuleOp], None]


def all_passes() -> dict[str, Callable[[], type[ModulePass]]]:
    """Passes of the core and of every backend that loads, by name.

    Raises:
        MohaqError: two of them have the same name.
    """
    table = core_passes()
    for backend in usable_backends()[0].values():
        for name, kind in backend.passes().items():
            if name in table:
                raise MohaqError(f"backend '{backend.name}' redefines the pass '{name}'")
            table[name] = _constant(kind)
    return dict(sorted(table.items()))


def _constant(kind: type[ModulePass]) -> Callable[[], type[ModulePass]]:
    return lambda: kind


def full_context(
    parameters: ParameterStore | None = None, base_dir: Path | None = None
) -> MohaqContext:
    """A context that knows the dialects of the core and of every backend that loads."""
    ctx = MohaqContext(
        parameters=ParameterStore() if parameters is None else parameters,
        base_dir=base_dir or Path.cwd(),
    )
    for backend in usable_backends()[0].values():
        for dialect in backend.dialects():
            if ctx.get_optional_dialect(dialect.name) is None:
                ctx.load_dialect(dialect)
    return ctx


def run_passes(
    passes: Sequence[ModulePass],
    ctx: MohaqContext,
    module: ModuleOp,
    *,
    verify_each: bool = True,
    observer: Observer | None = None,
) -> None:
    """Apply passes in order.

    Raises:
        MohaqError: a pass refuses the program or leaves it invalid; the message names the pass.
    """
    for one in passes:
        try:
            one.apply(ctx, module)
        except DiagnosticException as error:
            raise MohaqError(
                "cannot be applied", where=f"pass '{one.name}'", why=str(error).strip()
            ) from None
        if verify_each:
            try:
                verify_module(module)
            except MohaqError as error:
                raise MohaqError(
                    "left an invalid program", where=f"pass '{one.name}'", why=error.why
                ) from None
        if observer:
            observer(one, module)
