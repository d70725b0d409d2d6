"""`mohaq-opt`: read a program, run a textual pipeline on it, write it.

    mohaq-opt model/ -p "uniform{bits=8},lower-to-qnn" -o out/
    mohaq-opt program.mlir -p canonicalize --print-ir-diff --time-passes
    mohaq-opt model/ -p "uniform{bits=8},lower-to-qnn,simplify-integers" --check-each inputs.npz
    mohaq-opt bad.mlir --replay

`mohaq passes` lists all passes with their options.

With --verify-diagnostics each chunk that holds `// expected-error {{text}}` must fail with
that text, and every other chunk must pass.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.printer import Printer

from mohaq.compiler.data import load_dataset
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
from mohaq.tools.boundary import CheckFailed, boundary
from mohaq.tools.observers import Checked, Differences, Dumped, Observer, Printed, Times
from mohaq.tools.pipelines import all_passes, full_context, run_passes

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


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    try:
        with boundary():
            args = _parser().parse_args(argv)
            if args.list_passes:
                print("\n".join(all_passes()))
                return 0
            _run(
                Options(
                    source=args.input,
                    pipeline=args.pipeline,
                    output=args.output,
                    print_ir_after=args.print_ir_after,
                    print_ir_diff=args.print_ir_diff,
                    dump_dir=args.dump_dir,
                    time_passes=args.time_passes,
                    check_each=args.check_each,
                    tolerance=args.tolerance,
                    reproducer=args.reproducer,
                    replay=args.replay,
                    verify_each=args.verify_each,
                    split_input=args.split_input_file,
                    verify_diagnostics=args.verify_diagnostics,
                    generic=args.print_op_generic,
                )
            )
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mohaq-opt",
        description=(__doc__ or "").partition(":")[2].strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("input", nargs="?", default="-", help="program folder, .mlir file, or - for stdin")
    add("-p", "--pipeline", default="", help='passes, as in "a{x=1},b" (see --list-passes)')
    add("-o", "--output", help="a .mlir file, or a folder that also gets the parameters")
    add("--print-ir-after", metavar="PASS", help="print the program to stderr after PASS, or all")
    add("--print-ir-diff", action="store_true", help="print what each pass changed to stderr")
    add("--dump-dir", metavar="DIR", help="write the program after each pass into a new folder")
    add("--time-passes", action="store_true", help="print the seconds of each pass to stderr")
    add(
        "--check-each",
        metavar="FILE",
        help="run the program before and after each pass on the first sequence of this data set "
        "(.npz, .safetensors) and name the pass that changed its outputs",
    )
    add("--tolerance", type=float, default=1e-5, help="of --check-each, relative (1e-5)")
    add(
        "--reproducer",
        metavar="FILE",
        help="when a pass fails, write the program in front of it and the passes that are left",
    )
    add("--replay", action="store_true", help="run the passes that a reproducer names")
    add("--no-verify-each", dest="verify_each", action="store_false", help="verify only at the end")
    add("--list-passes", action="store_true", help="print the names of all passes")
    add("--split-input-file", action="store_true", help="treat parts between // ----- separately")
    add("--verify-diagnostics", action="store_true", help="check // expected-error {{text}}")
    add("--print-op-generic", action="store_true", help="print operations in generic form")
    return parser


def _run(options: Options) -> None:
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
        raise MohaqError("no such program", where=str(file)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise MohaqError("cannot read this file", where=str(file), why=str(error)) from None
    # Without data beside it a program can still be parsed and rewritten; passes that need the
    # arrays say so.
    parameters = ParameterStore.load(data) if data.is_file() else None
    return Input(str(file), text, file.parent, parameters)


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


if __name__ == "__main__":
    sys.exit(main())
