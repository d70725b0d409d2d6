"""ONNX's own node tests through our importer and the float interpreter.

A case either passes at its tolerance or the importer refuses it with one clear message; anything
else fails. For the recurrent operators and the ones about grids the reasons are listed here.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

import mohaq
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.frontends.onnx import supported
from mohaq.compiler.interpreters.float_nn import run_float
from mohaq.compiler.program import argument_names

RECURRENT = {"LSTM", "GRU", "RNN"}
GRIDS = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearMatMul",
         "QLinearConv", "MatMulInteger", "ConvInteger"}  # fmt: skip
LOOPS = {"Scan", "Loop"}
WEIGHTS = (1, 2, 3, 7)
"""Inputs of LSTM, GRU and RNN that a model holds as constants; the node tests feed them."""

COARSE = {"bfloat16": 8e-3, "float16": 1e-3}
"""Relative error of kinds of floats that we compute in float32 instead."""

ELEMENTWISE = {"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean", "MatMul", "Concat",
               "Equal", "Less", "Greater", "Where", "LessOrEqual", "GreaterOrEqual", "And", "Or",
               "Scan", "Loop", "If"}  # fmt: skip
"""Operators whose further inputs are data like the first."""


@cache
def cases() -> tuple[Any, ...]:
    return tuple(load_model_tests(kind="node"))


def kinds(case: Any) -> set[str]:
    return {n.op_type for n in case.model.graph.node}


def plain(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def constants(case: Any) -> dict[str, Any]:
    """What a real model would hold as constants: weights, axes, scales."""
    given = dict(zip((i.name for i in case.model.graph.input), case.data_sets[0][0], strict=False))
    found = {}
    for node in case.model.graph.node:
        if node.op_type in ELEMENTWISE:
            continue
        places = WEIGHTS if node.op_type in RECURRENT else range(1, len(node.input))
        for place in places:
            name = node.input[place] if place < len(node.input) else ""
            if name in given and not isinstance(given[name], list):
                found[name] = plain(given[name])
    return found


def outcome(case: Any) -> str:
    """`pass`, or the reason of the refusal.

    Raises:
        AssertionError: wrong values.
    """
    try:
        program = mohaq.load(case.model, constants=constants(case))
        names = [i.name for i in case.model.graph.input]
        for inputs, expected in case.data_sets:
            feeds = {n: plain(v) for n, v in zip(names, inputs, strict=False)}
            made = run_float(program, [feeds[n or ""] for n in argument_names(program.entry)])
            for ours, theirs in zip(made, expected, strict=True):
                wanted = np.asarray(plain(theirs))
                assert ours.shape == wanted.shape, case.name
                np.testing.assert_allclose(
                    ours,
                    wanted.astype(np.float64),
                    rtol=max(case.rtol, COARSE.get(wanted.dtype.name, 1e-5)),
                    atol=max(case.atol, 1e-6),
                    err_msg=case.name,
                )
    except MohaqError as error:
        return error.why or error.what
    return "pass"


@pytest.mark.parametrize("kind", sorted(RECURRENT))
def test_all_recurrent_cases_pass(kind: str) -> None:
    chosen = [c for c in cases() if kind in kinds(c)]
    assert len(chosen) >= 4
    assert {c.name: outcome(c) for c in chosen} == {c.name: "pass" for c in chosen}


REASONS = (
    # quantized operators: a model of one Q or DQ node begins or ends in an integer tensor
    "uint8", "int8", "uint16", "int16", "uint4", "int4", "uint2", "int2",
    "an integer tensor", "integer tensor",
    # number formats without an integer grid
    "float8e4m3fn", "float8e5m2", "float4e2m1", "float8", "float4",
    "scales belong to blocks",
    # operators that compute with integers at run time
    "computed from the data", "no such operation", "turns reals", "expected a float32",
    # sequences of tensors, optional values, truth values as inputs
    "no tensor", "bool",
    # Scan and Loop bodies that are no recurrent cell
    "no recurrent cell", "cell", "carries", "states are not [B, n]", "condition", "trip count", "batch", "no sequences", "opset 8",
)  # fmt: skip
"""Words of the reasons for which cases with grids and loops may be refused."""


def test_cases_with_grids_and_loops_pass_or_say_why() -> None:
    chosen = [c for c in cases() if kinds(c) & (GRIDS | LOOPS)]
    assert len(chosen) >= 30
    odd = {
        c.name: what
        for c in chosen
        if (what := outcome(c)) != "pass" and not any(r in what for r in REASONS)
    }
    assert not odd


def test_every_other_operator_that_we_import_passes_or_refuses() -> None:
    """Nothing but a pass or one MohaqError, over all node tests of the operators we know."""
    known = set(supported())
    chosen = [c for c in cases() if kinds(c) & known and not kinds(c) & (GRIDS | LOOPS)]
    found = Counter("pass" if outcome(c) == "pass" else "refused" for c in chosen)
    assert found["pass"] >= 625, found
