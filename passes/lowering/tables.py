"""Function tables as constants of the program (DESIGN D5).

A table is 256 segments with lines between their ends, unless a layer says otherwise
(`TableForm`): fewer segments, or steps without lines.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from mohaq.compiler.analysis.table_form import DEFAULT_FORM, STEPS, TableForm
from mohaq.compiler.dialects.nn import FunctionAttr
from mohaq.compiler.dialects.qnn.table import INPUT_BITS, TABLE_SIZE
from mohaq.compiler.interpreters.integer import interpolate

SIGMOID = "sigmoid"

ONE = 1 << 15
"""1.0 of the table results (Q0.15); the largest result is 32767."""

WIDE = 2.0**-11
"""Step of the inputs of a table over [-16, 16): Q4.11."""

NARROW = 2.0**-12
"""Step of the inputs of a table over [-8, 8): Q3.12. tanh(8) is one but for 2.3e-7."""


def sigmoid_points() -> list[int]:
    """sigmoid at -16, -15.875, ..., 16 (inputs Q4.11), rounded half up to Q0.15.

    With linear interpolation the error against sigmoid is below 2.2e-4, of which (1/8)^2 / 8
    times max|sigmoid''| = 1.9e-4 is the interpolation's.
    """
    step = 16.0 / ((TABLE_SIZE - 1) / 2)
    return [
        min(ONE - 1, math.floor(ONE / (1.0 + math.exp(16.0 - i * step)) + 0.5))
        for i in range(TABLE_SIZE)
    ]


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def _hard_sigmoid(x: float, alpha: float, beta: float) -> float:
    return min(1.0, max(0.0, alpha * x + beta))


FORMULAS: dict[str, Callable[..., float]] = {
    SIGMOID: _sigmoid,
    "tanh": math.tanh,
    "softsign": lambda x: x / (1.0 + abs(x)),
    "hard_sigmoid": _hard_sigmoid,
    "scaled_tanh": lambda x, alpha, beta: alpha * math.tanh(beta * x),
}


def input_step(function: FunctionAttr) -> float:
    """Real value of one step of the table's input; the table covers 65,536 steps around 0."""
    return NARROW if function.kind == "tanh" else WIDE


def table_name(function: FunctionAttr, form: TableForm = DEFAULT_FORM) -> str:
    """Symbol of the table: the function's name and parameters, and a form that is not usual."""
    parts = [repr(v).replace(".", "p").replace("-", "m").replace("+", "") for v in function.values]
    if form != DEFAULT_FORM:
        parts.append(f"{form.kind}{form.segments}")
    return "_".join([function.kind, *parts])


def table_points(function: FunctionAttr, form: TableForm = DEFAULT_FORM) -> list[int]:
    """The points of a function's table, rounded half up to Q0.15, at most 32767.

    Lines: all but the usual sigmoid have their points moved by half the error that the chords
    on both sides of it have in their middles, (e_left + e_right) / 4, so that the error of the
    interpolation is spread to both signs and its largest value halves.

    Steps: the middle between the function's values at the step's first and last input, which
    halves the largest error of a function that rises or falls.
    """
    if form == DEFAULT_FORM and function.kind == SIGMOID:
        return sigmoid_points()
    formula, values, step = FORMULAS[function.kind], function.values, input_step(function)
    count, half = form.segments, form.segments // 2
    inputs = (1 << INPUT_BITS) // count

    def at(position: float) -> float:
        return formula((position - half) * (inputs * step), *values)

    def middle(i: int) -> float:
        """Error of the chord of segment i in its middle; outside the table 0."""
        if not 0 <= i < count:
            return 0.0
        return at(i + 0.5) - (at(i) + at(i + 1)) / 2

    if form.kind == STEPS:
        points = [(at(i) + at(i + 1 - 1 / inputs)) / 2 for i in range(count)]
    else:
        points = [at(i) + (middle(i - 1) + middle(i)) / 4 for i in range(count + 1)]
    return [max(-ONE, min(ONE - 1, math.floor(p * ONE + 0.5))) for p in points]


@cache
def largest_error(function: FunctionAttr, form: TableForm = DEFAULT_FORM) -> float:
    """Largest |table - function| over all 65,536 inputs."""
    inputs = np.arange(-(1 << (INPUT_BITS - 1)), 1 << (INPUT_BITS - 1))
    made = interpolate(inputs, np.array(table_points(function, form), dtype=np.int64)) / ONE
    formula, values, step = FORMULAS[function.kind], function.values, input_step(function)
    real = np.array([formula(x * step, *values) for x in inputs.tolist()])
    return float(np.abs(made - real).max())
