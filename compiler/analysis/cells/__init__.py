"""Recognizing recurrent cells that come as loops or as elementwise code."""

from mohaq.compiler.analysis.cells.body import Body
from mohaq.compiler.analysis.cells.match import SUPPORTED, build, recognize, two_taps
from mohaq.compiler.analysis.cells.steps import recognize_steps
from mohaq.compiler.analysis.cells.templates import Guess

__all__ = ["SUPPORTED", "Body", "Guess", "build", "recognize", "recognize_steps", "two_taps"]
