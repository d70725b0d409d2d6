"""`mohaq plugins`."""

from __future__ import annotations


def plugins() -> None:
    """List what other packages add, and say why some of it cannot be used.

    Packages add backends, passes, objectives and metrics through entry points.

    Example:  mohaq plugins
    """
    from mohaq.tools.boundary import print_error
    from mohaq.tools.console import say, table
    from mohaq.tools.plugins import survey

    found = survey()
    if not found:
        say("no package adds anything; `mohaq new-backend` and docs/write-a-pass.md start one")
        return
    rows = [(f.kind, f.name, f.package, "works" if f.error is None else "unusable") for f in found]
    table("Plug-ins", ("kind", "name", "package", "state"), rows, text=4)
    for one in found:
        if one.error is not None:
            print_error(one.error.message(), "unusable")
