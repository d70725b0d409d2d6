"""Epiphany: cycles per multiply-accumulate of the kernels beside plain C of the same sums.

    python -m mohaq.tools.bench.epiphany_kernels [--columns 256] [--markdown FILE]

All cycles are the analyzer's (a model of the pipeline, no hardware). Kernels come from the shipped
assembly; plain C from the cross compiler's own output where the toolchain is there
(tools/epiphany-toolchain.sh), and from the facts sheet's table (mark [M]: measured for that sheet
with the same compiler and a scoreboard of the same rules). Every compiled function is executed on
random operands and its sums are checked before its cycles are printed.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mohaq.backends.epiphany.analyzer import (
    KERNELS,
    Executor,
    Memory,
    Program,
    Scoreboard,
    Totals,
    kernel_bytes,
    kernel_cycles,
)
from mohaq.backends.epiphany.analyzer.disassembly import cross_tool, disassemble
from mohaq.compiler.files import write_text

SHEET = {
    "mohaq_mv8_w8": ("19.0 plain, 4.5 interleaved", "1.12"),
    "mohaq_mv8_w4": ("-", "1.12"),
    "mohaq_tile4_w8": ("2.0 interleaved, imadd", "1.02"),
    "mohaq_swar_w4a8": ("1.7-1.9 interleaved", "0.81"),
}
"""Facts sheet section 7, cycles per MAC [M]: C, and scheduled assembly with a hardware loop."""

ROWS = 8
STEPS = 4
PLAIN = """\
#include <stdint.h>
/* Row-major signed weights, {rows} rows; the product of a layer as one would first write it. */
#define WEIGHT_16 ((const int16_t *)w)[r * k + c]
#define WEIGHT_8 ((const int8_t *)w)[r * k + c]
#define WEIGHT_4 ((int32_t)(((const uint8_t *)w)[(r * k + c) / 2] >> (c % 2 * 4) << 28) >> 28)
#define WEIGHT_2 ((int32_t)(((const uint8_t *)w)[(r * k + c) / 4] >> (c % 4 * 2) << 30) >> 30)
#define VECTOR(bits) \\
void plain_mv_w##bits(const void *w, const int16_t *x, int32_t *acc, uint32_t k) \\
{{ \\
    for (uint32_t r = 0; r < {rows}; r++) {{ \\
        int32_t sum = 0; \\
        for (uint32_t c = 0; c < k; c++) {{ sum += WEIGHT_##bits * x[c]; }} \\
        acc[r] = sum; \\
    }} \\
}}
#define BATCH(bits) \\
void plain_batch_w##bits(const void *w, const int16_t *x, int32_t *acc, uint32_t k) \\
{{ \\
    for (uint32_t r = 0; r < {rows}; r++) {{ \\
        for (uint32_t t = 0; t < {steps}; t++) {{ \\
            int32_t sum = 0; \\
            for (uint32_t c = 0; c < k; c++) {{ sum += WEIGHT_##bits * x[t * k + c]; }} \\
            acc[r * {steps} + t] = sum; \\
        }} \\
    }} \\
}}
VECTOR(16) VECTOR(8) VECTOR(4) VECTOR(2)
BATCH(16) BATCH(8) BATCH(4) BATCH(2)
"""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plain:
    """A compiled function's run: cycles per MAC and its totals."""

    per_mac: float
    totals: Totals


def compile_plain(folder: Path, level: str) -> Program | None:
    """The functions of `PLAIN` through the cross compiler; None without a toolchain."""
    compiler, objdump = cross_tool("gcc"), cross_tool("objdump")
    if compiler is None or objdump is None:
        return None
    source, target = folder / "plain.c", folder / "plain.o"
    source.write_text(PLAIN.format(rows=ROWS, steps=STEPS))
    command = [str(compiler), level, "-mfp-mode=int", "-std=c11", "-c", str(source)]
    subprocess.run([*command, "-o", str(target)], check=True)
    return disassemble(objdump, target)[".text"]


def run_plain(program: Program, kind: str, bits: int, columns: int) -> Plain:
    """Execute `plain_KIND_wBITS` on random operands, check its sums, count its cycles.

    Raises:
        AssertionError: the compiled code computed something else.
    """
    rng = np.random.default_rng(bits)
    steps = STEPS if kind == "batch" else 1
    half = 1 << (bits - 1)
    w = rng.integers(-half, half, (ROWS, columns))
    x = rng.integers(-100, 100, (steps, columns))
    memory = Memory(1 << 17)
    at = {"w": 0x1000, "x": 0x10000, "acc": 0x18000}
    for name, data in (("w", _packed(w, bits)), ("x", x.astype("<i2").tobytes())):
        memory.data[at[name] : at[name] + len(data)] = data
    core = Executor(program, memory)
    core.special["config"] = 0x0008_0000  # a function of an integer file is entered so
    board = Scoreboard()
    arguments = (at["w"], at["x"], at["acc"], columns)
    for step in core.call(f"plain_{kind}_w{bits}", arguments, stack=0x1FFF0):
        board.issue(step.instruction, taken=step.taken, loop_end=step.loop_end)
    found = np.frombuffer(bytes(memory.data), "<i4", ROWS * steps, at["acc"])
    assert (found.reshape(ROWS, steps) == w @ x.T).all(), f"plain_{kind}_w{bits} is wrong"
    return Plain(board.totals.cycles / (ROWS * steps * columns), board.totals)


def _packed(w: npt.NDArray[np.int64], bits: int) -> bytes:
    if bits >= 8:
        return bytes(w.astype(f"<i{bits // 8}").tobytes())
    fields = (w & (1 << bits) - 1).reshape(-1, 8 // bits) << np.arange(0, 8, bits)
    return bytes(fields.sum(axis=1).astype(np.uint8).tobytes())


def bench(columns: int, tell: Tell) -> None:
    """Print the tables."""
    plain: dict[tuple[str, str, int], Plain] = {}
    levels = ("-O3", "-O2")
    with tempfile.TemporaryDirectory() as folder:
        for level in levels:
            program = compile_plain(Path(folder), level)
            for kind in ("mv", "batch"):
                for bits in (2, 4, 8, 16):
                    if program is not None:
                        plain[level, kind, bits] = run_plain(program, kind, bits, columns)
    tell(f"Cycles per MAC by the analyzer, {columns} columns a call; loop: over many columns.")
    tell("")
    tell(
        "| kernel | loop | call | bytes | plain C -O3 | -O2 | -O3 / kernel | "
        "sheet: C [M] | sheet: asm [M] |"
    )
    tell("|---|---|---|---|---|---|---|---|---|")
    for name, shape in KERNELS.items():
        macs = columns * shape.macs
        calls = kernel_cycles(name, columns)
        loop = (kernel_cycles(name, 1024) - kernel_cycles(name, 512)) / (512 * shape.macs)
        kind = "mv" if shape.steps == 1 else "batch"
        cells = [plain.get((level, kind, shape.bits)) for level in levels]
        c_text = " | ".join(f"{c.per_mac:.1f}" if c else "no compiler" for c in cells)
        ratio = f"{cells[0].per_mac * macs / calls:.1f}" if cells[0] else "-"
        sheet = " | ".join(SHEET.get(name, ("-", "-")))
        tell(
            f"| {name} | {loop:.3f} | {calls / macs:.3f} | {kernel_bytes(name)} | "
            f"{c_text} | {ratio} | {sheet} |"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--columns", type=int, default=256, help="a multiple of 4, at most 512")
    parser.add_argument("--markdown", type=Path, help="write the table to this file as well")
    options = parser.parse_args(arguments)
    if options.columns % 4 or not 4 <= options.columns <= 512:
        parser.error(f"--columns {options.columns} is not a multiple of 4 from 4 to 512")
    lines: list[str] = []

    def tell(line: str) -> None:
        print(line)
        lines.append(line)

    bench(options.columns, tell)
    if options.markdown is not None:
        write_text(options.markdown, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
