"""What `mohaq-opt` can tell about a run of passes: texts, differences, times, numbers."""

from __future__ import annotations

import difflib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import safe_name, write_text
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.program import Program, argument_grids, result_grids
from mohaq.tools.boundary import CheckFailed

Text = Callable[[ModuleOp], str]
Arrays = tuple[npt.NDArray[np.float64], ...]


class Observer:
    """Sees the program before the first pass and after each one."""

    def begin(self, module: ModuleOp) -> None:
        """Before the first pass."""

    def before(self, one: ModulePass) -> None:
        """Just before a pass."""

    def after(self, one: ModulePass, module: ModuleOp) -> None:
        """Just after a pass."""

    def end(self) -> None:
        """After the last pass."""


@dataclass
class Printed(Observer):
    """`--print-ir-after`: the text after a pass, or after all, on standard error."""

    wanted: str
    text: Text

    def after(self, one: ModulePass, module: ModuleOp) -> None:
        """Print it."""
        if self.wanted in ("all", one.name):
            print(f"// IR after {one.name}\n{self.text(module)}", file=sys.stderr)


@dataclass
class Differences(Observer):
    """`--print-ir-diff`: what each pass changed, as a unified diff on standard error."""

    text: Text
    last: list[str] = field(default_factory=list)
    name: str = "input"

    def begin(self, module: ModuleOp) -> None:
        """Remember the input."""
        self.last = self.text(module).splitlines()

    def after(self, one: ModulePass, module: ModuleOp) -> None:
        """Print what changed."""
        now = self.text(module).splitlines()
        changes = difflib.unified_diff(self.last, now, self.name, one.name, lineterm="", n=2)
        lines = list(changes)
        print("\n".join(lines or [f"// {one.name} changed nothing"]), file=sys.stderr)
        self.last, self.name = now, one.name


@dataclass
class Dumped(Observer):
    """`--dump-dir`: one numbered file for the input and for each pass."""

    folder: Path
    text: Text
    count: int = 0

    def begin(self, module: ModuleOp) -> None:
        """Write the input.

        Raises:
            MohaqError: the folder holds other dumps.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if any(self.folder.iterdir()):
            raise MohaqError(
                "the folder for the dumps is not empty",
                where=str(self.folder),
                hint="give a new one: old and new files would be mixed up",
            )
        self._write("input", module)

    def after(self, one: ModulePass, module: ModuleOp) -> None:
        """Write the program."""
        self._write(one.name, module)

    def _write(self, title: str, module: ModuleOp) -> None:
        name = safe_name(title).replace("_", "-")
        write_text(self.folder / f"{self.count:02d}-{name}.mlir", self.text(module))
        self.count += 1


@dataclass
class Times(Observer):
    """`--time-passes`: seconds of each pass, on standard error."""

    spent: list[tuple[str, float, int]] = field(default_factory=list)
    start: float = 0.0

    def before(self, one: ModulePass) -> None:  # noqa: ARG002
        """Start the clock."""
        self.start = time.perf_counter()

    def after(self, one: ModulePass, module: ModuleOp) -> None:
        """Stop it."""
        seconds = time.perf_counter() - self.start
        self.spent.append((one.name, seconds, sum(1 for _ in module.walk())))

    def end(self) -> None:
        """Print the table; verification between passes is not in it."""
        total = sum(seconds for _, seconds, _ in self.spent) or 1.0
        print(f"{'seconds':>9} {'share':>6} {'operations':>10}  pass", file=sys.stderr)
        for name, seconds, ops in self.spent:
            print(f"{seconds:9.4f} {seconds / total:6.1%} {ops:10d}  {name}", file=sys.stderr)
        print(f"{sum(s for _, s, _ in self.spent):9.4f} {'':6} {'':10}  all", file=sys.stderr)


@dataclass
class Checked(Observer):
    """`--check-each`: every pass must leave the program's outputs as they were.

    Programs of layers are compared within a tolerance, integer programs exactly. Where a pass
    turns one kind into the other, or into a backend's own operations that no interpreter knows,
    that is said, and the comparison starts anew.
    """

    inputs: Sequence[npt.NDArray[np.float32]]
    parameters: ParameterStore
    tolerance: float
    last: tuple[str, Arrays] | None = None

    def begin(self, module: ModuleOp) -> None:
        """Run the input program."""
        self.last = self._run(module)

    def after(self, one: ModulePass, module: ModuleOp) -> None:
        """Run the program and compare.

        Raises:
            CheckFailed: the pass changed the outputs.
        """
        now = self._run(module)
        before, self.last = self.last, now
        if before is None or now is None:
            print(f"// {one.name}: not compared, no interpreter knows it", file=sys.stderr)
            return
        worst, size = _distance(before[1], now[1])
        if before[0] != now[0]:
            print(
                f"// {one.name}: {before[0]} to {now[0]}, outputs differ by at most {worst:.3g}",
                file=sys.stderr,
            )
            return
        allowed = 0.0 if now[0] == "integers" else self.tolerance * max(1.0, size)
        if not worst <= allowed:
            raise CheckFailed(
                f"pass '{one.name}' changed the outputs by up to {worst:.3g}"
                f" (allowed: {allowed:.3g})"
            )
        print(f"// {one.name}: outputs as before", file=sys.stderr)

    def _run(self, module: ModuleOp) -> tuple[str, Arrays] | None:
        from mohaq.compiler.interpreters.float_nn import run_float
        from mohaq.compiler.interpreters.integer import run_integer
        from mohaq.compiler.quantizer import dequantize, quantize

        program = Program(module, self.parameters)
        kinds = {op.name.partition(".")[0] for op in program.entry.body.walk()}
        kinds -= {"func", "param", "builtin"}
        if kinds <= {"nn"}:
            found = run_float(program, self.inputs)
            return "layers", tuple(np.asarray(v, dtype=np.float64) for v in found)
        if kinds <= {"qnn"}:
            grids = zip(self.inputs, argument_grids(program.entry), strict=True)
            given = [v if g is None else quantize(v, g) for v, g in grids]
            results = zip(run_integer(program, given), result_grids(program.entry), strict=True)
            held = [
                np.asarray(v, np.float64) if g is None else dequantize(v, g) for v, g in results
            ]
            return "integers", tuple(np.asarray(v, dtype=np.float64) for v in held)
        return None


def _distance(a: Arrays, b: Arrays) -> tuple[float, float]:
    """(largest difference, largest value); infinite when shapes differ."""
    if [x.shape for x in a] != [x.shape for x in b]:
        return float("inf"), 0.0
    worst = max((float(np.abs(x - y).max()) for x, y in zip(a, b, strict=True)), default=0.0)
    return worst, max((float(np.abs(x).max()) for x in a), default=0.0)
