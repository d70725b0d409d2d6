"""What of a program a target can run, and the grid of what enters its part."""

from __future__ import annotations

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr

from mohaq.backends.base import Backend, Target
from mohaq.compiler.analysis.layers import layer_table
from mohaq.compiler.analysis.storage import CLIPS_KEY, STORED_WIDTH
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.quant import ClipsAttr
from mohaq.compiler.partition import Check
from mohaq.compiler.program import Program
from mohaq.passes.lowering.forms import require_integer_form


def integer_check(program: Program) -> None:
    """Check that the one layer of a program has an integer form.

    Raises:
        MohaqError: it has none.
    """
    layer_table(program)
    for op in program.layers():
        require_integer_form(op)


def device_check(backend: Backend, target: Target) -> Check:
    """The same, and that the target can run the layer."""

    def check(program: Program) -> None:
        integer_check(program)
        for layer in layer_table(program):
            backend.legality(layer, target)

    return check


def with_entry_clips(core: Program) -> Program:
    """The core with a clip for its first argument: the largest that its readers saw.

    A value that a host program computes has no clip of its own; the layers that read it do.
    """
    entry = core.entry
    held = list(entry.arg_attrs.data) if entry.arg_attrs else [DictionaryAttr({})] * len(entry.args)
    if CLIPS_KEY in held[0].data:
        return core
    seen = [
        clips[STORED_WIDTH]
        for use in entry.args[0].uses
        if isinstance(use.operation, LayerOp)
        and STORED_WIDTH in (clips := use.operation.clips("input"))
    ]
    if seen:
        clip = ClipsAttr.of({STORED_WIDTH: max(seen)})
        held[0] = DictionaryAttr({**held[0].data, CLIPS_KEY: clip})
        entry.properties["arg_attrs"] = ArrayAttr(held)
    return core
