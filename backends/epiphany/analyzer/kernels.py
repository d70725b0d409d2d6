"""Cycles and code size of the shipped kernels, derived from the text of `mohaq_kernels.S`.

A call is executed with zero operands (no branch of a kernel depends on data) and its stream goes
through the scoreboard. Kernels work in chunks of at most `PERIOD` columns, so for more than
2 * PERIOD columns the count grows by the same number of cycles for each further PERIOD; that part
is extrapolated, and a test compares it with direct execution.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from mohaq.backends.epiphany.analyzer.executor import LOCAL_BYTES, Executor, Memory, Step
from mohaq.backends.epiphany.analyzer.parser import Program, parse
from mohaq.backends.epiphany.analyzer.scoreboard import Scoreboard, Timing, Totals
from mohaq.compiler.diagnostics import MohaqError, did_you_mean

PERIOD = 256
_FILE = "mohaq_kernels.S"


@dataclass(frozen=True)
class Shape:
    """What one call of a kernel does: rows, time steps, weight bits, bytes of x a column."""

    rows: int
    steps: int
    bits: int
    x_bytes: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one column."""
        return self.rows * self.steps


KERNELS: dict[str, Shape] = {
    **{f"mohaq_mv8_w{b}": Shape(8, 1, b, 4) for b in (2, 4, 8, 16)},
    **{f"mohaq_tile4_w{b}": Shape(4, 4, b, 16) for b in (2, 4, 8, 16)},
    "mohaq_swar_w4a8": Shape(4, 4, 4, 8),
}


class KernelError(MohaqError):
    """A kernel or column count that does not exist."""


@cache
def kernel_text() -> str:
    """The shipped assembly."""
    return (resources.files("mohaq.backends.epiphany.kernels") / _FILE).read_text("ascii")


@cache
def kernel_program() -> Program:
    """The shipped assembly, decoded."""
    return parse(kernel_text(), _FILE)


def kernel_bytes(name: str) -> int:
    """Bytes of one kernel's code section, a multiple of its alignment of 8.

    Raises:
        KernelError: no kernel has this name.
    """
    _check(name)
    program = kernel_program()
    start = program.entry(name)
    following = [a for n, a in program.labels.items() if n in KERNELS and a > start]
    stop = min(following, default=max(program.instructions) + 4)
    last = max(a for a in range(start, stop, 2) if _is_code(program, a))
    return -(-(last + program.instructions[last].size - start) // 8) * 8


def _is_code(program: Program, address: int) -> bool:
    instruction = program.instructions.get(address)
    return instruction is not None and instruction.line > 0


def _check(name: str) -> None:
    if name not in KERNELS:
        raise KernelError(f"no kernel {name!r}", hint=did_you_mean(name, KERNELS))


def steps(program: Program, name: str, k: int, executor: Executor | None = None) -> Iterator[Step]:
    """Execute one call with operands of zero in a memory just large enough."""
    shape = KERNELS[name]
    weights, x = 0x2000, 0x2000 + -(-shape.rows * k * shape.bits // 64) * 8
    accumulators = x + shape.x_bytes * k
    size = max(LOCAL_BYTES, accumulators + 4 * shape.macs + 0x100)
    core = executor or Executor(program, Memory(size))
    return core.call(name, (weights, x, accumulators, k), stack=0x1FF0)


def measure(program: Program, name: str, k: int, timing: Timing | None = None) -> Totals:
    """Cycles, pairs and stalls of one call, from the first instruction to the return's bubbles.

    Raises:
        KernelError: no such kernel, or k is not a multiple of 4.
    """
    _check(name)
    if k < 0 or k % 4:
        raise KernelError(f"{name} takes a multiple of 4 columns, not {k}")
    board = Scoreboard(timing)
    return board.run((s.instruction, s.taken, s.loop_end) for s in steps(program, name, k))


@cache
def kernel_cycles(name: str, k: int, timing: Timing | None = None) -> int:
    """Cycles of one call of a shipped kernel on k columns.

    From the call instruction to the cycle after the return's bubbles: the call (1 + taken branch),
    the kernel and the return; loading the four arguments is the caller's.

    Args:
        name: a key of `KERNELS`.
        k: columns, a multiple of 4.
        timing: machine parameters; the defaults round to nearest.

    Raises:
        KernelError: no such kernel, or k is not a multiple of 4.
    """
    if k >= 3 * PERIOD:
        base = 2 * PERIOD + k % PERIOD
        slope = kernel_cycles(name, 2 * PERIOD, timing) - kernel_cycles(name, PERIOD, timing)
        return kernel_cycles(name, base, timing) + (k - base) // PERIOD * slope
    call = 1 + (timing or Timing()).taken_branch
    return call + measure(kernel_program(), name, k, timing).cycles
