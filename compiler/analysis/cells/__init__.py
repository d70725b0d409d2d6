"""Recognizing recurrent cells that come as loops or as elementwise code."""

from mohaq.compiler.analysis.cells.body import Body
from mohaq.compiler.analysis.cells.match import CLIPPED, SUPPORTED, build, recognize, two_taps
from mohaq.compiler.analysis.cells.steps import recognize_steps
from mohaq.compiler.analysis.cells.templates import Guess

__all__ = [
    "CLIPPED",
    "SUPPORTED",
    "Body",
    "Guess",
    "build",
    "recognize",
    "recognize_steps",
    "two_taps",
]
