"""The context that passes run in: known dialects plus the parameters beside the program."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from xdsl.context import Context
from xdsl.dialects.builtin import Builtin
from xdsl.dialects.func import Func

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import Nn
from mohaq.compiler.dialects.param import Param
from mohaq.compiler.dialects.qnn import Qnn
from mohaq.compiler.dialects.quant import Quant
from mohaq.compiler.parameters import ParameterStore

CORE_DIALECTS = (Builtin, Func, Param, Quant, Nn, Qnn)


@dataclass
class MohaqContext(Context):
    """An xDSL context that also carries the parameter store.

    Passes read and add parameters through `store(ctx)`.
    """

    parameters: ParameterStore = field(default_factory=ParameterStore)
    base_dir: Path = field(default_factory=Path.cwd)
    """Relative paths in pass options are looked for here first (`option_file`)."""

    def __post_init__(self) -> None:
        for dialect in CORE_DIALECTS:
            if self.get_optional_dialect(dialect.name) is None:
                self.load_dialect(dialect)


def store(ctx: Context) -> ParameterStore:
    """The parameters of a context.

    Raises:
        MohaqError: the context has none (a plain xDSL context).
    """
    if not isinstance(ctx, MohaqContext):
        raise MohaqError(
            "this pass needs the parameters of the program",
            hint="run it through mohaq-opt or mohaq.compiler.driver",
        )
    return ctx.parameters


def option_file(ctx: Context, path: str) -> Path:
    """The file that a pass option names: below the program's folder, else below the current one."""
    beside = (ctx.base_dir if isinstance(ctx, MohaqContext) else Path()) / path
    return beside if beside.exists() or not Path(path).exists() else Path(path)
