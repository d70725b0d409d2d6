"""All passes and dialects of this installation, backends included, and running passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import DiagnosticException

from mohaq.backends.registry import usable_backends
from mohaq.compiler.context import MohaqContext
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.plugins import owner
from mohaq.compiler.program import verify_module
from mohaq.passes.registry import core_passes, outside_passes

Observer = Callable[[ModulePass, ModuleOp], None]


@dataclass(frozen=True)
class Passes:
    """Passes by name, and why others cannot be had."""

    table: dict[str, Callable[[], type[ModulePass]]]
    refused: tuple[MohaqError, ...]


def find_passes() -> Passes:
    """Passes of the core, of backends and of other packages; broken ones take nothing down."""
    table = core_passes()
    backends, broken = usable_backends()
    refused = list(broken.values())
    for backend in backends.values():
        try:
            found = backend.passes()
        except MohaqError as error:  # of another package
            refused.append(error)
            continue
        for name, kind in found.items():
            if name in table:
                where = f"backend '{backend.name}'"
                refused.append(MohaqError(f"the name of its pass '{name}' is taken", where=where))
            else:
                table[name] = _constant(kind)
    others, more = outside_passes()
    for name, load in others.items():
        if name in table:
            refused.append(MohaqError("a backend has a pass of this name", where=f"pass '{name}'"))
        else:
            table[name] = load
    return Passes(dict(sorted(table.items())), (*refused, *more))


def all_passes() -> dict[str, Callable[[], type[ModulePass]]]:
    """`find_passes`, without what cannot be had."""
    return find_passes().table


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
        try:
            dialects = backend.dialects()
        except MohaqError:  # of another package; `mohaq plugins` tells
            continue
        for dialect in dialects:
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
        except MohaqError:
            raise
        except Exception as error:
            plugin = owner(type(one))
            if plugin is None:
                raise
            raise plugin.failed(f"pass '{one.name}'", error) from error
        if verify_each:
            try:
                verify_module(module)
            except MohaqError as error:
                raise MohaqError(
                    "left an invalid program", where=f"pass '{one.name}'", why=error.why
                ) from None
        if observer:
            observer(one, module)
