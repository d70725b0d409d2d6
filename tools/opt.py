"""`mohaq-opt`: read a program, run a textual pipeline on it, write it.

    mohaq-opt model/ -p "uniform{bits=8},lower-to-qnn" -o out/
    mohaq-opt program.mlir -p canonicalize --print-ir-diff --time-passes
    mohaq-opt model/ -p "uniform{bits=8},lower-to-qnn,simplify-integers" --check-each inputs.npz
    mohaq-opt bad.mlir --replay

With --verify-diagnostics each chunk that holds `// expected-error {{text}}` must fail with
that text, and every other chunk must pass.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.tools.boundary import boundary
from mohaq.tools.catalogue import all_passes

SHELLS = ("bash", "zsh", "fish")

# This module imports no numpy, xDSL or pass, so that --help and completion are quick.


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = command_line()
    if "_ARGCOMPLETE" in os.environ:
        from mohaq.tools.completion import complete_opt

        complete_opt(parser)
    try:
        with boundary():
            args, rest = parser.parse_known_args(argv)
            _require_known(rest, parser)
            if args.print_completion:
                from mohaq.tools.completion import opt_script

                sys.stdout.write(opt_script(args.print_completion))
                return 0
            if args.list_passes:
                print("\n".join(all_passes()))
                return 0
            from mohaq.tools.opt_driver import Options, run_opt

            run_opt(
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


class _Parser(argparse.ArgumentParser):
    """Lists the passes in its help; has one form of messages with all commands."""

    def format_help(self) -> str:
        """The help, with all passes."""
        return super().format_help() + _passes_help()

    def error(self, message: str) -> NoReturn:
        """The command line cannot be read: one message, exit code 2."""
        raise MohaqError(message, hint="mohaq-opt --help lists options and passes")


def _require_known(rest: Sequence[str], parser: argparse.ArgumentParser) -> None:
    """Refuse what the parser left over, with the options that it could have been."""
    for word in rest:
        name = word.partition("=")[0]
        if not name.startswith("-"):
            raise MohaqError(f"one program at a time: what is '{word}'?")
        known = [o for o in parser._option_string_actions if o.startswith("--")]
        raise MohaqError(f"no option '{name}'", hint=did_you_mean(name, known))


def _passes_help() -> str:
    found = all_passes()
    lines = ["", "passes:"]
    for one in found.descriptions():
        lines += [f"  {one.name}", *(f"      {line}".rstrip() for line in one.doc.splitlines())]
        lines += [f"        {option}" for option in one.options]
    if found.broken:
        lines += ["", "plug-ins that cannot be used:"]
        lines += [f"  {error.message()}" for error in found.broken]
    return "\n".join(lines) + "\n"


def command_line() -> argparse.ArgumentParser:
    """The arguments of `mohaq-opt`."""
    parser = _Parser(
        prog="mohaq-opt",
        description=(__doc__ or "").partition(":")[2].strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("input", nargs="?", default="-", help="program folder, .mlir file, or - for stdin")
    add("-p", "--pipeline", default="", help='passes, as in "a{x=1 y=2},b"; below')
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
    add(
        "--print-completion",
        metavar="SHELL",
        choices=SHELLS,
        help="print a script for completion of passes, options and files in bash, zsh or fish",
    )
    add("--split-input-file", action="store_true", help="treat parts between // ----- separately")
    add("--verify-diagnostics", action="store_true", help="check // expected-error {{text}}")
    add("--print-op-generic", action="store_true", help="print operations in generic form")
    return parser


if __name__ == "__main__":
    sys.exit(main())
