"""`mohaq passes`."""

from __future__ import annotations

from typing import Annotated

import typer


def passes(
    name: Annotated[str | None, typer.Argument(help="A pass to show in full.")] = None,
) -> None:
    """List the passes of `mohaq-opt`, or show one with its options.

    Example:  mohaq passes calibrate
    """
    import inspect

    from xdsl.passes import get_pass_option_infos

    from mohaq.compiler.diagnostics import MohaqError, did_you_mean
    from mohaq.tools.boundary import print_error
    from mohaq.tools.console import say, table
    from mohaq.tools.pipelines import find_passes

    passes = find_passes()
    found, broken = passes.table, {str(e): e for e in passes.refused}
    if name is None:
        rows = []
        for key, load in found.items():
            try:
                kind = load()
            except MohaqError as error:  # of another package
                broken[str(error)] = error
                continue
            options = ", ".join(o.name for o in get_pass_option_infos(kind))
            rows.append((key, (inspect.getdoc(kind) or "").partition("\n")[0], options))
        table("Passes", ("pass", "what it does", "options"), rows, text=3)
        for unusable in broken.values():
            print_error(unusable.message(), "unusable")
        return
    if name not in found:
        raise MohaqError(f"no pass '{name}'", hint=did_you_mean(name, found))
    kind = found[name]()
    say(f"{name}  ({kind.__module__})", style="bold")
    say(inspect.getdoc(kind) or "")
    infos = get_pass_option_infos(kind)
    if infos:
        rows = [(o.name, o.expected_type, o.default_value or "(required)") for o in infos]
        table("Options", ("option", "type", "default"), rows, text=3)
    example = ",".join(f"{o.name}=..." for o in infos[:1])
    say(f'mohaq-opt program.mlir -p "{name}{{{example}}}"' if example else f"-p {name}")
