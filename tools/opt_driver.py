"""What `mohaq-opt` does once its command line is read: passes over a text, watched."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.printer import Printer

from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.files import replacing_folder, write_text
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.program import (
    MODULE_FILE,
    PARAMETER_FILE,
    Program,
    parse_module,
    verify_module,
)
from mohaq.passes.registry import build_pipeline
from mohaq.tools.boundary import CheckFailed
from mohaq.tools.catalogue import all_passes
from mohaq.tools.observers import Checked, Differences, Dumped, Observer, Printed, Times
from mohaq.tools.pipelines import full_context, run_passes

SEPARATOR = re.compile(r"^// -----.*$", re.MULTILINE)
EXPECTED = re.compile(r"//\s*expected-error\s*\{\{(.*?)\}\}")


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    source: str
    pipeline: str
    output: str | None
    print_ir_after: str | None
    print_ir_diff: bool
    dump_dir: str | None
    time_passes: bool
    check_each: str | None
    tolerance: float
    reproducer: str | None
    replay: bool
    verify_each: bool
    split_input: bool
    verify_diagnostics: bool
    generic: bool


@dataclass(frozen=True)
class Input:
    """Text of a module and what lies beside it."""

    name: str
    text: str
    base_dir: Path
    parameters: ParameterStore | None


def run_opt(options: Options) -> None:
    """Read, run the pipeline, write.

    Raises:
        MohaqError: anything that the user can correct.
        CheckFailed: `--check-each` or `--verify-diagnostics` found a difference.
    """
    source = _read(options.source)
    if options.replay:
        if options.pipeline:
            raise MohaqError("--replay takes the passes from the file; leave -p out")
        options = replace(options, pipeline=_recorded(source))
    passes = build_pipeline(options.pipeline, all_passes())
    wanted = options.print_ir_after
    names = [p.name for p in passes]
    if wanted not in (None, "all", *names):
        raise MohaqError(
            f"--print-ir-after={wanted}: the pipeline has no such pass",
            hint=did_you_mean(wanted or "", ["all", *names]),
        )
    chunks = SEPARATOR.split(source.text) if options.split_input else [source.text]
    if len(chunks) > 1 and _is_folder(options.output):
        raise MohaqError("several programs cannot go into one folder; give -o a .mlir file")
    done: list[str] = []
    line = 1
    for chunk in chunks:
        found = _chunk(source, chunk, f"{source.name}:{line}", passes, options)
        line += chunk.count("\n")
        if found is None:
            continue
        if options.output and _is_folder(options.output):
            with replacing_folder(Path(options.output), marker=MODULE_FILE) as work:
                found.save(work)
            return
        done.append(_text(found.module, generic=options.generic))
    text = "// -----\n".join(done)
    if options.output:
        write_text(Path(options.output), text)
    else:
        sys.stdout.write(text)


def _chunk(
    source: Input, text: str, where: str, passes: Sequence[ModulePass], options: Options
) -> Program | None:
    """Process one module; None when it failed as its expected-error says."""
    expected = EXPECTED.findall(text) if options.verify_diagnostics else []
    try:
        program = _process(source, text, passes, options)
    except MohaqError as error:
        if not options.verify_diagnostics:
            raise
        lost = [e for e in expected if e not in error.message()]
        if not expected:
            raise CheckFailed(f"{where}: unexpected error: {error.message()}") from None
        if lost:
            raise CheckFailed(
                f"{where}: expected '{lost[0]}', the error was: {error.message()}"
            ) from None
        return None
    if expected:
        raise CheckFailed(f"{where}: expected '{expected[0]}', but there was no error")
    return program


def _process(source: Input, text: str, passes: Sequence[ModulePass], options: Options) -> Program:
    parameters = None if source.parameters is None else source.parameters.copy()
    ctx = full_context(parameters, source.base_dir)
    module = parse_module(text, ctx, source.name)
    verify_module(module)
    program = Program(module, ctx.parameters)
    if parameters is not None:
        program.verify()

    watching = _observers(options, program)
    for one in watching:
        one.begin(module)
    for number, done in enumerate(passes):
        before = _text(module, generic=False) if options.reproducer else ""
        for one in watching:
            one.before(done)
        try:
            run_passes([done], ctx, module, verify_each=options.verify_each)
            for one in watching:
                one.after(done, module)
        except Exception:
            if options.reproducer:  # for our bugs as well
                _record(Path(options.reproducer), before, passes[number:], ctx.parameters)
            raise
    for one in watching:
        one.end()
    verify_module(module)
    return program


def _observers(options: Options, program: Program) -> list[Observer]:
    def text(module: ModuleOp) -> str:
        return _text(module, generic=options.generic)

    found: list[Observer] = [Times()] if options.time_passes else []
    if options.print_ir_after:
        found.append(Printed(options.print_ir_after, text))
    if options.print_ir_diff:
        found.append(Differences(text))
    if options.dump_dir:
        found.append(Dumped(Path(options.dump_dir), text))
    if options.check_each:
        from mohaq.compiler.data import load_dataset

        given = load_dataset(options.check_each).inputs[0][:, None]
        found.append(Checked([given], program.parameters, options.tolerance))
    return found


REPLAY = "// mohaq-opt --replay: "


def _record(path: Path, before: str, passes: Sequence[ModulePass], data: ParameterStore) -> None:
    """A file that replays a failure; data of parameters go beside it.

    Raises:
        MohaqError: there is other data beside it.
    """
    beside = path.parent / PARAMETER_FILE
    if data and beside.exists():
        raise MohaqError(
            f"'{beside}' is in the way of the reproducer's data", hint="give a new folder"
        )
    pipeline = ",".join(str(one.pipeline_pass_spec()) for one in passes)
    write_text(path, f"{REPLAY}{pipeline}\n{before}")
    if data:
        data.save(beside)
    print(f"// wrote a reproducer: mohaq-opt {path} --replay", file=sys.stderr)


def _recorded(source: Input) -> str:
    first = source.text.partition("\n")[0]
    if not first.startswith(REPLAY):
        raise MohaqError("this file is no reproducer", where=source.name)
    return first.removeprefix(REPLAY)


def _read(name: str) -> Input:
    if name == "-":
        return Input("<stdin>", sys.stdin.read(), Path.cwd(), None)
    path = Path(name)
    file = path / MODULE_FILE if path.is_dir() else path
    data = file.parent / PARAMETER_FILE
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MohaqError("no such program", where=str(file), hint=_near(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise MohaqError("cannot read this file", where=str(file), why=str(error)) from None
    # Without data beside it a program can still be parsed and rewritten; passes that need the
    # arrays say so.
    parameters = ParameterStore.load(data) if data.is_file() else None
    return Input(str(file), text, file.parent, parameters)


def _near(path: Path) -> str | None:
    """Programs with such a name beside it."""
    if not path.parent.is_dir():
        return None
    beside = [
        p for p in path.parent.iterdir() if p.suffix == ".mlir" or (p / MODULE_FILE).is_file()
    ]
    hint = did_you_mean(path.name, (p.name for p in beside))
    return hint if hint and hint.startswith("did") else None


def _is_folder(output: str | None) -> bool:
    return output is not None and (
        Path(output).is_dir() or output.endswith("/") or not Path(output).suffix
    )


def _text(module: ModuleOp, *, generic: bool) -> str:
    if not generic:
        return f"{module!s}\n"  # !s: xDSL formats operations with a wrapper
    out = StringIO()
    Printer(stream=out, print_generic_format=True).print_op(module)
    return out.getvalue() + "\n"
