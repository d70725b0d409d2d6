"""Running passes in a context that knows the dialects of all backends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute, Operation, TypeAttribute
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import DiagnosticException

from mohaq.compiler.context import MohaqContext
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.plugins import owner
from mohaq.compiler.program import verify_module

Observer = Callable[[ModulePass, ModuleOp], None]


@dataclass
class FullContext(MohaqContext):
    """Knows the dialects of the core, and those of the backends once a text uses one.

    Backends are imported for it: the one with the dialect's name first, then the others.
    """

    def get_optional_op(
        self, name: str, *, dialect_stack: Sequence[str] = ()
    ) -> type[Operation] | None:
        """See xDSL."""
        if "." in name:
            self._need(name)
        return super().get_optional_op(name, dialect_stack=dialect_stack)

    def get_optional_attr(self, name: str) -> type[Attribute] | None:
        """See xDSL."""
        self._need(name)
        return super().get_optional_attr(name)

    def get_optional_type(self, name: str) -> type[TypeAttribute] | None:
        """See xDSL."""
        self._need(name)
        return super().get_optional_type(name)

    def _need(self, name: str) -> None:
        """Load backends until one has the dialect of a name such as `silago.launch`."""
        dialect = name.partition(".")[0]
        if dialect in self.registered_dialect_names:
            return
        from mohaq.backends.registry import backend_names, get_backend

        for backend in sorted(backend_names(), key=lambda one: one != dialect):
            try:
                brought = get_backend(backend).dialects()
            except MohaqError:
                continue  # broken; `mohaq targets` says why
            for one in brought:
                if one.name not in self.registered_dialect_names:
                    self.load_dialect(one)
            if dialect in self.registered_dialect_names:
                return


def full_context(
    parameters: ParameterStore | None = None, base_dir: Path | None = None
) -> FullContext:
    """A context that knows the dialects of the core and of every backend that loads."""
    return FullContext(
        parameters=ParameterStore() if parameters is None else parameters,
        base_dir=base_dir or Path.cwd(),
    )


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
