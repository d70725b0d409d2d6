"""From a calibrated program to an ONNX file with its session file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import IntegerType

from mohaq.backends.registry import find_target
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Assignment
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.dialects.types import element_of, int_width
from mohaq.compiler.driver.build import lower_for_target
from mohaq.compiler.driver.device import device_check, integer_check, with_entry_clips
from mohaq.compiler.files import write_bytes, write_text
from mohaq.compiler.onnx_export import FORMS, to_onnx
from mohaq.compiler.onnx_export.integer import BORDERS, integer_to_onnx, joined_to_onnx
from mohaq.compiler.onnx_export.session import session_file, session_text
from mohaq.compiler.partition import Partition, partition
from mohaq.compiler.program import Program
from mohaq.passes.apply_assignment import annotate
from mohaq.passes.lower_to_qnn import lower_to_qnn

if TYPE_CHECKING:
    import onnx

    from mohaq.compiler.onnx_export import Form
    from mohaq.compiler.onnx_export.integer import Border


def onnx_model(
    program: Program,
    form: Form = "float",
    assignment: Assignment | None = None,
    *,
    target: str | None = None,
    border: Border = "real",
) -> onnx.ModelProto:
    """A program in one of the forms of docs/onnx.md.

    Args:
        program: an `nn` program, calibrated for the widths of the assignment, or one that has
            grids already, or (`integer`) a `qnn` program. It is left alone.
        form: `float`, `qdq`, `scan` or `integer`.
        assignment: widths, as `compile` takes them.
        target: whose scales and arithmetic; None: neutral. Needs an assignment.
        border: of the form `integer`: `real` has float32 in and out, `integer` the integers.

    What has no integer form (or what the target cannot run) stays in float32 around the integers,
    as the host runs it.

    Raises:
        MohaqError: unknown form, border or target; not calibrated, no such width; widths that are
            illegal on the target; an operation without such a form; the border `integer` for a
            program that has parts on the host.
    """
    if form not in FORMS:
        raise MohaqError(f"no form '{form}'", hint=did_you_mean(form, FORMS))
    if border not in BORDERS:
        raise MohaqError(f"no border '{border}'", hint=did_you_mean(border, BORDERS))
    if border == "integer" and form != "integer":
        raise MohaqError("only the form 'integer' has integers at its border")
    if assignment is None:
        if target is not None:
            raise MohaqError("a target needs bits or an assignment")
        return _as_it_is(program, form, border)
    if form == "float":
        raise MohaqError(
            "the form 'float' has no widths", hint="choose the form qdq, scan or integer"
        )
    if _is_integer(program):
        raise MohaqError("an integer program has its widths already")
    backend, machine = find_target(target) if target is not None else (None, None)
    check = integer_check if backend is None or machine is None else device_check(backend, machine)
    cut = partition(program, check)
    core = cut.core if cut.whole else with_entry_clips(cut.core)
    if border == "integer" and not cut.whole:
        raise _on_the_host(cut)
    table = calibrated_table(core)
    if backend is None or machine is None:
        quantized = core.clone()
        widths = assignment.complete(table.searched())
        annotate(quantized, table, table.layer_grids(widths))
        integers = lower_to_qnn(quantized) if form == "integer" else None
    else:
        table = backend.obeyed(table, machine)
        widths = assignment.complete(table.searched())
        lowered = lower_for_target(core, backend, machine, widths, calibrated=table)
        quantized, integers = lowered.quantized, lowered.legalized
    if form == "integer" and integers is not None:
        if cut.whole:
            return integer_to_onnx(integers, border, like=program)
        return joined_to_onnx(program, cut, integers)
    return to_onnx(quantized if cut.whole else _with_grids(program, quantized), form)


def export_onnx(
    program: Program,
    out: Path | str,
    form: Form = "float",
    assignment: Assignment | None = None,
    *,
    target: str | None = None,
    border: Border = "real",
) -> onnx.ModelProto:
    """Write `onnx_model(...)` to a file, and beside it how onnxruntime has to run it.

    Args:
        program: see `onnx_model`, as for all others.
        out: `F.onnx`; `F.session.json` is written beside it.
        form: see there.
        assignment: see there.
        target: see there.
        border: see there.

    Raises:
        MohaqError: as `onnx_model`, or the name does not end in .onnx; nothing is written then.
    """
    path = Path(out)
    if path.suffix != ".onnx":
        raise MohaqError("the file's name must end in .onnx", where=str(path))
    model = onnx_model(program, form, assignment, target=target, border=border)
    write_bytes(path, model.SerializeToString())
    write_text(session_file(path), session_text(form))
    return model


def _as_it_is(program: Program, form: Form, border: Border) -> onnx.ModelProto:
    if form != "integer":
        return to_onnx(program, form)
    if _is_integer(program):
        return integer_to_onnx(program, border)
    if not any(op.quant for op in program.layers()):
        raise MohaqError(
            "the program has no widths", hint="give bits or an assignment (--bits, --assignment)"
        )
    return integer_to_onnx(lower_to_qnn(program), border, like=program)


def _is_integer(program: Program) -> bool:
    """Whether arguments are integers that are no indices."""
    return any(
        isinstance(element_of(a), IntegerType) and int_width(a) != (64, True)
        for a in program.entry.args
    )


def _on_the_host(cut: Partition) -> MohaqError:
    """Why there is no integer form, with the names of what stands in its way."""
    reasons = [f"layer '{name}': {why}" for name, why in cut.refused.items()]
    core = {op.label for op in cut.core.layers()}
    for part in (cut.before, cut.after):
        if part is not None:
            kinds = {op.name for op in part.entry.body.block.ops if op.name.startswith("nn.")}
            named = {op.name for op in part.layers() if op.label not in core}
            reasons += [f"operation '{kind}'" for kind in sorted(kinds - named)]
    return MohaqError(
        "parts of the program have no integer form, so its border has none",
        why="; ".join(dict.fromkeys(reasons)),
        hint="the border 'real' keeps them in float32 around the integers",
    )


def _with_grids(program: Program, core: Program) -> Program:
    """The whole program with the grids of the layers that its core has."""
    made = program.clone()
    grids = {op.label: op.quant for op in core.layers() if op.quant is not None}
    for op in made.layers():
        if op.label in grids:
            op.attributes["quant"] = grids[op.label]
    return made
