"""Static cycle analyzer and executor of Epiphany assembly (docs/isa/epiphany-kernels.md)."""

from mohaq.backends.epiphany.analyzer.executor import Executor, Fault, Memory
from mohaq.backends.epiphany.analyzer.kernels import (
    KERNELS,
    kernel_bytes,
    kernel_cycles,
    kernel_program,
)
from mohaq.backends.epiphany.analyzer.listing import annotate
from mohaq.backends.epiphany.analyzer.parser import Program, parse, parse_instruction
from mohaq.backends.epiphany.analyzer.scoreboard import Scoreboard, Timing, Totals

__all__ = [
    "KERNELS",
    "Executor",
    "Fault",
    "Memory",
    "Program",
    "Scoreboard",
    "Timing",
    "Totals",
    "annotate",
    "kernel_bytes",
    "kernel_cycles",
    "kernel_program",
    "parse",
    "parse_instruction",
]
