"""Operands, C fallbacks and assembly runs of the Epiphany kernels, for tests."""

import ctypes
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mohaq.backends.epiphany.analyzer import KERNELS, Executor, Memory, Program
from mohaq.backends.epiphany.analyzer.instructions import Slot

HEADER = Path(__file__).parents[2] / "backends/epiphany/kernels/mohaq_kernels.h"
WEIGHTS, GUARD = 0x1000, 64
CONFIG, INTEGER_MODE = 0x0040_0001, 0x0008_0000  # truncating float, something in the upper half
CALLEE_SAVED = (*range(4, 12), 13, 15, *range(32, 44))


@dataclass(frozen=True)
class Operands:
    """u [k, rows] offset-binary weights, x [k, steps], acc [rows, steps] uint32."""

    name: str
    u: npt.NDArray[np.int64]
    x: npt.NDArray[np.int64]
    acc: npt.NDArray[np.uint32]

    def packed_weights(self) -> bytes:
        """Weights in the kernels' layout."""
        bits = KERNELS[self.name].bits
        flat = self.u.reshape(-1).astype(np.int64)
        if bits == 16:
            return flat.astype("<u2").tobytes()
        fields = flat.reshape(-1, 8 // bits) << np.arange(0, 8, bits)
        packed: npt.NDArray[np.uint8] = fields.sum(axis=1).astype(np.uint8)
        return packed.tobytes()

    def packed_x(self) -> bytes:
        """Activations in the kernels' layout."""
        if "swar" in self.name:
            return (self.x[:, 0::2] + (self.x[:, 1::2] << 16)).astype("<u4").tobytes()
        return self.x.astype("<i4").tobytes()

    def expected(self) -> npt.NDArray[np.uint32]:
        """The statement of the kernels: acc + u^T x modulo 2^32."""
        product = self.u.T.astype(np.int64) @ self.x.astype(np.int64)
        return (self.acc.astype(np.int64) + product).astype(np.uint32)


def c_library(folder: Path) -> ctypes.CDLL:
    """The header's C fallbacks, compiled by the host's compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "the tests need a C compiler"
    lines = [f'#include "{HEADER}"']
    for name in KERNELS:
        kind = "uint32_t" if "swar" in name else "int32_t"
        lines.append(
            f"void c_{name}(const uint8_t *w, const {kind} *x, uint32_t *acc, uint32_t k)"
            f" {{ {name}(w, x, acc, k); }}"
        )
    source, library = folder / "kernels.c", folder / "kernels.so"
    source.write_text("\n".join(lines) + "\n")
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, str(source), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def run_c(library: ctypes.CDLL, operands: Operands) -> npt.NDArray[np.uint32]:
    """Accumulators after a call of the C fallback."""
    acc = np.ascontiguousarray(operands.acc)
    function = library[f"c_{operands.name}"]
    pointer = acc.ctypes.data_as(ctypes.c_void_p)
    function(operands.packed_weights(), operands.packed_x(), pointer, len(operands.u))
    return acc


def run_assembly(
    program: Program, operands: Operands, *, interrupts_off: bool = False
) -> npt.NDArray[np.uint32]:
    """Accumulators after a call of the assembly in a memory that allows its operands only.

    Checks the calling convention: callee-saved registers, stack pointer, CONFIG and STATUS as
    before; every read and write inside the operands or the frame below the stack pointer.
    """
    weights, x = operands.packed_weights(), operands.packed_x()
    x_at = WEIGHTS + len(weights) + GUARD + -len(weights) % 8
    acc_at = x_at + len(x) + GUARD
    stop = acc_at + operands.acc.nbytes
    frame = (WEIGHTS - GUARD - 64, WEIGHTS - GUARD)
    memory = Memory(
        max(0x8000, stop + GUARD),
        readable=[(WEIGHTS, WEIGHTS + len(weights)), (x_at, x_at + len(x)), (acc_at, stop), frame],
        writable=[(acc_at, stop), frame],
    )
    memory.data[WEIGHTS : WEIGHTS + len(weights)] = weights
    memory.data[x_at : x_at + len(x)] = x
    memory.data[acc_at:stop] = operands.acc.astype("<u4").tobytes()
    core = Executor(program, memory)
    rng = np.random.default_rng(len(operands.u))
    core.registers[:] = [int(r) for r in rng.integers(0, 1 << 32, 64)]
    core.special["config"] = CONFIG
    core.special["status"] = 2 if interrupts_off else 0
    before = [core.registers[r] for r in CALLEE_SAVED if r != 13]
    arguments = (WEIGHTS, x_at, acc_at, len(operands.u))
    start = program.entry(operands.name)
    others = [a for n, a in program.labels.items() if n in KERNELS and a > start]
    end = min(others, default=max(program.instructions) + 1)
    limit = 500 + 40 * len(operands.u)  # a changed kernel may never return
    for step in core.call(operands.name, arguments, stack=frame[1], limit=limit):
        assert start <= step.address < end
        if step.instruction.slot is Slot.FPU:
            assert core.special["config"] == CONFIG | INTEGER_MODE
    assert [core.registers[r] for r in CALLEE_SAVED if r != 13] == before
    assert core.registers[13] == frame[1]
    assert core.special["config"] == CONFIG
    assert core.special["status"] == (2 if interrupts_off else 0)
    result = np.frombuffer(bytes(memory.data[acc_at:stop]), "<u4").astype(np.uint32)
    return result.reshape(operands.acc.shape)


def draw(name: str, k: int, rng: np.random.Generator, extreme: bool = False) -> Operands:
    """Random operands in a kernel's range, or only the ends of the ranges."""
    shape = KERNELS[name]
    low, high = x_range(name)
    top = (1 << shape.bits) - 1
    if extreme:
        u = rng.choice([0, top], (k, shape.rows))
        x = rng.choice([low, high], (k, shape.steps))
    else:
        u = rng.integers(0, top, (k, shape.rows), endpoint=True)
        x = rng.integers(low, high, (k, shape.steps), endpoint=True)
    acc = rng.integers(0, 1 << 32, (shape.rows, shape.steps), dtype=np.uint64)
    return Operands(name, u.astype(np.int64), x.astype(np.int64), acc.astype(np.uint32))


def x_range(name: str) -> tuple[int, int]:
    """Activations that a kernel takes (mohaq_kernels.h)."""
    if "swar" in name:
        return 0, 255
    return (-(1 << 15), (1 << 15) - 1) if KERNELS[name].bits < 8 else (-(1 << 31), (1 << 31) - 1)
