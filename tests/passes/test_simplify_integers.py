"""canonicalize, cse and simplify-integers change no bit, and targets take what they leave."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from family import KINDS, Drawn, granularity, layers, moved_zero
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import calibrated
from xdsl.ir import Operation

from mohaq.backends.base import Options
from mohaq.backends.bitfusion import BACKEND as BITFUSION
from mohaq.backends.reference import BACKEND as REFERENCE
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.assignment import Assignment
from mohaq.compiler.context import MohaqContext
from mohaq.compiler.dialects import qnn
from mohaq.compiler.dialects.types import int_range, int_width
from mohaq.compiler.interpreters.integer import run_integer
from mohaq.compiler.parameters import ParameterStore
from mohaq.compiler.program import Program, argument_grids, parse_module
from mohaq.compiler.quantizer import quantize
from mohaq.compiler.search.frames import Ragged
from mohaq.compiler.search.plan import compile_plan
from mohaq.passes.apply_assignment import apply_assignment
from mohaq.passes.calibrate import calibrate
from mohaq.passes.lower_to_qnn import lower_to_qnn
from mohaq.passes.registry import build_pipeline
from mohaq.passes.registry import core_passes as passes
from mohaq.passes.simplify_integers import simplify_integers

PIPELINES = ("canonicalize", "cse", "simplify-integers", "canonicalize,cse,simplify-integers")
WIDTHS = (2, 4, 8, 16)
BACKENDS = [(REFERENCE, "reference"), (BITFUSION, "bitfusion-e")]
ON_BIT_FUSION = ("sru",)
"""Recurrent kinds that Bit Fusion runs."""


def program(text: str, **arrays: np.ndarray) -> Program:
    store = ParameterStore(arrays)
    made = Program(parse_module(text, MohaqContext(parameters=store), "test"), store)
    made.verify()
    return made


def simplified(made: Program, pipeline: str = PIPELINES[-1]) -> Program:
    done = made.clone()
    ctx = done.context()
    for step in build_pipeline(pipeline, passes()):
        step.apply(ctx, done.module)
        done.verify()
    return done


def lowered(drawn: Drawn, bits: int, seed: int) -> tuple[Program, list[Any]]:
    annotated = drawn.program
    calibrate(annotated, [drawn.inputs[0][:, 0]], granularity(seed))
    moved_zero(annotated, seed)
    slots = calibrated_table(annotated).searched()
    apply_assignment(annotated, Assignment.uniform(bits).complete(slots))
    made = lower_to_qnn(annotated)
    grids = argument_grids(made.entry)
    return made, [quantize(x, g) for x, g in zip(drawn.inputs, grids, strict=True) if g]


def without_bias(drawn: Drawn, seed: int) -> None:
    """Biases of zeros in some programs."""
    for op in drawn.program.layers():
        bias = getattr(op, "bias", None)
        if seed % 2 and bias is not None:
            name = bias.owner.symbol
            drawn.program.parameters[name] = np.zeros_like(drawn.program.parameters[name])


@pytest.mark.parametrize("kind", KINDS)
def test_no_bit_changes_over_the_family(kind: str) -> None:
    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        drawn=layers((kind,), device=True),
        bits=st.sampled_from(WIDTHS),
        seed=st.integers(0, 2**16),
        pipeline=st.sampled_from(PIPELINES),
        legal=st.sampled_from([None, *BACKENDS]),
    )
    def check(drawn: Drawn, bits: int, seed: int, pipeline: str, legal: Any) -> None:
        without_bias(drawn, seed)
        made, inputs = lowered(drawn, bits, seed)
        rng = np.random.default_rng(seed)
        wild = [
            rng.choice([*int_range(int_width(a)[0]), -1, 0], size=x.shape)
            for a, x in zip(made.entry.args, inputs, strict=True)
        ]
        if legal is not None:
            made = legal[0].legalize(made, legal[0].load_target(legal[1]))
        done = simplified(made, pipeline)
        assert set(done.parameters) <= set(made.parameters)
        for given_ in (inputs, wild):
            before, after = run_integer(made, given_), run_integer(done, given_)
            for a, b in zip(before, after, strict=True):
                np.testing.assert_array_equal(a, b)

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_targets_and_the_search_run_what_is_left(
    kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Legalized, emitted, simulated: the bits of the plain program's own legal form."""

    @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        drawn=layers((kind,), device=True, stateless=True),
        bits=st.sampled_from([4, 8, 16]),
        seed=st.integers(0, 2**16),
    )
    def check(drawn: Drawn, bits: int, seed: int) -> None:
        without_bias(drawn, seed)
        made, inputs = lowered(drawn, bits, seed)
        done = simplified(made)
        for backend, name in BACKENDS if kind in ON_BIT_FUSION else BACKENDS[:1]:
            target = backend.load_target(name)
            wanted = run_integer(backend.legalize(made.clone(), target), inputs)
            legal = backend.legalize(done.clone(), target)
            folder = tmp_path_factory.mktemp("emitted")
            backend.emit(backend.lower(legal.clone(), target, Options()), folder, target)
            found = backend.simulate(folder, inputs, Options()).outputs
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(a, b)
        x = inputs[0]
        batch = Ragged.of([x.shape[0]] * x.shape[1])
        flat: Any = np.concatenate([x[:, n] for n in range(x.shape[1])]).astype(np.int16)
        parts = np.split(compile_plan(done).run(flat, batch), batch.ends[:-1])
        (whole, *_) = run_integer(made, inputs)
        for n, part in enumerate(parts):
            np.testing.assert_array_equal(part, whole[:, n])

    check()


BIAS = """
param.declare @w : tensor<2x2xsi8>
param.declare @b : tensor<2xsi16>
func.func @main(%x: tensor<?x?x2xsi8>) -> tensor<?x?x2xsi16> {{
  %w = param.load @w : tensor<2x2xsi8>
  %b = param.load @b : tensor<2xsi16>
  %s = qnn.matmul %x, %w {{acc = #qnn.acc<64, proved, bound = 384>, layer = "fc"}}
    : (tensor<?x?x2xsi8>, tensor<2x2xsi8>) -> tensor<?x?x2xsi10>
  %t = qnn.bias %s, %b {{acc_shift = {i} : i64, bias_shift = {j} : i64, layer = "fc"}}
    : (tensor<?x?x2xsi10>, tensor<2xsi16>) -> tensor<?x?x2xsi{bits}>
  %y = qnn.requantize %t {{multipliers = array<i64: 5>, shifts = array<i64: 3>}}
    : (tensor<?x?x2xsi{bits}>) -> tensor<?x?x2xsi16>
  func.return %y : tensor<?x?x2xsi16>
}}"""


def operations(made: Program, kind: type[Operation]) -> list[Operation]:
    return [op for op in made.module.walk() if isinstance(op, kind)]


@pytest.mark.parametrize(("i", "j"), [(0, 0), (4, 0), (0, 3)])
@pytest.mark.parametrize("zero", [True, False])
def test_biases_of_zeros_go_and_others_stay(i: int, j: int, zero: bool) -> None:
    text = BIAS.format(i=i, j=j, bits=1 + max(10 + i, 16 + j))
    weights = np.array([[1, -2], [3, 0]], dtype=np.int8)
    bias = np.array([0, 0 if zero else 7], dtype=np.int16)
    made = program(text, w=weights, b=bias)
    done = made.clone()
    removed = simplify_integers(done)
    done.verify()
    x = np.arange(-8, 8).reshape(4, 2, 2)
    np.testing.assert_array_equal(run_integer(made, [x])[0], run_integer(done, [x])[0])
    assert bool(operations(done, qnn.BiasOp)) is not zero
    assert ("b" in done.parameters) is not zero
    assert (removed > 0) is zero
    shifts = operations(done, qnn.ShlOp)
    assert len(shifts) == (1 if zero and i else 0)
    assert all(str(op.attributes["layer"]) == '"fc"' for op in shifts)


def test_a_bias_that_is_a_result_keeps_its_type() -> None:
    """Nothing reads it that could take another type."""
    text = BIAS.format(i=0, j=0, bits=17)
    cut = text.index("  %y =")
    text = text[:cut] + "  func.return %t : tensor<?x?x2xsi17>\n}"
    text = text.replace("-> tensor<?x?x2xsi16> {", "-> tensor<?x?x2xsi17> {", 1)
    made = program(text, w=np.ones((2, 2), dtype=np.int8), b=np.zeros(2, dtype=np.int16))
    simplify_integers(made)
    made.verify()
    assert operations(made, qnn.BiasOp)


def test_twice_changes_nothing_more() -> None:
    annotated = calibrated()
    slots = calibrated_table(annotated).searched()
    apply_assignment(annotated, Assignment.uniform(16).complete(slots))
    legal = BITFUSION.legalize(lower_to_qnn(annotated), BITFUSION.load_target("bitfusion-e"))
    once = simplified(legal)
    assert simplified(once).content_hash() == once.content_hash()
    assert len(list(once.module.walk())) <= len(list(legal.module.walk()))
